"""The paper's ablation study of the SE block (section 6), on a dataset of your choice.

Each variant is trained with several seeds, one run folder each; a study that was stopped goes on where it stood. The table of
validation error (mean and standard deviation over the seeds), parameters and multiply-adds is printed and written to table.csv,
the plot to errors.png. With its defaults:

    python examples/ablation.py --output runs/ablation
"""

import argparse
import csv
import dataclasses
import json
import math
import pathlib
import statistics
import sys

from rich.console import Console
from rich.table import Table

from keras_senet import data
from keras_senet.analysis import profile
from keras_senet.errors import UserError
from keras_senet.files import replacing
from keras_senet.training import DivergedError, Recipe, build, report, train

# Study: variant: what differs from the SE network, whose excitation has no biases.
STUDIES = {
    "baseline": {"plain": {"attention": None, "use_bias": True}, "SE": {}},
    "reduction": {f"r = {reduction}": {"reduction": reduction} for reduction in (2, 4, 8, 16, 32)},
    "squeeze": {"max": {"squeeze": "max"}, "none": {"squeeze": None}},
    "excitation": {"ReLU": {"gate": "relu"}, "tanh": {"gate": "tanh"}},
    "stage": {f"stage {stage}": {"attention_stages": (stage,)} for stage in (2, 3, 4, 5)},
    "position": {f"SE-{place}": {"attention_position": place} for place in ("pre", "post", "identity", "3x3")},
}


@dataclasses.dataclass
class Result:
    """One line of the table."""

    study: str
    variant: str
    error: float  # percent, mean over the seeds; no number where all diverged
    deviation: float  # its standard deviation
    diverged: int  # runs whose loss became no number, as those with ReLU gates may; they are left out of the mean
    parameters: int
    multiply_adds: int


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of the study")
    parser.add_argument("--dataset", default="digits", help="name of a dataset or a folder of images (default: digits)")
    parser.add_argument("--model", default="SEResNet20", help="the SE network (default: SEResNet20)")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES), help="parts of the study (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant (default: 3)")
    parser.add_argument("--image-size", type=int, default=16, help="pixels (default: 16)")
    parser.add_argument("--epochs", type=int, default=10, help="of each run (default: 10)")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a step (default: 64)")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="highest (default: 0.1)")
    parser.add_argument("--flip", action="store_true", help="mirror half of the training images; not for digits")
    parser.add_argument("--train-split", default="train", help="part to train on (default: train)")
    parser.add_argument("--validation-split", default="validation", help="part to measure the error on (default: validation)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    base = Recipe.of(
        crop="shift",
        schedule="cosine",
        warmup_epochs=min(1.0, options.epochs / 4),
        weight_decay=5e-4,
        use_bias=False,  # as in all ablations of the paper
        **{field.name: value for field in dataclasses.fields(Recipe) if (value := vars(options).get(field.name)) is not None},
    )
    classes = len(data.load(base.dataset, base.train_split, base.data_dir).class_names)
    build(base, classes)  # what is wrong with every variant stops here
    results = []
    for study in options.studies:
        for variant, change in STUDIES[study].items():
            recipe = base.replace(**change)
            try:
                cost = profile(build(recipe, classes)).total
            except ValueError as error:
                print(f"{study}, {variant}: left out, since the network cannot take it. {error}")
                continue
            folder = options.output / study / variant.replace(" ", "")
            runs = [run(recipe.replace(seed=seed), folder / f"seed{seed}") for seed in range(options.seeds)]
            errors = [error for error in runs if error is not None]
            mean = statistics.mean(errors) if errors else math.nan
            deviation = statistics.stdev(errors) if len(errors) > 1 else 0.0
            diverged = runs.count(None)
            results.append(Result(study, variant, mean, deviation, diverged, cost.parameters, cost.multiply_adds))
            print(f"{study}, {variant}: error {results[-1].error:.2f} %", flush=True)
    if not results:
        raise ValueError(f"{options.model} can take none of these variants.")
    write_table(results, options.output / "table.csv")
    draw(results, options.output / "errors.png", f"{options.model} on {options.dataset}")
    show(results)


def run(recipe: Recipe, folder: pathlib.Path) -> float | None:
    """The validation error after the last epoch, in percent, of a run that is done once; None if it diverged."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(folder) as partial:
                if run_folder := train(recipe, partial):
                    report(run_folder)
        except DivergedError as error:
            print(f"{folder}: {error}")
            return None
    done = Recipe.of(**json.loads((folder / "config.json").read_text())["recipe"])
    if done != recipe:
        raise ValueError(f"{folder} holds a run of another recipe: choose another --output, or remove it.")
    return 100 * (1 - json.loads((folder / "metrics.json").read_text())["last"]["top1"])


def show(results: list[Result]) -> None:
    table = Table("study", "variant", "error, %", "diverged", "parameters", "multiply-adds", box=None)
    for one in results:
        error = f"{one.error:.2f} ± {one.deviation:.2f}"
        table.add_row(
            one.study, one.variant, error, str(one.diverged or ""), f"{one.parameters:,}", f"{one.multiply_adds / 1e6:,.2f} M"
        )
    Console().print(table)


def write_table(results: list[Result], path: pathlib.Path) -> None:
    with replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(Result)])
        writer.writerows(dataclasses.astuple(one) for one in results)


def draw(results: list[Result], path: pathlib.Path, title: str) -> None:
    """Error of each variant with its deviation, the studies in colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.2 + 0.3 * len(results)), layout="constrained")
    axes = figure.subplots()
    studies = list(dict.fromkeys(one.study for one in results))
    for row, one in enumerate(results):
        axes.errorbar(one.error, row, xerr=one.deviation, fmt="o", capsize=3, color=f"C{studies.index(one.study)}")
    axes.set_yticks(range(len(results)), [f"{one.study}: {one.variant}" for one in results])
    axes.invert_yaxis()
    axes.set_xlabel("validation error, %, mean and standard deviation over the seeds")
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"ablation.py: error: {error}")
