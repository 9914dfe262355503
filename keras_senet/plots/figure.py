"""Figures of matplotlib, without a window."""

import os

from keras_senet.errors import require
from keras_senet.files import replacing


def new_figure(width: float, height: float):
    """A new figure; width and height in inches."""
    return require("matplotlib.figure", "train").Figure(figsize=(width, height), layout="constrained")


def save_figure(figure, path: str | os.PathLike) -> None:
    """Writes `figure` as a `.png` file."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
