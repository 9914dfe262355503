"""Which class is taken for which."""

import math
import os
import textwrap
from collections.abc import Sequence

import numpy as np

from keras_senet.plots.figure import new_figure, save_figure

_MOST_CELLS = 1000  # on a side


def draw_confusion(confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike) -> None:
    """Draws a confusion matrix; the shade of a cell is its share of the images of the true class.

    Of more than 1,000 classes, each cell stands for a block of neighbors, as the labels of the axes say: the picture has no
    pixels for more, and drawing ten thousand classes one by one takes 9 GiB.

    Args:
        confusion: number of images by true class (rows) and predicted class (columns), of shape `(classes, classes)`.
        class_names: names of the classes; they and the numbers of images are written if there are at most 20 classes.
        path: `.png` file to write.
    """
    block = math.ceil(len(confusion) / _MOST_CELLS)
    starts = np.arange(0, len(confusion), block)
    if block > 1:
        confusion = np.add.reduceat(np.add.reduceat(confusion, starts, axis=0), starts, axis=1)
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    classes = len(confusion)
    few = classes <= 20
    side = 2.5 + 0.45 * classes if few else 10
    figure = new_figure(side, side)
    axes = figure.subplots()
    # Roots make rare mistakes visible; on black, so are those that are one pixel large.
    shade, colors = (np.sqrt, "Blues") if few else (np.cbrt, "inferno")
    axes.imshow(shade(shares), cmap=colors, vmin=0, vmax=1, interpolation="nearest")
    which = f", in blocks of {block:,} classes" if block > 1 else ""
    axes.set(xlabel=f"predicted class{which}", ylabel=f"true class{which}")
    if few:
        names = [textwrap.fill(name, 20) for name in class_names]
        axes.set_xticks(range(classes), names, rotation=90)
        axes.set_yticks(range(classes), names)
        for row, column in np.argwhere(confusion):
            color = "white" if shares[row, column] > 0.4 else "black"
            axes.text(column, row, confusion[row, column], ha="center", va="center", color=color, fontsize=8)
    save_figure(figure, path)
