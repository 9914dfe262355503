"""Images with the objects that a detector found in them."""

import os
from collections.abc import Sequence

import numpy as np

from keras_senet.plots.figure import colors, save_figure
from keras_senet.plots.predictions import panels


def draw_objects(
    pictured: Sequence[tuple[np.ndarray, np.ndarray, Sequence[str], np.ndarray]], classes: int, path: str | os.PathLike
) -> None:
    """Draws images with a box around each object, in the color of its class, and its caption in it.

    Args:
        pictured: for each image, RGB pixels in [0, 255] `(H, W, 3)`; boxes `(M, 4)`, left, top, right and bottom in its pixels;
            the caption of each; and their classes `(M,)`.
        classes: number of classes.
        path: `.png` file to write.
    """
    palette = colors(classes)
    figure, grid = panels([image for image, *_ in pictured])
    for axes, (image, boxes, captions, kinds) in zip(grid, pictured, strict=False):
        axes.imshow(image / 255)
        # The surest last, over the others.
        for (left, top, right, bottom), caption, kind in reversed(list(zip(boxes, captions, kinds, strict=True))):
            edge = {"color": palette[kind], "linewidth": 1.5}
            axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], **edge)
            text = axes.text(left, top, caption, color="white", fontsize=7, va="bottom" if top > 0.1 * len(image) else "top")
            text.set_bbox({"facecolor": palette[kind], "edgecolor": "none", "pad": 1, "alpha": 0.8})
            text.set_parse_math(False)  # a name may have a dollar sign
            text.set_clip_on(True)
        axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(len(image) - 0.5, -0.5))
    save_figure(figure, path)
