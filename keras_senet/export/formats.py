"""The table of export formats."""

import os
import pathlib
from collections.abc import Callable

from keras_senet.export.proof import Proof
from keras_senet.export.to_onnx import onnx
from keras_senet.export.to_openvino import openvino
from keras_senet.export.to_saved_model import saved_model
from keras_senet.export.to_tflite import tflite

# By the suffix of the file; any other name is the folder of a SavedModel. A new format is a new file and a line here.
EXPORTERS: dict[str, Callable[..., Proof | None]] = {".tflite": tflite, ".onnx": onnx, ".xml": openvino}


def exporter_for(path: str | os.PathLike) -> Callable[..., Proof | None]:
    """The function that writes a file of this name: `exporter(model, path, class_names, images)`.

    Example:

    >>> keras_senet.export.exporter_for("digits.onnx") is keras_senet.export.onnx
    True
    """
    return EXPORTERS.get(pathlib.Path(path).suffix, saved_model)
