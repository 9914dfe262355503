"""Explanations: heat over an image where a network looks, and which channels the gates opened."""

import dataclasses
import os
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from keras_senet.errors import require
from keras_senet.plots.figure import new_figure, save_figure

_OPACITY = 0.65  # of the hottest place, so that the image shows through
_WIDEST = 4  # channels named


@dataclasses.dataclass(frozen=True)
class Explained:
    """An image, and what there is to say about it.

    Attributes:
        name: name of the image.
        image: RGB pixels in [0, 255], `(H, W, 3)`.
        heat: the caption of each class, and its heat `(H, W)` in [0, 1] by `grad_cam`.
        gates: by the name of a layer, its gates `(C,)`; empty for a network without gates.
    """

    name: str
    image: np.ndarray
    heat: Sequence[tuple[str, np.ndarray]]
    gates: Mapping[str, np.ndarray]


def draw_explanations(explained: Sequence[Explained], path: str | os.PathLike) -> None:
    """Draws a row for each image: the image, where the network looks for each class, and the gates, layer by layer.

    A layer's gates are sorted and stretched to the same width, since layers have different numbers of channels. The numbers
    beside them are the channels that are open widest.

    Args:
        explained: the images, each with as many classes.
        path: `.png` file to write.
    """
    panels = 1 + len(explained[0].heat)
    layers = len(explained[0].gates)
    widths = [1.0] * panels + ([2.0] if layers else [])
    figure = new_figure(2.2 * panels + (5.4 if layers else 0), 0.3 + len(explained) * max(2.4, 0.25 * layers))
    rows = figure.subplots(len(explained), len(widths), squeeze=False, width_ratios=widths)
    low, high = (pick([pick(gates) for each in explained for gates in each.gates.values()] or [0]) for pick in (min, max))
    for row, each in zip(rows, explained, strict=True):
        pictures = [(each.name, each.image), *((caption, heated(each.image, heat)) for caption, heat in each.heat)]
        for axes, (caption, picture) in zip(row, pictures, strict=False):
            axes.imshow(picture / 255)
            axes.set_title(textwrap.fill(caption, 24), fontsize=9, parse_math=False)
            axes.axis("off")
        if layers:
            shade = _draw_gates(row[-1], each.gates, min(0, low), max(1, high))
    if layers:
        rows[0, -1].set_title("gates of all channels, sorted, and the channels open widest", fontsize=9)
        rows[-1, -1].set_xlabel("share of the layer's channels, %", fontsize=9)
        figure.colorbar(shade, ax=rows[:, -1], label="gate", aspect=15, shrink=1 / len(explained), anchor=(0, 1))
    save_figure(figure, path)


def _draw_gates(axes, gates: Mapping[str, np.ndarray], low: float, high: float):
    """Draws the gates of one image, a row for each layer."""
    for row, values in enumerate(gates.values()):
        extent = (0, 100, row + 0.5, row - 0.5)
        shade = axes.imshow(np.sort(values)[np.newaxis], extent=extent, vmin=low, vmax=high, aspect="auto")
    axes.set_ylim(len(gates) - 0.5, -0.5)
    axes.set_yticks(range(len(gates)), gates, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    beside = axes.secondary_yaxis("right")
    names = [", ".join(str(channel) for channel in widest(values)) for values in gates.values()]
    beside.set_yticks(range(len(gates)), names, fontsize=8)
    beside.tick_params(length=0)
    return shade


def widest(gates: np.ndarray) -> list[int]:
    """The channels whose gates `(C,)` are open widest, the widest first."""
    return [int(channel) for channel in np.argsort(-gates, kind="stable")[:_WIDEST]]


def heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image under its heat: pixels in [0, 255], `(H, W, 3)`, more colored the hotter they are."""
    colors = 255 * require("matplotlib", "train").colormaps["turbo"](0.9 * heat)[..., :3]  # whose end is dark
    opacity = _OPACITY * heat[..., np.newaxis]
    return (1 - opacity) * image + opacity * colors
