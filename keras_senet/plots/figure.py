"""What all pictures share: figures of matplotlib without a window, colors, and the legend beside the panels."""

import os
from collections.abc import Iterable, Mapping

from keras_senet.errors import require
from keras_senet.files import replacing


def new_figure(width: float, height: float):
    """A new figure; width and height in inches."""
    return require("matplotlib.figure", "train").Figure(figsize=(width, height), layout="constrained")


def colors(count: int) -> list:
    """One color for each of `count` things: matplotlib's own, or shades of a rainbow where these would repeat."""
    if count <= 10:
        return [f"C{index}" for index in range(count)]
    return list(require("matplotlib", "train").colormaps["turbo"].resampled(count)(range(count)))


def draw_legend(figure, entries: Iterable[tuple[str, Mapping]]) -> None:
    """Draws a legend to the right of all panels.

    Args:
        figure: figure of `new_figure`.
        entries: the label of each line, and its look, keyword arguments of `matplotlib.lines.Line2D`.
    """
    labels, looks = zip(*entries, strict=True)
    lines = [require("matplotlib.lines", "train").Line2D([], [], **look) for look in looks]
    legend = figure.legend(lines, labels, loc="outside right upper", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label may be the name of a folder, and a dollar sign in it is no formula


def save_figure(figure, path: str | os.PathLike) -> None:
    """Writes `figure` as a `.png` file."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
