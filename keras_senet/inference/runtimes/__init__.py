"""The libraries that run networks: one file for each, and the table of them."""

import os
import pathlib
from collections.abc import Callable

from keras_senet.errors import InputError
from keras_senet.files import refuse_stand_in
from keras_senet.inference.runtimes.keras_file import load_keras_model, open_keras_file, open_keras_model, run_keras
from keras_senet.inference.runtimes.onnx import open_onnx
from keras_senet.inference.runtimes.openvino import open_openvino
from keras_senet.inference.runtimes.runtime import Runtime
from keras_senet.inference.runtimes.saved_model import is_saved_model, open_saved_model
from keras_senet.inference.runtimes.tflite import open_tflite

__all__ = [
    "RUNTIMES",
    "Runtime",
    "is_saved_model",
    "load_keras_model",
    "open_keras_model",
    "open_onnx",
    "open_openvino",
    "open_runtime",
    "open_saved_model",
    "open_tflite",
    "run_keras",
]

# By the suffix of the file; a SavedModel is a folder of any name. A new runtime is a file beside this one and a line here.
RUNTIMES: dict[str, Callable[[str | os.PathLike], Runtime]] = {
    ".keras": open_keras_file,
    ".tflite": open_tflite,
    ".onnx": open_onnx,
    ".xml": open_openvino,
}


def open_runtime(path: pathlib.Path) -> Runtime:
    """The network at `path`, which exists, in the library that runs it.

    Raises:
        ValueError: if the file is damaged, or of no kind that a runtime takes.
        ImportError: if the package that runs it is not installed.
    """
    refuse_stand_in(path)
    if path.suffix in RUNTIMES:
        return RUNTIMES[path.suffix](path)
    if is_saved_model(path):
        return open_saved_model(path)
    *others, last = RUNTIMES
    raise InputError(f"{path} is neither a {', '.join(others)} or {last} file, nor the folder of a SavedModel.")
