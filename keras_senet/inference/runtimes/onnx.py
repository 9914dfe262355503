"""ONNX Runtime: `.onnx` files."""

import os

import numpy as np

from keras_senet.errors import require
from keras_senet.inference.runtimes.runtime import Runtime, cannot_open


def open_onnx(path: str | os.PathLike) -> Runtime:
    """An ONNX file, on the CPU."""
    onnxruntime = require("onnxruntime", "runtimes")
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        (source,), (result, *_) = session.get_inputs(), session.get_outputs()
    except Exception as error:  # ONNX Runtime's error classes are not public
        raise cannot_open(path, "an ONNX image classifier", "onnxruntime", error) from error
    return Runtime(
        lambda images: session.run([result.name], {source.name: np.asarray(images, "float32")})[0],
        source.shape,
        result.shape,
    )
