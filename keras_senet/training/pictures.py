"""Pictures of a run: how the network learned, and what it says of images."""

import csv
import math
import os
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np

from keras_senet.errors import require
from keras_senet.files import replacing


def draw_learning_curve(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Draws loss and top-1 error by epoch, of the training and the held-out part.

    Args:
        history: the history.csv of a run; where it has no finished epoch, nothing is drawn.
        path: the picture, a `.png` file.
    """
    history = pathlib.Path(history)
    rows = list(csv.DictReader(history.read_text().splitlines())) if history.exists() else []
    if not rows:
        return
    figure = _figure(9, 3.5)
    epochs = [int(row["epoch"]) + 1 for row in rows]
    panels = (("loss", "Loss", float), ("top1", "Top-1 error, %", lambda top1: 100 * (1 - float(top1))))
    for axes, (quantity, title, value) in zip(figure.subplots(1, 2), panels, strict=True):
        for column, part in ((quantity, "training"), (f"val_{quantity}", "held out")):
            axes.plot(epochs, [value(row[column]) for row in rows], label=part)
        axes.set(title=title, xlabel="epoch", yscale="log" if quantity == "loss" else "linear")
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def draw_predictions(images: Sequence[np.ndarray], captions: Sequence[str], path: str | os.PathLike) -> None:
    """Draws images with a caption above each.

    Args:
        images: RGB pixels in [0, 255], each of shape `(H, W, 3)`.
        captions: one for each image.
        path: the picture, a `.png` file.
    """
    columns = math.ceil(math.sqrt(2 * len(images)))
    rows = math.ceil(len(images) / columns)
    figure = _figure(1.5 * columns, 1.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image / 255)
        axes.set_title(textwrap.fill(caption, 20), fontsize=9)
    _save(figure, path)


def _figure(width: float, height: float):
    """A figure of that size in inches; no window is opened."""
    return require("matplotlib.figure", "train").Figure(figsize=(width, height), layout="constrained")


def _save(figure, path: str | os.PathLike) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
