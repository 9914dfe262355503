"""What we rely on in the private API of TensorFlow's converter holds in the TensorFlow that is installed.

Each test looks at the files with LiteRT's public interpreter. Where one fails, keras_senet/export/tensorflow_internals.py has to
change, and nothing else.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_senet.export import tensorflow_internals as internals

IMAGES = np.random.default_rng(0).uniform(0, 1, (8, 1, 4, 4, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    """A map, and gates from hidden units that are never on."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, activation="relu", kernel_initializer="ones", name="live")(inputs)
    off = layers.Dense(4, "relu", bias_initializer=keras.initializers.Constant(-100))(layers.GlobalAveragePooling2D()(x))
    gates = layers.Reshape((1, 1, 4))(layers.Dense(4, "sigmoid")(off))
    x = layers.GlobalAveragePooling2D()(layers.Multiply()([x, gates]))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(3)(x)))


@pytest.fixture(scope="module")
def measured(model):
    return ranged(model)


def ranged(model: keras.Model) -> bytes:
    """A model as a file in floats with the ranges of its maps on the images."""
    pixels = tf.TensorSpec((1, 4, 4, 3), tf.float32)
    traced = tf.function(lambda x: model(x, training=False), [pixels], autograph=False).get_concrete_function()
    weights = tf.Module()
    weights.variables_of_model = [variable.value for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], weights)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in IMAGES)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return internals.converted_with_ranges(converter)


def opened(file: bytes) -> Interpreter:
    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    return interpreter


def outputs(interpreter: Interpreter) -> np.ndarray:
    values = []
    for image in IMAGES:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        values.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(values)


def types(interpreter: Interpreter) -> set:
    return {tensor["dtype"] for tensor in interpreter.get_tensor_details()}


def ranges(file: bytes) -> list[tuple[float, float]]:
    tensors = internals.flatbuffer_utils.read_model_from_bytearray(bytearray(file)).subgraphs[0].tensors
    return [(x.quantization.min[0], x.quantization.max[0]) for x in tensors if x.quantization.max is not None]


def test_the_converter_stops_in_floats_with_the_ranges_that_the_images_have(model, measured):
    np.testing.assert_allclose(outputs(opened(measured)), model(IMAGES[:, 0]), atol=1e-6)
    live = keras.Model(model.input, model.get_layer("live").output)(IMAGES[:, 0])
    highest = [high for _, high in ranges(measured)]
    assert any(high == pytest.approx(float(IMAGES.max())) for high in highest)
    assert any(high == pytest.approx(float(np.max(live)), rel=1e-5) for high in highest)


def test_a_map_that_is_zero_on_all_images_gets_a_range(measured):
    assert any(high <= np.finfo("float32").tiny for _, high in ranges(measured))
    usable = internals.with_usable_ranges(measured, (0.0, 1.0))
    changed = [pair for pair in zip(ranges(measured), ranges(usable), strict=True) if pair[0] != pair[1]]
    assert changed
    assert {new for _, new in changed} == {(0.0, 1.0)}
    wider = ranges(internals.with_usable_ranges(measured, (-2.0, 3.0)))
    assert [new for old, new in zip(ranges(usable), wider, strict=True) if old != new] == [(-2.0, 3.0)]
    np.testing.assert_array_equal(outputs(opened(usable)), outputs(opened(measured)))


@pytest.mark.parametrize(("ends", "floats"), [(tf.uint8, False), (tf.float32, True)])
def test_int8_has_integers_everywhere_but_at_ends_that_are_floats(model, measured, ends, floats):
    interpreter = opened(internals.quantized_int8(internals.with_usable_ranges(measured, (0.0, 1.0)), ends))
    assert interpreter.get_input_details()[0]["dtype"] == ends.as_numpy_dtype
    assert interpreter.get_output_details()[0]["dtype"] == ends.as_numpy_dtype
    assert (np.float32 in types(interpreter)) == floats
    if floats:
        np.testing.assert_allclose(outputs(interpreter), model(IMAGES[:, 0]), atol=0.02)


def test_an_operator_that_is_to_stay_in_floats_reads_and_makes_them(measured):
    file = internals.with_usable_ranges(measured, (0.0, 1.0))

    def types_at_softmax(file: bytes) -> set[int]:
        model = internals.flatbuffer_utils.read_model_from_bytearray(bytearray(file))
        softmax = internals.flatbuffer_utils.schema_fb.BuiltinOperator.SOFTMAX
        (operator,) = (x for x in model.subgraphs[0].operators if model.operatorCodes[x.opcodeIndex].builtinCode == softmax)
        return {model.subgraphs[0].tensors[index].type for index in (*operator.inputs, *operator.outputs)}

    kinds = internals.flatbuffer_utils.schema_fb.TensorType
    assert types_at_softmax(internals.quantized_int8(file, tf.float32)) == {kinds.INT8}
    assert types_at_softmax(internals.quantized_int8(file, tf.float32, {"SOFTMAX"})) == {kinds.FLOAT32}


def test_int16x8_keeps_the_ranges_without_images(model, measured):
    interpreter = opened(internals.quantized_int16x8(internals.with_usable_ranges(measured, (0.0, 1.0))))
    assert {np.int16, np.int8} < types(interpreter)
    np.testing.assert_allclose(outputs(interpreter), model(IMAGES[:, 0]), atol=2e-3)


def test_int16x8_gives_operators_that_share_a_bias_the_scale_of_each():
    """As the heads of detectors do, which all levels of a pyramid share."""
    shared = layers.Conv2D(3, 1, kernel_initializer="ones", bias_initializer=keras.initializers.Constant(1.0))
    inputs = keras.Input((4, 4, 3))
    large = layers.Rescaling(1.0)(layers.Conv2D(3, 1, kernel_initializer=keras.initializers.Constant(20.0))(inputs))
    shared_model = keras.Model(inputs, layers.Concatenate()([shared(large), shared(inputs)]))
    file = internals.with_usable_ranges(ranged(shared_model), (0.0, 1.0))
    found, expected = outputs(opened(internals.quantized_int16x8(file))), shared_model(IMAGES[:, 0])
    np.testing.assert_allclose(found[..., 3:], expected[..., 3:], atol=0.02)
