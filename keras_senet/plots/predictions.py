"""Images with captions: what a network predicts, and where it is most wrong."""

import heapq
import math
import os
import textwrap
from collections.abc import Sequence

import numpy as np

from keras_senet.plots.figure import new_figure, save_figure


def draw_predictions(images: Sequence[np.ndarray], captions: Sequence[str], path: str | os.PathLike) -> None:
    """Draws images, each with a caption above it.

    Args:
        images: RGB pixels in [0, 255], each of the same shape `(H, W, 3)`.
        captions: caption of each image.
        path: `.png` file to write.
    """
    width = images[0].shape[1] / images[0].shape[0]
    columns = math.ceil(math.sqrt(2 * len(images) / width))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(1.5 * width * columns, 1.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image / 255)
        axes.set_title(textwrap.fill(caption, int(20 * width)), fontsize=9)
    save_figure(figure, path)


def panels(images: Sequence[np.ndarray]):
    """A figure with a place for each of some images, which may be of any shapes, large enough to write into them.

    Returns:
        The figure, and a list of matplotlib's axes, without ticks.
    """
    width = float(np.median([image.shape[1] / image.shape[0] for image in images]))
    columns = math.ceil(math.sqrt(len(images) / width))
    rows = math.ceil(len(images) / columns)
    side = 6 if len(images) <= 2 else 3  # inches
    figure = new_figure(side * width * columns, side * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    return figure, list(grid)


def most_wrong(
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    before: Sequence[tuple[float, np.ndarray, str]] = (),
) -> list[tuple[float, np.ndarray, str]]:
    """The 16 images for which a network gives a wrong class the highest probability, updated batch by batch.

    So only these images stay in memory.

    Args:
        images: one batch, RGB pixels in [0, 255] of shape `(N, H, W, 3)`.
        probabilities: output of the network for the batch, `(N, classes)`.
        labels: one-hot labels of the batch, `(N, classes)`.
        class_names: names of the classes.
        before: result of this function for the previous batches.

    Returns:
        For each image, the highest probability first: the probability of the wrong class, the image, and a caption for
        `draw_predictions`.

    Example:

    >>> from keras_senet.plots.predictions import most_wrong
    >>> images, probabilities, labels = np.zeros((1, 8, 8, 3)), np.array([[0.1, 0.9]]), np.array([[1, 0]])
    >>> [caption for _, _, caption in most_wrong(images, probabilities, labels, ["cat", "dog"])]
    ['dog 90.0%, is cat']
    """
    predicted, truth = probabilities.argmax(axis=1), labels.argmax(axis=1)
    mistakes = []
    for index in np.flatnonzero(predicted != truth):
        probability = float(probabilities[index, predicted[index]])
        caption = f"{class_names[predicted[index]]} {probability:.1%}, is {class_names[truth[index]]}"
        mistakes.append((probability, np.array(images[index]), caption))  # a copy, since a view would keep the whole batch
    return heapq.nlargest(16, [*before, *mistakes], key=lambda mistake: mistake[0])
