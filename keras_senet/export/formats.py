"""The table of export formats."""

import os
import pathlib
from collections.abc import Callable

from keras_senet.errors import InputError, did_you_mean
from keras_senet.export.proof import Proof
from keras_senet.export.to_onnx import onnx
from keras_senet.export.to_openvino import openvino
from keras_senet.export.to_saved_model import saved_model
from keras_senet.export.to_tflite import tflite

# By the suffix of the file; any other name is the folder of a SavedModel. A new format is a new file and a line here.
EXPORTERS: dict[str, Callable[..., Proof | None]] = {".tflite": tflite, ".onnx": onnx, ".xml": openvino}


def exporter_for(path: str | os.PathLike) -> Callable[..., Proof | None]:
    """The function that writes a file of this name: `exporter(model, path, class_names, images)`.

    Args:
        path: the file, whose suffix names the format, or the folder of a SavedModel.

    Returns:
        The function, such as `keras_senet.export.tflite`. It returns a `Proof`, or None where the file cannot be run here.

    Raises:
        ValueError: if the name ends in a suffix that no format has. The folder of a SavedModel has none, or a version number.

    Example:

    >>> keras_senet.export.exporter_for("digits.onnx") is keras_senet.export.onnx
    True
    """
    suffix = pathlib.Path(path).suffix
    if suffix not in EXPORTERS and suffix.removeprefix(".") and not suffix.removeprefix(".").isdigit():
        raise InputError(
            f"There is no format {suffix!r}.{did_you_mean(suffix, EXPORTERS)} Names end in {', '.join(EXPORTERS)}, or in nothing "
            f"for the folder of a SavedModel. Received: {path}"
        )
    return EXPORTERS.get(suffix, saved_model)
