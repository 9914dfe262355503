"""Images with the classes of their pixels."""

import os
from collections.abc import Sequence

import numpy as np

from keras_senet.errors import require
from keras_senet.plots.figure import colors, draw_legend, save_figure
from keras_senet.plots.predictions import panels

_OPACITY = 0.5  # of a mask
_NAMED = 20  # classes in the legend, the most frequent


def draw_masks(pictured: Sequence[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str], path: str | os.PathLike) -> None:
    """Draws images with their masks in color over them, and the names of the colors beside them.

    Args:
        pictured: for each image, RGB pixels in [0, 255] `(H, W, 3)`, and its mask, class indices `(H, W)`.
        class_names: names of the classes.
        path: `.png` file to write.
    """
    to_rgb = require("matplotlib.colors", "train").to_rgb
    palette = np.array([to_rgb(color) for color in colors(len(class_names))])
    figure, grid = panels([image for image, _ in pictured])
    for axes, (image, mask) in zip(grid, pictured, strict=False):
        axes.imshow((1 - _OPACITY) * image / 255 + _OPACITY * palette[mask])
    counts = np.sum([np.bincount(mask.ravel(), minlength=len(class_names)) for _, mask in pictured], axis=0)
    shown = [index for index in np.argsort(-counts, kind="stable")[:_NAMED] if counts[index]]
    draw_legend(figure, [(class_names[index], {"color": palette[index], "marker": "s", "linestyle": ""}) for index in shown])
    save_figure(figure, path)
