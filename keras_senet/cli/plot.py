"""keras-senet plot: how several runs learned, in one picture."""

import argparse
import os
import pathlib
from collections.abc import Sequence

from keras_senet.errors import InputError, existing_path

HELP = "Draw how runs learned, in one picture: loss and top-1 error by epoch."
EXAMPLE = "runs/plain runs/se --output curves.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a run, also of one that is still going on")
    parser.add_argument("--output", required=True, metavar="FILE.png", help="the picture (required)")


def run(options: argparse.Namespace) -> None:
    from keras_senet.plots.learning_curve import draw_learning_curves

    folders = [existing_path(folder) for folder in options.runs]
    histories = [pathlib.Path(folder) / "history.csv" for folder in folders]
    draw_learning_curves(dict(zip(_names(folders), histories, strict=True)), options.output)


def _names(folders: Sequence[str]) -> list[str]:
    """A name for each folder: the end of its path, as long as it takes to tell them all apart.

    Raises:
        ValueError: if a folder is given twice.
    """
    parts = [pathlib.Path(os.path.abspath(folder)).parts for folder in folders]
    for folder, its_parts in zip(folders, parts, strict=True):
        if parts.count(its_parts) > 1:
            raise InputError(f"{folder} is given {parts.count(its_parts)} times: give each run once.")
    depth = 1
    while len({its_parts[-depth:] for its_parts in parts}) < len(parts):
        depth += 1
    return [str(pathlib.Path(*its_parts[-depth:])) for its_parts in parts]
