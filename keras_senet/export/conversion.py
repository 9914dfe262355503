"""From a network to the bytes of a TFLite file, in any of its kinds of numbers."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize.calibrator import Calibrator
from tensorflow.lite.tools import flatbuffer_utils

from keras_senet.errors import InputError, one_line
from keras_senet.export.proof import Limits
from keras_senet.layers.grouped_conv2d import one_operator


@dataclasses.dataclass(frozen=True)
class Mode:
    """A kind of numbers in a TFLite file.

    Attributes:
        summary: what it is, in a line.
        limits: what it may lose.
        layer_error: root mean square error of a layer's output, relative to its values, above which something is wrong with it.
        calibrated: whether ranges of values have to be measured on images.
    """

    summary: str
    limits: Limits
    layer_error: float
    calibrated: bool = False


MODES = {
    "float32": Mode("as trained", Limits(1e-4, 1e-4, 0.999, 0.001), 0.001),
    "float16": Mode("weights of half the size, computed in float32", Limits(0.03, 0.003, 0.995, 0.003), 0.02),
    "dynamic": Mode("weights of 8 bits, maps quantized as they come", Limits(0.4, 0.03, 0.97, 0.01), 0.3),
    "int16x8": Mode("weights of 8 bits, maps of 16", Limits(0.2, 0.01, 0.98, 0.005), 0.1, calibrated=True),
    "int8": Mode("integers from the pixels, uint8, to the probabilities", Limits(0.5, 0.04, 0.96, 0.01), 0.4, calibrated=True),
    "int8_float_io": Mode(
        "integers between float32 pixels and probabilities", Limits(0.5, 0.04, 0.96, 0.01), 0.4, calibrated=True
    ),
}


def convert(model: keras.Model, mode: str, batch_size: int, calibration: np.ndarray | None) -> bytes:
    """A TFLite file.

    Args:
        model: a functional model that takes float32 RGB pixels `(N, H, W, 3)` in [0, 255]; its outputs, one or a dictionary, are
            those of the file.
        mode: one of `MODES`.
        batch_size: number of images that the file takes.
        calibration: such pixels, for the modes that need them.

    Raises:
        ValueError: if an operator has no counterpart in TFLite.
    """
    pixels = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32, name="images")

    def forward(images):
        if mode.startswith("int8"):
            # One step of the integers that come in is one step of a pixel's value, whatever the images of the calibration hold.
            images = tf.quantization.fake_quant_with_min_max_args(images, 0, 255)
        return model(images, training=False)

    # Keras' own archive would be written, read and read again: more than half of the time that all of this takes.
    weights = tf.Module()
    weights.variables_of_model = [variable.value for variable in model.variables]
    with one_operator():
        traced = tf.function(forward, [pixels], autograph=False).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], weights)
        # For which the whole file would be read and written again.
        converter.exclude_conversion_metadata = True
        if mode != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if mode == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if calibration is not None:
            images = np.resize(calibration, (-(-len(calibration) // batch_size), *pixels.shape))
            converter.representative_dataset = lambda: ([batch] for batch in images)
            integers = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            if mode == "int16x8":
                integers = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            converter.target_spec.supported_ops = [integers]
        try:
            if calibration is None:
                return converter.convert()
            measured = _measured(converter)
            if mode == "int16x8":
                no_more_images = tuple
                return Calibrator(measured).calibrate_and_quantize(
                    no_more_images, tf.float32, tf.float32, allow_float=False, activations_type=tf.int16, bias_type=tf.int64
                )
            ends = tf.uint8 if mode == "int8" else tf.float32
            # XNNPACK has no integer softmax, and where probabilities are floats they need not be integers before.
            in_floats = {"SOFTMAX"} if mode == "int8_float_io" else None
            return mlir_quantize(measured, input_data_type=ends, output_data_type=ends, denylisted_ops=in_floats)
        except Exception as error:  # the converter's own error class is not public
            raise InputError(one_line(error)) from error


def _measured(converter: tf.lite.TFLiteConverter) -> bytes:
    """The file in floats with the range of each map, which for those that are zero on all images is not what was measured.

    All hidden units of an excitation may be off, and so may any map after ReLU. Integers of such a range have steps so small that
    some runtimes refuse the file and others end the process.
    """
    converter._experimental_calibrate_only = True
    file = flatbuffer_utils.read_model_from_bytearray(bytearray(converter.convert()))
    for tensor in file.subgraphs[0].tensors:
        low, high = tensor.quantization.min, tensor.quantization.max
        # The least positive number is where the search for a maximum starts.
        if high is not None and max(-low[0], high[0]) <= np.finfo("float32").tiny:
            tensor.quantization.max = [1.0]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))
