"""Pictures of a run: how the network learned, and what it says of images."""

import heapq
import math
import os
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np

from keras_senet.errors import require
from keras_senet.export import Measurement
from keras_senet.files import read_csv
from keras_senet.plots.figure import new_figure, save_figure


def draw_learning_curve(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Draws loss and top-1 error by epoch, of the training and the held-out part, and the learning rate if it is known.

    Args:
        history: the history.csv of a run; where it has no finished epoch, nothing is drawn.
        path: the picture, a `.png` file.
    """
    history = pathlib.Path(history)
    rows = read_csv(history) if history.exists() else []
    if not rows:
        return

    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    panels = {
        "Loss": {"training": column("loss"), "held out": column("val_loss")},
        "Top-1 error, %": {"training": 100 * (1 - column("top1")), "held out": 100 * (1 - column("val_top1"))},
    }
    if "learning_rate" in rows[0]:
        panels["Learning rate"] = {"": column("learning_rate")}
    figure = new_figure(4.5 * len(panels), 3.5)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for part, values in lines.items():
            axes.plot(column("epoch") + 1, values, label=part, marker="o" if len(rows) == 1 else None)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend()
        if title == "Loss":
            axes.set_yscale("log")
            axes.minorticks_off()
            axes.yaxis.set_major_locator(require("matplotlib.ticker", "train").LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
    save_figure(figure, path)


def draw_predictions(images: Sequence[np.ndarray], captions: Sequence[str], path: str | os.PathLike) -> None:
    """Draws images with a caption above each.

    Args:
        images: RGB pixels in [0, 255], each of shape `(H, W, 3)`.
        captions: one for each image.
        path: the picture, a `.png` file.
    """
    columns = math.ceil(math.sqrt(2 * len(images)))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(1.5 * columns, 1.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image / 255)
        axes.set_title(textwrap.fill(caption, 20), fontsize=9)
    save_figure(figure, path)


def most_wrong(
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    before: Sequence[tuple[float, np.ndarray, str]] = (),
) -> list[tuple[float, np.ndarray, str]]:
    """The 16 images for which a network is most sure of a wrong class, so that their pictures need not all be kept.

    Args:
        images: one batch, RGB pixels in [0, 255] of shape `(N, H, W, 3)`.
        probabilities: what the network says of them, `(N, classes)`.
        labels: their labels, one-hot `(N, classes)`.
        class_names: names of the classes.
        before: what this function gave for the batches before.

    Returns:
        For each image, the surest first: the probability of the wrong class, the image, and a caption for `draw_predictions`.

    Example:

    >>> from keras_senet.plots.results import most_wrong
    >>> images, probabilities, labels = np.zeros((1, 8, 8, 3)), np.array([[0.1, 0.9]]), np.array([[1, 0]])
    >>> [caption for _, _, caption in most_wrong(images, probabilities, labels, ["cat", "dog"])]
    ['dog 90.0%, is cat']
    """
    said, truth = probabilities.argmax(axis=1), labels.argmax(axis=1)
    mistakes = []
    for index in np.flatnonzero(said != truth):
        probability = float(probabilities[index, said[index]])
        caption = f"{class_names[said[index]]} {probability:.1%}, is {class_names[truth[index]]}"
        mistakes.append((probability, np.array(images[index]), caption))  # a view would keep the batch
    return heapq.nlargest(16, [*before, *mistakes], key=lambda mistake: mistake[0])


def draw_confusion(confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike) -> None:
    """Draws which class is taken for which: the shade of a square is its share of the images of its true class.

    Args:
        confusion: number of images by true class (rows) and predicted class (columns), of shape `(classes, classes)`.
        class_names: names of the classes; written, with the numbers of images, where there are at most 20 classes.
        path: the picture, a `.png` file.
    """
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    classes = len(confusion)
    few = classes <= 20
    side = 2.5 + 0.45 * classes if few else 10
    figure = new_figure(side, side)
    axes = figure.subplots()
    # Roots show rare mistakes, and black even those of one pixel.
    shade, colors = (np.sqrt, "Blues") if few else (np.cbrt, "inferno")
    axes.imshow(shade(shares), cmap=colors, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    if few:
        names = [textwrap.fill(name, 20) for name in class_names]
        axes.set_xticks(range(classes), names, rotation=90)
        axes.set_yticks(range(classes), names)
        for row, column in np.argwhere(confusion):
            color = "white" if shares[row, column] > 0.4 else "black"
            axes.text(column, row, confusion[row, column], ha="center", va="center", color=color, fontsize=8)
    save_figure(figure, path)


def draw_tradeoff(measurements: Sequence[Measurement], accuracies: dict[str, float], path: str | os.PathLike) -> None:
    """Draws the accuracy of networks over the time that they take, one panel for each number of threads.

    Args:
        measurements: what `keras_senet.export.benchmark` found.
        accuracies: top-1 accuracy of each of their networks, in [0, 1].
        path: the picture, a `.png` file.
    """
    panels = sorted({one.threads for one in measurements})
    looks = {
        network: {"color": f"C{index}", "marker": "os^Dv<>p"[index % 8], "markersize": 8, "linestyle": "", "zorder": 3}
        for index, network in enumerate(accuracies)
    }
    figure = new_figure(max(6, 4 * len(panels)), 3.7 + 0.22 * len(accuracies))
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, threads in zip(row, panels, strict=True):
        for one in measurements:
            if one.threads == threads:
                fill = "none" if one.xnnpack is False else "full"
                look = looks[one.network] | {"fillstyle": fill, "clip_on": False}
                axes.plot(one.latency_ms, 100 * accuracies[one.network], **look)
        axes.set(title=f"{threads} thread{'s' * (threads > 1)}", xlabel="median latency, ms")
        axes.grid(alpha=0.3)
    percent = [100 * accuracy for accuracy in accuracies.values()]
    margin = max(1, 0.2 * (max(percent) - min(percent)))
    row[0].set_ylim(max(0, min(percent) - margin), min(100, max(percent) + margin))
    row[0].set_xlim(0, 1.08 * max(one.latency_ms for one in measurements))
    row[0].set_ylabel("top-1 accuracy, %")
    sizes = {one.network: one.size for one in measurements}
    for network, look in looks.items():
        row[0].plot([], [], label=f"{network}, {sizes[network] / 2**20:,.1f} MiB", **look)
    if any(one.xnnpack is False for one in measurements):
        row[0].plot([], [], "o", color="gray", markersize=8, fillstyle="none", label="hollow: without XNNPACK")
    figure.legend(loc="outside lower left", frameon=False)
    save_figure(figure, path)
