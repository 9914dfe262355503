"""Gates: pictures of their statistics, and the table of their numbers."""

import math
import os
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np

from keras_senet.analysis.statistics import GateStatistics, LayerGates, class_indices
from keras_senet.errors import InputError
from keras_senet.files import write_csv
from keras_senet.plots.figure import colors, draw_legend, new_figure, save_figure

_CLASSES_DRAWN = 4  # as in the paper; more lines are hard to distinguish


def draw_gates_by_class(
    statistics: GateStatistics,
    path: str | os.PathLike,
    classes: Sequence[str] | None = None,
    channels: int | None = None,
) -> None:
    """Draws the mean gate of each channel for some classes and for all images, with one panel for each layer.

    Args:
        statistics: result of `gate_statistics`; its method `of_layers` chooses what to draw.
        path: `.png` file to write.
        classes: names of the classes to draw; by default the first four.
        channels: number of channels to draw, evenly spaced and in their own order, as in the paper. By default all are drawn,
            sorted by their mean gate for all images, because in their own order hundreds of lines cross.

    Raises:
        ValueError: if there is no class of a name, or `channels` is less than 1.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, figure 6.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> keras_senet.analysis.draw_gates_by_class(statistics, "gates.png", channels=4)
    >>> pathlib.Path("gates.png").exists()
    True
    """
    classes, indices = _classes(statistics, classes)
    columns = min(3, len(statistics.layers))
    rows = math.ceil(len(statistics.layers) / columns)
    figure = new_figure(2 + 2.6 * columns, 0.6 + 1.5 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes in grid[len(statistics.layers) :]:
        axes.remove()
    labels = [*(textwrap.fill(name, 20) for name in classes), "all"]
    looks = [*({"color": color, "linewidth": 0.8} for color in colors(len(classes))), {"color": "black", "linewidth": 1.5}]
    for axes, layer in zip(grid, statistics.layers, strict=False):
        order = _order(layer, channels)
        for means, look in zip([*layer.by_class[indices], layer.mean], looks, strict=True):
            axes.plot(*_line(means, order, channels), **look)
        axes.set_title(layer.name, fontsize=9)
        _finish(axes)
    _label(figure, "mean gate", channels)
    draw_legend(figure, zip(labels, looks, strict=True))
    save_figure(figure, path)


def draw_gates_within_classes(
    statistics: GateStatistics,
    path: str | os.PathLike,
    classes: Sequence[str] | None = None,
    channels: int | None = None,
) -> None:
    """Draws the mean gate of each channel for the images of a class, in a band of one standard deviation to each side.

    Each layer has a row of panels, and each class a column.

    Args:
        statistics: result of `gate_statistics`; its method `of_layers` chooses what to draw.
        path: `.png` file to write.
        classes: names of the classes to draw; by default the first four.
        channels: number of channels to draw, as for `draw_gates_by_class`.

    Raises:
        ValueError: as for `draw_gates_by_class`.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, figure 7.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> keras_senet.analysis.draw_gates_within_classes(statistics, "gates.png", channels=4)
    >>> pathlib.Path("gates.png").exists()
    True
    """
    classes, indices = _classes(statistics, classes)
    rows, columns = len(statistics.layers), len(classes)
    figure = new_figure(1 + 2.2 * columns, 0.8 + 1.3 * rows)
    grid = figure.subplots(rows, columns, sharex="row", sharey=True, squeeze=False)
    for row, layer in zip(grid, statistics.layers, strict=True):
        order = _order(layer, channels)
        for axes, index, color in zip(row, indices, colors(columns), strict=True):
            x, mean = _line(layer.by_class[index], order, channels)
            _, std = _line(layer.std_by_class[index], order, channels)
            axes.fill_between(x, mean - std, mean + std, color=color, alpha=0.3, linewidth=0)
            axes.plot(x, mean, color=color, linewidth=0.8)
            _finish(axes)
        row[0].set_ylabel(layer.name, fontsize=8)
    for axes, name in zip(grid[0], classes, strict=True):
        axes.set_title(textwrap.fill(name, 24), fontsize=10, parse_math=False)
    _label(figure, "gate: mean and standard deviation", channels)
    save_figure(figure, path)


def check_channels(channels: int | None) -> None:
    """Raises a ValueError if there is no drawing so many channels."""
    if channels is not None and channels < 1:
        raise InputError(f"`channels` must be at least 1. Received: channels={channels}")


def _classes(statistics: GateStatistics, classes: Sequence[str] | None) -> tuple[Sequence[str], list[int]]:
    """The names and the indices of the classes to draw."""
    classes = statistics.class_names[:_CLASSES_DRAWN] if classes is None else classes
    return classes, class_indices(classes, statistics.class_names)


def _order(layer: LayerGates, channels: int | None) -> np.ndarray:
    """The channels of a layer to draw, from left to right."""
    check_channels(channels)
    if channels is None:
        return np.argsort(layer.mean)
    count = len(layer.mean)
    return np.linspace(0, count - 1, min(channels, count)).round().astype(int)


def _line(values: np.ndarray, order: np.ndarray, channels: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The values of some channels, and where they stand: at the rank of the channel if all are sorted, else at its index."""
    return np.arange(len(order)) if channels is None else order, values[order]


def _finish(axes) -> None:
    axes.margins(x=0)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    axes.grid(alpha=0.3)


def _label(figure, title: str, channels: int | None) -> None:
    figure.supxlabel("channel, in the order of the mean for all" if channels is None else "channel", fontsize=10)
    figure.supylabel(title, fontsize=10)
    figure.get_layout_engine().set(w_pad=0.1, wspace=0.02)  # keeps labels and numbers of neighbors apart


def draw_mean_gates(statistics: GateStatistics, path: str | os.PathLike) -> None:
    """Draws the mean gate of each channel as a shade, with one row for each layer.

    Channels are sorted by their mean gate, and each row is stretched to the same width, since layers have different numbers of
    channels. So a row shows which share of the channels is how far open.

    Args:
        statistics: result of `gate_statistics`.
        path: `.png` file to write.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> keras_senet.analysis.draw_mean_gates(statistics, "gates.png")
    >>> pathlib.Path("gates.png").exists()
    True
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

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> keras_senet.analysis.draw_separability(statistics, "gates.png")
    >>> pathlib.Path("gates.png").exists()
    True
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


def write_gates(
    statistics: GateStatistics,
    folder: str | os.PathLike,
    classes: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    channels: int | None = None,
) -> None:
    """Writes all four pictures, and gates.csv with one row for each channel of each layer.

    Args:
        statistics: result of `gate_statistics`.
        folder: folder to write to; it is created if it does not exist.
        classes: names of the classes to draw, and to write mean and standard deviation for; by default the first four.
        layers: layers to draw by class, as for `GateStatistics.of_layers`; by default all.
        channels: number of channels to draw by class, as for `draw_gates_by_class`.

    Raises:
        ValueError: if there is no class or no layer of a name, or `channels` is less than 1.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> keras_senet.analysis.write_gates(statistics, "gates")
    >>> sorted(file.name for file in pathlib.Path("gates").iterdir())
    ['gates.csv', 'gates_by_class.png', 'gates_within_classes.png', 'mean_gates.png', 'separability.png']
    """
    classes, indices = _classes(statistics, classes)
    drawn = statistics if layers is None else statistics.of_layers(layers)
    check_channels(channels)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for layer in statistics.layers:
        of_classes = [part[index] for index in indices for part in (layer.by_class, layer.std_by_class)]
        columns = (layer.mean, layer.std, layer.min, layer.max, *of_classes)
        for channel, values in enumerate(zip(*columns, strict=True)):
            rows.append([layer.name, channel, *(f"{value:.6g}" for value in values)])
    titles = [title for name in classes for title in (name, f"{name} std")]
    write_csv(folder / "gates.csv", ["layer", "channel", "mean", "std", "min", "max", *titles], rows)
    draw_gates_by_class(drawn, folder / "gates_by_class.png", classes, channels)
    draw_gates_within_classes(drawn, folder / "gates_within_classes.png", classes, channels)
    draw_mean_gates(statistics, folder / "mean_gates.png")
    draw_separability(statistics, folder / "separability.png")
