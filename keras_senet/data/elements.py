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
        labels: int64 class indices of shape `(N,)`; or `(N, K)`, padded with -1, where an image may show several classes. For
            detection float32 objects of shape `(N, M, 6)`, see `placing.py`; for segmentation the sources of the masks, strings
            of shape `(N,)`.
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
        label: as in `Group`, and one-hot or multi-hot later; the mask for segmentation. Pixels and label become what the function
            `targets` of the batches makes of them, if there is one.
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


def batched(dataset: tf.data.Dataset, size: int, *, drop_remainder: bool = False) -> tf.data.Dataset:
    """Batches of a dataset; where its labels have as many rows as their images have objects, rows of -1 fill them up."""
    specs = tf.nest.flatten(dataset.element_spec)
    if all(spec.shape.rank is None or spec.shape.is_fully_defined() for spec in specs):
        return dataset.batch(size, drop_remainder)
    padding = tf.nest.map_structure(
        lambda spec: tf.constant("" if spec.dtype == tf.string else -1, spec.dtype), dataset.element_spec
    )
    return dataset.padded_batch(size, padding_values=padding, drop_remainder=drop_remainder)


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
