"""OpenVINO: `.xml` files, with their weights beside them in `.bin` files."""

import os

import numpy as np

from keras_senet.errors import require
from keras_senet.inference.runtimes.runtime import Runtime, cannot_open


def open_openvino(path: str | os.PathLike) -> Runtime:
    """An OpenVINO file, on the CPU in float32."""
    openvino = require("openvino", "runtimes")
    try:
        # By default OpenVINO computes in 16 bits on processors that can.
        compiled = openvino.Core().compile_model(os.fspath(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        input_shape, output_shape = (
            [dimension.get_length() if dimension.is_static else None for dimension in port.partial_shape]
            for port in (compiled.input(0), compiled.output(0))
        )
    except RuntimeError as error:
        raise cannot_open(path, "an OpenVINO image classifier", "openvino", error) from error

    def run(images):
        # A request of its own for each call, since threads would overwrite what is in a common one.
        return np.array(compiled.infer_new_request(np.asarray(images, "float32"))[0])

    return Runtime(run, input_shape, output_shape)
