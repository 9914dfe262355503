"""The conversion of a network to the bytes of a TFLite file, in each quantization."""

import keras
import numpy as np
import tensorflow as tf

from keras_senet.errors import InputError, one_line
from keras_senet.export.tensorflow_internals import (
    converted_with_ranges,
    quantized_int8,
    quantized_int16x8,
    with_usable_ranges,
)
from keras_senet.layers.grouped_conv2d import one_operator


def convert(model: keras.Model, quantization: str, batch_size: int, calibration: np.ndarray | None) -> bytes:
    """The content of a TFLite file.

    Args:
        model: functional model that takes float32 RGB pixels `(N, H, W, 3)` in [0, 255] and has one output or a dictionary.
        quantization: key of `QUANTIZATIONS`.
        batch_size: number of images that the file takes.
        calibration: pixels to measure ranges on; None for quantizations that do not measure.

    Raises:
        ValueError: if TFLite does not have an operator.
    """
    pixels = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32, name="images")

    # Convert from memory: writing and reading a SavedModel would take more than half of the total time.
    weights = tf.Module()
    weights.variables_of_model = [variable.value for variable in model.variables]
    with one_operator():
        traced = tf.function(lambda images: model(images, training=False), [pixels], autograph=False).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], weights)
        # Adding that metadata would read and write the whole file once more.
        converter.exclude_conversion_metadata = True
        if quantization != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if calibration is not None:
            images = np.resize(calibration, (-(-len(calibration) // batch_size), *pixels.shape))
            converter.representative_dataset = lambda: ([batch] for batch in images)
            integers = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            if quantization == "int16x8":
                integers = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            converter.target_spec.supported_ops = [integers]
        try:
            if calibration is None:
                return converter.convert()
            # All hidden units of an excitation can be off, and so can any map after a ReLU. The range of such a map would give
            # the integers a step so small that some runtimes refuse the file and others crash.
            # One step of the input's integers is one step of a pixel, whatever the calibration images are.
            measured = with_usable_ranges(converted_with_ranges(converter), (0.0, 255.0))
            if quantization == "int16x8":
                return quantized_int16x8(measured)
            ends = tf.uint8 if quantization == "int8" else tf.float32
            # XNNPACK has no integer softmax, and float probabilities do not need one.
            in_floats = {"SOFTMAX"} if quantization == "int8_float_io" else None
            return quantized_int8(measured, ends, in_floats)
        except Exception as error:  # the converter's error class is not public
            raise InputError(one_line(error)) from error
