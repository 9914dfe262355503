"""Class names: kept in the network itself, written to labels.txt beside it for other programs, compared as people read them.

A network of this package keeps the names in the config of its layer PixelNormalization, beside the preprocessing, so that they
stay with it through Keras' own load and save. An exported file has them inside only if it is a TFLite file. All others depend on
labels.txt, one name a line: in the folder of a SavedModel, so that versions of it with other classes stand side by side, as
TensorFlow Serving wants them; beside all other files.
"""

import contextlib
import os
import pathlib
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_senet.detection import detecting
from keras_senet.errors import InputError
from keras_senet.files import as_lines, read_text, write_text
from keras_senet.inference.preprocessing import decode_predictions
from keras_senet.inference.tasks import shapes_of
from keras_senet.keras_internals import all_layers
from keras_senet.layers import PixelNormalization

LABELS_FILE = "labels.txt"
DEFAULT_THRESHOLD = 0.5  # of a label, where a network keeps none


def class_names_in(model: keras.Model) -> list[str]:
    """The class names that `model` keeps; an empty list if it keeps none, or they are not as many as its classes.

    They are not as many after its classifier was replaced.
    """
    classes = class_count(model)
    for layer in all_layers(model):
        if isinstance(layer, PixelNormalization) and len(layer.class_names) == classes:
            return list(layer.class_names)
    return []


def class_count(model: keras.Model) -> int:
    """The number of classes of a classifier, a detector or a segmenter."""
    _, shape = shapes_of(model)
    return detecting.class_count(model) if isinstance(shape, dict) else max(2, shape[-1])  # one sigmoid tells two classes apart


def keep_class_names(model: keras.Model, class_names: Iterable[str]) -> None:
    """Makes `model`, a network of this package with its preprocessing inside, keep the names of its classes."""
    (layer,) = (layer for layer in all_layers(model) if isinstance(layer, PixelNormalization))
    layer.class_names = tuple(class_names)


def thresholds_in(model: keras.Model) -> list[float]:
    """The thresholds of the labels that `model` keeps, in the order of its classes; an empty list if it gives an image one label.

    It is empty, too, after the classifier was replaced by one of another number of classes.
    """
    _, shape = shapes_of(model)
    if isinstance(shape, dict):  # of a detector
        return []
    for layer in all_layers(model):
        if isinstance(layer, PixelNormalization) and len(layer.thresholds) == shape[-1]:
            return list(layer.thresholds)
    return []


def keep_thresholds(model: keras.Model, thresholds: Iterable[float]) -> None:
    """Makes `model`, a network of this package with its preprocessing inside, keep the threshold of each label.

    Raises:
        ValueError: if one is not within (0, 1).
    """
    (layer,) = (layer for layer in all_layers(model) if isinstance(layer, PixelNormalization))
    layer.thresholds = tuple(map(float, thresholds))
    check_thresholds(layer.thresholds, model.name)


def check_thresholds(thresholds: Iterable[float], owner: object) -> None:
    """Raises a ValueError if a threshold is not within (0, 1)."""
    for threshold in thresholds:
        if not 0 < threshold < 1:
            raise InputError(f"The threshold of a label must be over 0 and below 1. {owner} has {threshold:g}.")


def known_class_names(path: str | os.PathLike, inside: Sequence[str], classes: int) -> tuple[list[str], pathlib.Path | None]:
    """The class names of the network at `path`, and the file that they come from: those inside it, or those in labels.txt.

    Args:
        path: path of the network.
        inside: the names that it keeps itself, if any. They are right: labels.txt may belong to another network. A warning says
            where the two differ.
        classes: number of its classes.

    Returns:
        The names and their file, or an empty list and None if they are not known.

    Raises:
        ValueError: if labels.txt cannot be read or has another number of names.
    """
    path = pathlib.Path(path)
    labels, beside = labels_file(path), read_labels(path, classes)
    if not inside:
        return beside, labels if beside else None
    if beside and not same_names(beside, inside):
        index = first_difference(beside, inside)
        warnings.warn(
            f"{labels} calls class {index} {beside[index]!r}, but {path.name} itself says {inside[index]!r}, which counts. "
            f"Correct {LABELS_FILE}, or remove it.",
            stacklevel=2,
        )
    return list(inside), path


def labels_file(network: pathlib.Path) -> pathlib.Path:
    """The labels.txt of a network: the one in it, if it is a folder that has one, or else the one beside it."""
    inside = network / LABELS_FILE
    return inside if inside.is_file() else network.with_name(LABELS_FILE)


def read_labels(network: str | os.PathLike, classes: int) -> list[str]:
    """The class names from the labels.txt of a network; an empty list if there is no such file.

    Args:
        network: path of the network.
        classes: number of its classes.

    Raises:
        ValueError: if the file is not text, or has another number of lines.
    """
    labels = labels_file(pathlib.Path(network))
    if not labels.is_file():
        return []
    names = normalized(read_text(labels).rstrip("\r\n").splitlines())
    if len(names) != classes:
        beside = "it is in" if labels.parent == pathlib.Path(network) else "beside it"
        raise InputError(
            f"{labels} names {len(names)} classes, but the network {beside} has {classes}: correct it, or choose "
            "another folder for the network."
        )
    return names


def write_labels(network: str | os.PathLike, class_names: Iterable[str]) -> None:
    """Writes the labels.txt of `network`: into a folder, and beside a file."""
    network = pathlib.Path(network)
    write_text(network / LABELS_FILE if network.is_dir() else network.with_name(LABELS_FILE), as_lines(class_names))


def check_class_names(class_names: Iterable[str], owner: object) -> None:
    """Refuses class names that labels.txt could not hold.

    Args:
        class_names: the names.
        owner: where they come from, for the message.

    Raises:
        ValueError: if a name is empty, is not UTF-8, or has a line break.
    """
    for name in class_names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"The class name {os.fsencode(name)!r} in {owner} is not UTF-8: rename it.") from error
        if name.splitlines() != [name]:
            raise InputError(f"The class name {name!r} in {owner} is empty or has a line break: rename it.")


def same_names(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether the names are equal, in the same order, for who reads them."""
    return normalized(one) == normalized(other)


def first_difference(one: Sequence[str], other: Sequence[str]) -> int:
    """The first place where two lists of names of equal length differ."""
    pairs = zip(normalized(one), normalized(other), strict=True)
    return next(index for index, (left, right) in enumerate(pairs) if left != right)


def normalized(names: Iterable[str]) -> list[str]:
    """The names in Unicode's normal form C, in which equal texts are equal: é is one character, where macOS writes two."""
    return [unicodedata.normalize("NFC", name) for name in names]


def numbered_labels(classes: int) -> list[str]:
    """The names "class 0", "class 1" and so on."""
    return [f"class {index}" for index in range(classes)]


def imagenet_labels() -> list[str]:
    """The names of the 1000 classes of ImageNet, which Keras downloads; numbers, with a warning, if that fails."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras prints its progress
            return [name for ((_, name, _),) in decode_predictions(np.eye(1000), top=1)]
    except Exception as error:  # Keras raises a bare Exception
        warnings.warn(f"Classes have numbers in place of names, which could not be downloaded: {error}", stacklevel=2)
        return numbered_labels(1000)
