"""Labels from a file instead of the dataset's own; an image may have several, or none."""

import collections
import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_senet.data.elements import padded_labels
from keras_senet.data.labelled_images import LabelledImages
from keras_senet.errors import InputError, existing_path, one_line


def relabelled(images: LabelledImages, path: str | os.PathLike) -> LabelledImages:
    """The same images with the labels in a file, without the images that have none there.

    Args:
        images: labelled images, from `keras_senet.data.load`, with distinct file names.
        path: a JSON file: an object that maps each image's file name to a list of class indices; or a list of such lists, sorted
            by file name, like the real.json that was published for the validation split of ImageNet.

    Returns:
        The images, for evaluation only: each label is a vector of class indices, padded with -1.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds anything else, or labels for other images.

    Source: Beyer et al., "Are we done with ImageNet?", arXiv 2006.07159, section 3.
    """
    names = [name.decode() for name in images.examples(None).map(lambda name, *_: name).as_numpy_iterator()]
    labels = _read(path, [os.path.basename(name) for name in names], len(images.class_names))
    padded = padded_labels(labels)
    rows = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(names, np.arange(len(names))), default_value=-1)

    def examples(seed, workers=1, worker=0):
        labelled = images.examples(seed, workers, worker).map(
            lambda name, source, _: (name, source, tf.gather(padded, rows.lookup(name)))
        )
        return labelled.filter(lambda name, source, label: label[0] >= 0)

    return dataclasses.replace(images, examples=examples, size=sum(map(bool, labels)), counts=None)


def _read(path: str | os.PathLike, names: list[str], classes: int) -> list[list[int]]:
    """The labels of each of the images `names`."""
    ((name, count),) = collections.Counter(names).most_common(1)
    if count > 1:
        raise InputError(f"A file of labels needs distinct file names, but {count} images are called {name}.")
    try:
        labels = json.loads(pathlib.Path(existing_path(path)).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a JSON file: {one_line(error)}") from error
    if isinstance(labels, list):
        if len(labels) != len(names):
            raise InputError(f"{path} has labels for {len(labels)} images, but the data has {len(names)}.")
        labels = dict(zip(sorted(names), labels, strict=True))
    if not isinstance(labels, dict):
        kind = type(labels).__name__
        raise InputError(f"{path} must hold a list of labels, or an object from file names to labels. It holds: {kind}")
    if unmatched := labels.keys() ^ set(names):
        raise InputError(
            f"{path} and the data differ in {len(unmatched)} images, such as {min(unmatched)}: each must be in both."
        )
    for name, label in labels.items():
        if not _is_label(label, classes):
            raise InputError(f"{path} must have a list of class indices from 0 to {classes - 1} for {name}. It has {label!r}.")
    if not any(labels.values()):
        raise InputError(f"{path} has no label for any image.")
    return [labels[name] for name in names]


def _is_label(label: Any, classes: int) -> bool:
    return isinstance(label, list) and all(type(index) is int and 0 <= index < classes for index in label)
