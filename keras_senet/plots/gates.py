"""Gates: pictures of their statistics, and the table of their numbers."""

import math
import os
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np

from keras_senet.analysis.statistics import GateStatistics, class_indices
from keras_senet.files import write_csv
from keras_senet.plots.figure import new_figure, save_figure

_CLASSES_DRAWN = 4  # as in the paper; more lines are hard to distinguish


def draw_gates_by_class(statistics: GateStatistics, path: str | os.PathLike, classes: Sequence[str] | None = None) -> None:
    """Draws the mean gate of each channel for some classes and for all images, with one panel for each layer.

    Channels are sorted by their mean gate for all images. In their own order, as in the paper, hundreds of lines cross.

    Args:
        statistics: result of `gate_statistics`.
        path: `.png` file to write.
        classes: names of the classes to draw; by default the first four.

    Raises:
        ValueError: if there is no class of a name.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, figure 6.
    """
    classes = _names(statistics, classes)
    indices = class_indices(classes, statistics.class_names)
    columns = min(3, len(statistics.layers))
    rows = math.ceil(len(statistics.layers) / columns)
    figure = new_figure(2 + 2.6 * columns, 0.6 + 1.5 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes in grid[len(statistics.layers) :]:
        axes.remove()
    for axes, layer in zip(grid, statistics.layers, strict=False):
        order = np.argsort(layer.mean)
        for name, index in zip(classes, indices, strict=True):
            axes.plot(layer.by_class[index, order], label=textwrap.fill(name, 20), linewidth=0.8)
        axes.plot(layer.mean[order], label="all", color="black", linewidth=1.5)
        axes.set_title(layer.name, fontsize=9)
        axes.margins(x=0)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
        axes.grid(alpha=0.3)
    figure.supxlabel("channel, in the order of the mean for all")
    figure.supylabel("mean gate")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    save_figure(figure, path)


def draw_mean_gates(statistics: GateStatistics, path: str | os.PathLike) -> None:
    """Draws the mean gate of each channel as a shade, with one row for each layer.

    Channels are sorted by their mean gate, and each row is stretched to the same width, since layers have different numbers of
    channels. So a row shows which share of the channels is how far open.

    Args:
        statistics: result of `gate_statistics`.
        path: `.png` file to write.
    """
    layers = statistics.layers
    figure, axes = _rows([f"{layer.name}, {len(layer.mean)}" for layer in layers])
    low, high = (pick(pick(layer.mean) for layer in layers) for pick in (min, max))
    for row, layer in enumerate(layers):
        shade = axes.imshow(
            np.sort(layer.mean)[np.newaxis],
            extent=(0, 100, row + 0.5, row - 0.5),
            vmin=min(0, low),
            vmax=max(1, high),
            aspect="auto",
        )
    axes.set_xlabel("share of the layer's channels, %")
    figure.colorbar(shade, label="mean gate", location="top", aspect=40, pad=0.01)
    save_figure(figure, path)


def draw_separability(statistics: GateStatistics, path: str | os.PathLike) -> None:
    """Draws how well the gates of each layer separate the classes, by depth.

    Args:
        statistics: result of `gate_statistics`.
        path: `.png` file to write.
    """
    figure, axes = _rows([layer.name for layer in statistics.layers])
    axes.barh(range(len(statistics.layers)), [layer.separability for layer in statistics.layers])
    axes.set_xlabel("variance of the gates between classes / within classes")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    save_figure(figure, path)


def _rows(names: list[str]):
    """A figure with one row for each name, the first at the top, and its axes."""
    figure = new_figure(7, 1.2 + 0.25 * len(names))
    axes = figure.subplots()
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    return figure, axes


def write_gates(statistics: GateStatistics, folder: str | os.PathLike, classes: Sequence[str] | None = None) -> None:
    """Writes all three pictures, and gates.csv with one row for each channel.

    Args:
        statistics: result of `gate_statistics`.
        folder: folder to write to; it is created if it does not exist.
        classes: names of the classes to draw, and to write a column for; by default the first four.

    Raises:
        ValueError: if there is no class of a name.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> keras_senet.analysis.write_gates(statistics, "gates")
    >>> sorted(file.name for file in pathlib.Path("gates").iterdir())
    ['gates.csv', 'gates_by_class.png', 'mean_gates.png', 'separability.png']
    """
    classes = _names(statistics, classes)
    indices = class_indices(classes, statistics.class_names)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for layer in statistics.layers:
        columns = (layer.mean, layer.std, layer.min, layer.max, *layer.by_class[indices])
        for channel, values in enumerate(zip(*columns, strict=True)):
            rows.append([layer.name, channel, *(f"{value:.6g}" for value in values)])
    write_csv(folder / "gates.csv", ["layer", "channel", "mean", "std", "min", "max", *classes], rows)
    draw_gates_by_class(statistics, folder / "gates_by_class.png", classes)
    draw_mean_gates(statistics, folder / "mean_gates.png")
    draw_separability(statistics, folder / "separability.png")


def _names(statistics: GateStatistics, classes: Sequence[str] | None) -> Sequence[str]:
    return statistics.class_names[:_CLASSES_DRAWN] if classes is None else classes
