"""The report of a finished run: what was trained, how, and how good it is, on one page of Markdown with pictures."""

import csv
import datetime
import json
import os
import pathlib
import statistics
from collections.abc import Sequence

from keras_senet.files import write_text
from keras_senet.inference.labels import LABELS_FILE
from keras_senet.settings import flat_fields
from keras_senet.training.recipe import Recipe

_MEASURES = {
    "epoch": ("epoch", "{}"),
    "top1": ("top-1", "{:.2%}"),
    "top5": ("top-5", "{:.2%}"),
    "loss": ("loss", "{:.4f}"),
    "calibration_error": ("calibration error", "{:.2%}"),
    "images": ("images", "{:,}"),
}
_PICTURES = {
    "learning_curve.png": "How it learned",
    "confusion.png": "Which class it takes for which",
    "mistakes.png": "Where it is most sure and wrong",
}


def write_report(folder: str | os.PathLike) -> None:
    """Writes report.md into the folder of a finished run, from the other files there.

    Args:
        folder: what `keras_senet.training.train` has written. Of its files, top-5, the calibration error, the pictures and
            damaged.txt may be missing.

    Raises:
        FileNotFoundError: if the folder does not hold a finished run.
    """
    folder = pathlib.Path(folder)
    config, measured = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("config.json", "metrics.json"))
    recipe = Recipe.of(**config["recipe"])
    epochs = list(csv.DictReader((folder / "history.csv").read_text(encoding="utf-8").splitlines()))
    seconds = round(sum(float(epoch["seconds"]) for epoch in epochs))
    images_per_second = statistics.median(float(epoch["images_per_second"]) for epoch in epochs)
    last = measured["last"]

    names = [name for name in _MEASURES if name in last]
    results = [[f"{which}.keras", *(_MEASURES[name][1].format(one[name]) for name in names)] for which, one in measured.items()]
    chosen, usual = [], []
    for field, value in zip(flat_fields(Recipe), recipe.flat().values(), strict=True):
        row = [field.name, "none" if value is None else f"`{value}`", field.metadata["help"]]
        (usual if value == field.default else chosen).append(row)
    classes = len((folder / LABELS_FILE).read_text(encoding="utf-8").splitlines())
    made_of = [
        ["parameters", f"{config['parameters']:,}"],
        ["classes", f"{classes:,}"],
        ["trained on", f"`{recipe.train_split}` of `{recipe.dataset}`"],
        ["held out", f"`{recipe.validation_split}` of `{recipe.dataset}`"],
        ["devices", f"{config['replicas']:,}, each with {config['batch_size_per_replica']:,} images of a batch"],
        *([package, version] for package, version in config["versions"].items()),
    ]
    settings = ("setting", "value", "meaning")
    parts = [
        f"# {recipe.model} on `{recipe.dataset}`",
        f"Right on {last['top1']:.2%} of {last['images']:,} held-out images after {last['epoch']} epochs, which took "
        f"{datetime.timedelta(seconds=seconds)} at {images_per_second:,.0f} training images a second.",
        "## Results on the held-out images",
        _table(["network", *(_MEASURES[name][0] for name in names)], results),
        "The best epoch was chosen by these same images, so its accuracy is a little too good; that of the last one is not.",
        *(f"## {title}\n\n![{title}]({name})" for name, title in _PICTURES.items() if (folder / name).exists()),
        "## Recipe",
        _table(settings, chosen),
        _folded("The other settings, which are at their defaults", _table(settings, usual)),
        "To train it again: `keras-senet train --config config.json --output another_folder`",
        "## Network, data and versions",
        _table(["", ""], made_of),
    ]
    if (folder / "damaged.txt").exists():
        damaged = (folder / "damaged.txt").read_text(encoding="utf-8").splitlines()
        listed = "\n".join(["```text", *damaged, "```"])
        parts += ["## Damaged images", _folded(f"{len(damaged):,} were left out", listed)]
    write_text(folder / "report.md", "\n\n".join(parts) + "\n")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned in the text, too."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells)


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"
