"""How good the masks of a network are: the overlap of each class, by the metric of Keras."""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from keras_senet.errors import InputError

NO_CLASS = 255  # value of the pixels of a mask that count neither in the loss nor in the measure


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Intersection over union of the pixels of each class, over all images together, in [0, 1].

    Attributes:
        mean: mean over the classes that there are, in the masks or in what was predicted.
        per_class: by the index of each class that there is.
        accuracy: share of the pixels whose class is right.

    Example:

    >>> masks = np.array([[[0, 1, 1]]])
    >>> overlap = keras_senet.segmentation.mean_iou([(masks, 1 - masks)], classes=2)
    >>> overlap.mean, overlap.accuracy
    (0.0, 0.0)
    """

    mean: float
    per_class: dict[int, float]
    accuracy: float


def mean_iou(batches: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> Overlap:
    """Mean intersection over union, by `keras.metrics.MeanIoU`.

    Args:
        batches: pairs of true masks, integers `(N, H, W)` in which 255 is of no class, and predicted ones of the same shape.
        classes: number of classes, the background among them.

    Returns:
        An `Overlap`.

    Raises:
        ValueError: if no pixel has a class, or a mask has a class that there is not.

    Example:

    >>> truth, predicted = np.array([[[0, 0, 1, 255]]]), np.array([[[0, 1, 1, 0]]])
    >>> measured = keras_senet.segmentation.mean_iou([(truth, predicted)], classes=3)
    >>> measured.mean, measured.per_class
    (0.5, {0: 0.5, 1: 0.5})
    """
    metric = keras.metrics.MeanIoU(classes, ignore_class=NO_CLASS)
    for truth, predicted in batches:
        truth = np.asarray(truth, "int64")
        odd = truth[(truth >= classes) & (truth != NO_CLASS)]
        if odd.size:
            raise InputError(
                f"A mask has pixels of class {odd.max()}, but there are the classes 0 to {classes - 1}, and {NO_CLASS}."
            )
        metric.update_state(truth, predicted)
    confusion = keras.ops.convert_to_numpy(metric.total_cm).astype("float64")
    if not confusion.any():
        raise InputError("No pixel of the masks has a class: measure on another split.")
    right, either = confusion.diagonal(), confusion.sum(axis=0) + confusion.sum(axis=1) - confusion.diagonal()
    return Overlap(
        mean=float(metric.result()),
        per_class={int(index): float(right[index] / either[index]) for index in np.flatnonzero(either)},
        accuracy=float(right.sum() / confusion.sum()),
    )
