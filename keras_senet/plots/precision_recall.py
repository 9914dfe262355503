"""Precision over recall, class by class, where an image can have several labels."""

import os
from collections.abc import Mapping

import numpy as np

from keras_senet.plots.figure import colors, draw_legend, new_figure, save_figure

_NAMED = 20  # classes in the legend


def draw_precision_recall(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | os.PathLike) -> None:
    """Draws the precision-recall curve of each class.

    Args:
        curves: recall and precision of each class, `(steps,)` each, from the highest threshold to the lowest, by what the legend
            calls it. It names at most 20.
        path: `.png` file to write.
    """
    few = len(curves) <= _NAMED
    figure = new_figure(7.5 if few else 6, 5)
    axes = figure.subplots()
    looks = [{"color": color, "linewidth": 1.2 if few else 0.6} for color in colors(len(curves))]
    for (recall, precision), look in zip(curves.values(), looks, strict=True):
        axes.step([0, *recall], [precision[0], *precision], where="pre", **look)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    if few:
        draw_legend(figure, zip(curves, looks, strict=True))
    save_figure(figure, path)
