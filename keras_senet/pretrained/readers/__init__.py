"""Reading files of weights: one file for each format, and the table of them."""

import os
from collections.abc import Callable

from keras_senet.errors import InputError, existing_path
from keras_senet.files import refuse_stand_in
from keras_senet.pretrained.readers.caffemodel import read_caffemodel
from keras_senet.pretrained.readers.keras_files import read_keras_file
from keras_senet.pretrained.readers.pth import read_pth
from keras_senet.pretrained.readers.safetensors import read_safetensors
from keras_senet.pretrained.weights import Weights

# By the end of the file's name. A new format is a file beside this one and a line here.
READERS: dict[str, Callable[[str], Weights]] = {
    ".weights.h5": read_keras_file,
    ".keras": read_keras_file,
    ".safetensors": lambda path: Weights.of_timm(path, read_safetensors(path)),
    ".pth": lambda path: Weights.of_timm(path, read_pth(path)),
    ".caffemodel": lambda path: Weights.in_layout(path, "caffe", read_caffemodel(path)),
}
SUFFIXES = tuple(READERS)


def read_weights(path: str | os.PathLike) -> Weights:
    """Reads a `.weights.h5` or `.keras` file, a `.safetensors` or `.pth` file of timm or torchvision, or a `.caffemodel`.

    Args:
        path: the file, whose suffix names the format.

    Returns:
        The tensors by name, with what the file says of its network, a `Weights`.

    Raises:
        FileNotFoundError: if there is no such file; the message suggests the nearest names.
        ValueError: if the file has another format, is damaged, or would run code.
        ImportError: for a `.safetensors` file, if safetensors is not installed.

    Example:

    >>> weights = keras_senet.pretrained.read_weights("saved_models/seresnet20_digits/model.keras")
    >>> weights.layout, weights.classes, weights.parameters["predictions/0"].shape
    ('keras', 10, (64, 10))
    """
    path = existing_path(path)
    refuse_stand_in(path)
    for suffix, read in READERS.items():
        if path.endswith(suffix):
            return read(path)
    raise InputError(f"Weights come from a file whose name ends in one of {', '.join(READERS)}. Received: {path}")
