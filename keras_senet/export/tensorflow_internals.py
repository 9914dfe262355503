"""The private API of TensorFlow's converter that this package relies on, all of it.

The public converter measures ranges and quantizes in one step. We have to correct ranges in between, and to choose what stays in
floats. tests/test_tensorflow_internals.py states what we rely on; setup.cfg excludes releases of TensorFlow that have not been
tried, and `make lint` enforces that nothing else uses this API.
"""

import copy

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize.calibrator import Calibrator
from tensorflow.lite.tools import flatbuffer_utils


def converted_with_ranges(converter: tf.lite.TFLiteConverter) -> bytes:
    """A TFLite file in floats with the range of each feature map on the converter's representative dataset.

    Relies on `TFLiteConverter._experimental_calibrate_only`, and on `quantization.min` and `.max` of a tensor holding the range.
    """
    converter._experimental_calibrate_only = True
    return converter.convert()


def with_usable_ranges(file: bytes, input_range: tuple[float, float]) -> bytes:
    """The file with `input_range` for its input, and the range [0, 1] for feature maps that are zero on all images.

    Relies on `flatbuffer_utils` of `tensorflow.lite.tools`, and on the calibrator's running maximum starting at the smallest
    positive number.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(file))
    for tensor in model.subgraphs[0].tensors:
        low, high = tensor.quantization.min, tensor.quantization.max
        if high is not None and max(-low[0], high[0]) <= np.finfo("float32").tiny:
            tensor.quantization.max = [1.0]
    source = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].quantization
    source.min, source.max = ([end] for end in input_range)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def quantized_int8(file: bytes, ends: tf.DType, in_floats: set[str] | None = None) -> bytes:
    """A file with ranges, in 8-bit integers.

    Args:
        file: from `converted_with_ranges`.
        ends: type of the input and of the outputs.
        in_floats: names of operators that stay in floats.

    Relies on `mlir_quantize` and its `denylisted_ops`.
    """
    return mlir_quantize(file, input_data_type=ends, output_data_type=ends, denylisted_ops=in_floats)


def quantized_int16x8(file: bytes) -> bytes:
    """A file with ranges, in 16-bit integers with weights of 8 bits, between floats.

    Relies on `Calibrator.calibrate_and_quantize`, which keeps the ranges in the file if it gets no images.
    """
    no_more_images = tuple
    return Calibrator(_with_own_biases(file)).calibrate_and_quantize(
        no_more_images,
        tf.float32,
        tf.float32,
        allow_float=False,
        activations_type=tf.int16,
        bias_type=tf.int64,
        disable_per_channel_quantization_for_dense_layers=True,
    )


def _with_own_biases(file: bytes) -> bytes:
    """The file with a bias for each operator that shares one, as the levels of a detector do.

    The scale of a bias is that of the operator's input times that of its weights. The calibrator gives a common one that of the
    first operator alone, and the others compute something else.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(file))
    builtin = schema.BuiltinOperator
    with_bias = {builtin.CONV_2D, builtin.DEPTHWISE_CONV_2D, builtin.FULLY_CONNECTED}
    for graph in model.subgraphs:
        taken = set()
        for operator in graph.operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode not in with_bias or len(operator.inputs) < 3:
                continue
            bias = operator.inputs[2]
            if bias < 0:  # it has none
                continue
            if bias in taken:
                own = copy.copy(graph.tensors[bias])
                own.buffer = len(model.buffers)
                model.buffers.append(copy.copy(model.buffers[graph.tensors[bias].buffer]))
                operator.inputs[2] = len(graph.tensors)
                graph.tensors.append(own)
            taken.add(bias)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
