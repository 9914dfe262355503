"""Class names: the file labels.txt beside a network, one name a line, and what stands in for it where there is none."""

import contextlib
import os
import pathlib
import sys
import warnings
from collections.abc import Iterable

import numpy as np

from keras_senet.errors import InputError
from keras_senet.files import as_lines, write_text
from keras_senet.inference.preprocessing import decode_predictions

LABELS_FILE = "labels.txt"


def read_labels(network: str | os.PathLike, classes: int) -> list[str]:
    """The class names from the labels.txt beside a network; an empty list if there is no such file.

    Args:
        network: path of the network.
        classes: number of its classes.

    Raises:
        ValueError: if the file has another number of lines.
    """
    labels = pathlib.Path(network).with_name(LABELS_FILE)
    if not labels.is_file():
        return []
    names = labels.read_text(encoding="utf-8").splitlines()
    if len(names) != classes:
        raise InputError(
            f"{labels} names {len(names)} classes, but the network beside it has {classes}: correct it, or choose "
            "another folder for the network."
        )
    return names


def write_labels(network: str | os.PathLike, class_names: Iterable[str]) -> None:
    """Writes a labels.txt beside `network`."""
    write_text(pathlib.Path(network).with_name(LABELS_FILE), as_lines(class_names))


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
