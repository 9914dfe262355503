"""Fine-tunes a network on ten images a class in several ways, and draws how accurate each becomes.

    python examples/finetune_few.py

A network learns the digits 0 to 4. Then it learns the digits 5 to 9 from ten images of each, in every way below with several
seeds, which also draw the images; "automatic" is the recipe that `keras-senet train` chooses by itself. The other digits 5 to 9
measure it, but for ten of each that the runs themselves measure after each epoch. A study that was stopped goes on where
it stood. It takes about twelve minutes on two cores.
"""

import argparse
import json
import pathlib
import statistics
import sys

import keras
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from keras_senet.errors import UserError
from keras_senet.files import replacing
from keras_senet.plots.figure import new_figure, save_figure
from keras_senet.training import Recipe, automatic_recipe, report, train

MODEL, IMAGE_SIZE = "SEResNet20", 16
KNOWN, NEW = range(5), range(5, 10)
AUTOMATIC, DISTILLED = "all weights (automatic)", "distilled"

# Way: what differs from the automatic recipe.
WAYS = {
    AUTOMATIC: {},
    "from scratch": {"weights": None},
    "classifier alone": {"freeze": "backbone"},
    "classifier first": {"freeze": "backbone", "unfreeze_epoch": 10},
    "rates by stage": {"layer_decay": 0.7},
    DISTILLED: {},  # from the network of the first way, trained as that was
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default="runs/few", help="folder of the study (default: runs/few)")
    parser.add_argument("--images", type=int, default=10, help="images of each new class (default: 10)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each way (default: 5)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="(default: all)")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    if not 1 <= options.images <= 100:
        parser.error("--images must be from 1 to 100")

    known = write_digits(options.output / "known", KNOWN, 100, seed=0)
    first, _ = automatic_recipe(MODEL, str(known.resolve()), images=100 * len(KNOWN), image_size=IMAGE_SIZE, flip=False)
    pretrained = run(first, options.output / "pretrained") / "last.keras"
    errors: dict[str, list[float]] = {way: [] for way in options.ways}
    for seed in range(options.seeds):
        folder = options.output / f"{options.images}_images" / f"seed{seed}"
        few = write_digits(folder / "images", NEW, options.images, seed)
        recipe, why = automatic_recipe(
            MODEL,
            str(few.resolve()),
            images=options.images * len(NEW),
            weights=str(pretrained.resolve()),
            image_size=IMAGE_SIZE,
            flip=False,
            seed=seed,
        )
        if seed == 0:
            print(why)
        for way in options.ways:
            changed = recipe.replace(**WAYS[way])
            if way == DISTILLED:
                changed = changed.replace(teacher=str((run(recipe, folder / AUTOMATIC) / "best.keras").resolve()))
            metrics = json.loads((run(changed, folder / way) / "metrics.json").read_text())
            errors[way].append(100 * (1 - metrics["test"]["top1"]))
            print(f"seed {seed}, {way}: error {errors[way][-1]:.2f} %", flush=True)
    show(errors)
    picture = options.output / f"{options.images}_images" / "few.png"
    draw(errors, picture, f"{MODEL}: digits 5 to 9 from {options.images} images of each")
    print(f"The picture is {picture}.")


def write_digits(folder: pathlib.Path, classes: range, images: int, seed: int) -> pathlib.Path:
    """A folder of so many random training images of each class, ten others for validation, and the rest for the test."""
    if folder.exists():
        return folder
    digits = load_digits()
    random = np.random.default_rng(seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as partial:
        for digit in classes:
            shuffled = random.permutation(np.flatnonzero(digits.target == digit))
            parts = np.split(shuffled, [images, images + 10])
            for part, indices in zip(("train", "validation", "test"), parts, strict=True):
                (partial / part / str(digit)).mkdir(parents=True)
                for index in indices:
                    pixels = digits.images[index][..., np.newaxis] * (255 / 16)
                    keras.utils.save_img(partial / part / str(digit) / f"{index:04}.png", pixels, scale=False)
    return folder


def run(recipe: Recipe, folder: pathlib.Path) -> pathlib.Path:
    """The folder of a run, which is done once."""
    if not folder.exists():
        with replacing(folder) as partial:
            report(train(recipe, partial))
    return folder


def show(errors: dict[str, list[float]]) -> None:
    table = Table("way", "error, %", "each seed", box=None)
    for way, values in errors.items():
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        table.add_row(way, f"{statistics.mean(values):.2f} ± {deviation:.2f}", ", ".join(f"{value:.1f}" for value in values))
    Console().print(table)


def draw(errors: dict[str, list[float]], path: pathlib.Path, title: str) -> None:
    """The error of each way: each seed, and their mean."""
    figure = new_figure(7, 1.2 + 0.4 * len(errors))
    axes = figure.subplots()
    for row, values in enumerate(errors.values()):
        axes.plot(values, [row] * len(values), "o", color="C0", alpha=0.4)
        axes.plot(statistics.mean(values), row, "|", color="C1", markersize=18, markeredgewidth=2)
    axes.set_yticks(range(len(errors)), errors)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("test error, %, of each seed and their mean")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"finetune_few.py: error: {error}")
