"""What flows through the training and evaluation pipelines: groups of encoded images, then examples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Group(NamedTuple):
    """Up to 64 encoded images that are decoded together.

    Attributes:
        names: the images' names, strings of shape `(N,)`.
        sources: what `LabelledImages.read` takes, strings of shape `(N,)`.
        labels: int64 class indices of shape `(N,)`; or `(N, K)`, padded with -1, where an image may show several classes.
        keys: a random key for each image, int64 of shape `(N, 2)`; `()` where nothing is random.
        batch_key: a random key of shape `(2,)` for the batch that begins with this group; `()` where nothing is random.
    """

    names: tf.Tensor
    sources: tf.Tensor
    labels: tf.Tensor
    keys: tf.Tensor | tuple[()] = ()
    batch_key: tf.Tensor | tuple[()] = ()


class Example(NamedTuple):
    """One decoded image, or a batch of them with one more axis in front.

    Attributes:
        pixels: float32 RGB in [0, 255], of shape `(H, W, 3)`, or `(views, H, W, 3)` for several views.
        label: as in `Group`, and one-hot or multi-hot later.
        key: the image's random key.
        batch_key: that of its group.
        slot: the image's position in its group, int32; -1 for a black image.
        group_names: the names of all images in its group, joined into one string.
    """

    pixels: tf.Tensor
    label: tf.Tensor
    key: tf.Tensor | tuple[()]
    batch_key: tf.Tensor | tuple[()]
    slot: tf.Tensor
    group_names: tf.Tensor


def padded_labels(labels: Sequence[Sequence[int]]) -> np.ndarray:
    """The labels of images that have several, or none: int64 class indices of shape `(N, K)`, padded with -1."""
    padded = np.full((len(labels), max(1, *map(len, labels))), -1, np.int64)
    for row, label in zip(padded, labels, strict=True):
        row[: len(label)] = label
    return padded


def hot_labels(labels: tf.Tensor, classes: int) -> tf.Tensor:
    """One-hot labels of class indices `(N,)`, or multi-hot ones of indices `(N, K)`: float32 of shape `(N, classes)`."""
    hot = tf.one_hot(labels, classes)
    return hot if labels.shape.rank == 1 else tf.reduce_max(hot, axis=1)
