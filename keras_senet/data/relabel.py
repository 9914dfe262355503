"""Labels from a file in place of the dataset's own, where an image may show several classes."""

import collections
import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_senet.data.sources import LabelledImages
from keras_senet.errors import InputError, existing_path


def relabelled(images: LabelledImages, path: str | os.PathLike) -> LabelledImages:
    """The same images with all the classes that each shows; without those that show none.

    Args:
        images: labelled images, from `keras_senet.data.load`, whose files have different names.
        path: a JSON file: an object with a list of class indices for the file name of each image, or a list of such lists in the
            order of the sorted file names, as the real.json that was published for the validation part of ImageNet.

    Returns:
        The images, for evaluation only: a label is a vector of class indices, filled up with -1.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file does not hold this, for these images.

    Source: Beyer et al., "Are we done with ImageNet?", arXiv 2006.07159, section 3.
    """
    names = [name.decode() for name in images.examples(None).map(lambda name, *_: name).as_numpy_iterator()]
    labels = _read(path, [os.path.basename(name) for name in names], len(images.class_names))
    padded = np.full((len(names), max(map(len, labels))), -1)
    for row, label in zip(padded, labels, strict=True):
        row[: len(label)] = label
    rows = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(names, np.arange(len(names))), default_value=-1)

    def examples(seed, workers=1, worker=0):
        given = images.examples(seed, workers, worker).map(
            lambda name, source, _: (name, source, tf.gather(padded, rows.lookup(name)))
        )
        return given.filter(lambda name, source, label: label[0] >= 0)

    return dataclasses.replace(images, examples=examples, size=sum(map(bool, labels)))


def _read(path: str | os.PathLike, names: list[str], classes: int) -> list[list[int]]:
    """The labels of the images called `names`, in this order."""
    ((name, count),) = collections.Counter(names).most_common(1)
    if count > 1:
        raise InputError(f"Labels from a file go by the file names of the images, and {count} images are called {name}.")
    try:
        given = json.loads(pathlib.Path(existing_path(path)).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a JSON file: {error}") from error
    if isinstance(given, list):
        if len(given) != len(names):
            raise InputError(f"{path} has labels for {len(given)} images, but the data has {len(names)}.")
        given = dict(zip(sorted(names), given, strict=True))
    if not isinstance(given, dict):
        held = type(given).__name__
        raise InputError(f"{path} must hold a list of labels, or an object from file names to labels. It holds: {held}")
    if unfit := given.keys() ^ set(names):
        raise InputError(f"{path} and the data differ in {len(unfit)} images, such as {min(unfit)}: each must be in both.")
    for name, label in given.items():
        if not _is_label(label, classes):
            raise InputError(f"{path} must have a list of class indices from 0 to {classes - 1} for {name}. It has {label!r}.")
    if not any(given.values()):
        raise InputError(f"{path} has no label for any image.")
    return [given[name] for name in names]


def _is_label(label: Any, classes: int) -> bool:
    return isinstance(label, list) and all(type(index) is int and 0 <= index < classes for index in label)
