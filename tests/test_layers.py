"""The layers against numpy, Keras' own layers and their serialization."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_senet.layers import ChannelShuffle, DilatedPooling2D, GroupedConv2D, ShakeShake, SqueezeExcite, UpSamplingLike
from keras_senet.layers.grouped_conv2d import one_operator


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def as_numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_squeeze_excite_is_equations_2_to_4_of_the_paper():
    x = random(2, 5, 6, 32)
    layer = SqueezeExcite(reduction=8)
    y = as_numpy(layer(x))
    w1, b1, w2, b2 = (as_numpy(weight) for weight in layer.weights)
    assert w1.shape == (32, 4)
    z = x.mean(axis=(1, 2))
    s = 1 / (1 + np.exp(-(np.maximum(z @ w1 + b1, 0) @ w2 + b2)))
    np.testing.assert_allclose(y, x * s[:, None, None], atol=1e-5)
    np.testing.assert_allclose(as_numpy(layer.gates(x)), s, atol=1e-6)


def test_max_squeeze_takes_the_largest_value():
    x = random(2, 5, 6, 16)
    layer = SqueezeExcite(hidden_units=4, squeeze="max", gate="linear", activation="linear", use_bias=False)
    w1, w2 = (as_numpy(weight) for weight in (layer(x), layer.weights)[1])
    np.testing.assert_allclose(as_numpy(layer.gates(x)), x.max(axis=(1, 2)) @ w1 @ w2, atol=1e-5)


def test_without_squeeze_the_layers_are_1x1_convolutions():
    x = random(2, 5, 6, 16)
    layer = SqueezeExcite(reduction=4, squeeze=None)
    layer(x)
    first, second = keras.layers.Conv2D(4, 1, activation="relu"), keras.layers.Conv2D(16, 1, activation="sigmoid")
    second(first(x))
    weights = [as_numpy(weight) for weight in layer.weights]
    first.set_weights([weights[0][None, None], weights[1]])
    second.set_weights([weights[2][None, None], weights[3]])
    np.testing.assert_allclose(as_numpy(layer.gates(x)), as_numpy(second(first(x))), atol=1e-5)


@pytest.mark.parametrize("squeeze", ["avg", "max", None])
def test_both_data_formats_give_the_same(squeeze):
    x = random(2, 5, 6, 16)
    last = SqueezeExcite(reduction=4, squeeze=squeeze, data_format="channels_last")
    first = SqueezeExcite(reduction=4, squeeze=squeeze, data_format="channels_first")
    expected = as_numpy(last(x))
    x = x.transpose(0, 3, 1, 2)
    first(x)
    first.set_weights(last.get_weights())
    np.testing.assert_allclose(as_numpy(first(x)).transpose(0, 2, 3, 1), expected, atol=1e-6)
    if squeeze is None:
        assert first.gates(x).shape == (2, 16, 5, 6)


def test_in_float64_no_digit_is_lost():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 32))
    layer = SqueezeExcite(reduction=8, dtype="float64")
    layer.build(x.shape)
    w1, b1, w2, b2 = (ops.convert_to_numpy(weight) for weight in layer.weights)
    expected = 1 / (1 + np.exp(-(np.maximum(x.mean(axis=(1, 2)) @ w1 + b1, 0) @ w2 + b2)))
    np.testing.assert_allclose(ops.convert_to_numpy(layer.gates(x)), expected, rtol=1e-13)


@pytest.mark.parametrize(("policy", "dtype"), [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_the_mean_is_accumulated_in_float32(policy, dtype):
    # In float16 the sum would overflow at 65,504; in bfloat16 it would stop growing at 256 times the first value.
    x = np.full((1, 112, 112, 8), 100.0, "float32")
    layer = SqueezeExcite(hidden_units=8, activation="linear", gate="linear", use_bias=False, dtype=policy)
    layer.build(x.shape)
    layer.set_weights([np.eye(8, dtype="float32")] * 2)
    assert keras.backend.standardize_dtype(layer(x).dtype) == dtype
    np.testing.assert_array_equal(as_numpy(layer.gates(x)), 100)


def test_gates_can_be_read_from_inside_a_model(model):
    network = model("SEResNet20")
    blocks = [layer for layer in network.layers if isinstance(layer, SqueezeExcite)]
    reader = keras.Model(network.input, [*[block.gates(block.input) for block in blocks], network.output])
    *gates, output = reader(255 * abs(random(2, 32, 32, 3)))
    assert [gate.shape for gate in gates] == [(2, 16)] * 3 + [(2, 32)] * 3 + [(2, 64)] * 3
    assert output.shape == (2, 10)


def test_squeeze_excite_survives_serialization(tmp_path):
    inputs = keras.Input((8, 8, 16))
    block = SqueezeExcite(hidden_units=3, squeeze="max", activation="swish", gate="tanh", use_bias=False, name="se")
    network = keras.Model(inputs, block(inputs))
    network.save(tmp_path / "se.keras")
    loaded = keras.saving.load_model(tmp_path / "se.keras")
    assert loaded.get_layer("se").get_config() == block.get_config()
    x = random(2, 8, 8, 16)
    np.testing.assert_array_equal(as_numpy(loaded(x)), as_numpy(network(x)))


@pytest.mark.parametrize(
    ("arguments", "shape", "words"),
    [
        ({"reduction": 16}, (1, 4, 4, 8), "8 channels with reduction=16"),
        ({"reduction": 0}, (1, 4, 4, 8), "at least 1"),
        ({"squeeze": "mean"}, (1, 4, 4, 8), "'avg', 'max', None"),
        ({"data_format": "NHWC"}, (1, 4, 4, 8), "channels_last"),
        ({}, (1, 4, 32), "ndim=4"),
    ],
)
def test_squeeze_excite_says_what_it_accepts(arguments, shape, words):
    with pytest.raises(ValueError, match=words):
        SqueezeExcite(**arguments)(random(*shape))


GROUPED = [
    # channels, filters, groups, kernel size, strides, padding, dilation
    (128, 128, 32, 3, 1, "same", 1),
    (128, 256, 64, 3, 1, "same", 1),
    (64, 64, 32, 3, 2, "valid", 1),
    (24, 36, 3, 3, 2, "same", 1),
    (32, 64, 8, 1, 1, "valid", 1),
    (16, 48, 4, 3, 1, "valid", 2),
]


@pytest.mark.parametrize(("channels", "filters", "groups", "size", "strides", "padding", "dilation"), GROUPED)
def test_grouped_conv2d_equals_keras_forward_and_gradient(channels, filters, groups, size, strides, padding, dilation):
    import tensorflow as tf

    arguments = {"groups": groups, "strides": strides, "padding": padding, "dilation_rate": dilation, "activation": "relu"}
    ours, theirs = GroupedConv2D(filters, size, **arguments), keras.layers.Conv2D(filters, size, **arguments)
    x = tf.constant(random(2, 9, 9, channels))
    theirs(x)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    upstream = random(*theirs(x).shape)

    def forward_and_gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        kernel, bias = layer.trainable_variables
        return [y, *tape.gradient(y, [x, kernel.value, bias.value], output_gradients=tf.constant(upstream))]

    expected = forward_and_gradients(theirs)
    for run in (forward_and_gradients, tf.function(forward_and_gradients)):
        for result, reference in zip(run(ours), expected, strict=True):
            np.testing.assert_allclose(result, reference, atol=2e-5 * np.abs(reference).max())


def check_that_grouped_conv2d_trains() -> None:
    for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
        layer = GroupedConv2D(16, 3, groups=4, dtype=policy)
        network = keras.Sequential([keras.Input((8, 8, 8)), layer, keras.layers.GlobalAveragePooling2D()])
        network.compile("sgd", "mse", jit_compile=False)
        before = network.get_weights()[0]
        network.fit(np.ones((4, 8, 8, 8)), np.ones((4, 16)), verbose=0)
        assert abs(network.get_weights()[0] - before).max() > 0


def test_grouped_conv2d_trains_on_this_cpu_build():
    check_that_grouped_conv2d_trains()


@pytest.mark.slow
def test_grouped_conv2d_trains_without_onednn(python):
    # As on ARM: there TensorFlow has no gradient of its own for a grouped convolution; for float16 nowhere.
    done = python("import test_layers; test_layers.check_that_grouped_conv2d_trains()", TF_ENABLE_ONEDNN_OPTS="0")
    assert done.returncode == 0, done.stderr


def test_grouped_conv2d_is_several_plain_convolutions_on_a_cpu_and_one_in_a_tflite_file():
    import tensorflow as tf

    layer = GroupedConv2D(64, 3, groups=32)
    layer.build((None, 8, 8, 64))

    def operators():
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((1, 8, 8, 64))).graph
        return [operation.type for operation in graph.get_operations()]

    # Two channels a group: eight groups together fill the sixteen channels that a convolution computes well.
    assert operators().count("Conv2D") == 4
    assert not [name for name in operators() if "Call" in name]  # as of Keras' XLA program
    with one_operator():
        assert operators().count("Conv2D") == 1


def test_grouped_conv2d_channels_first_equals_channels_last():
    x = random(2, 9, 9, 32)
    last, first = (GroupedConv2D(32, 3, groups=8, data_format=f"channels_{end}") for end in ("last", "first"))
    expected = as_numpy(last(x))
    first.build((2, 32, 9, 9))
    first.set_weights(last.get_weights())
    try:
        result = as_numpy(first(x.transpose(0, 3, 1, 2)))
    except Exception as error:  # TensorFlow's own limit on CPUs without oneDNN
        if "NHWC" not in str(error):
            raise
        pytest.skip("this TensorFlow convolves channels_last only")
    np.testing.assert_allclose(result.transpose(0, 2, 3, 1), expected, atol=1e-5)


def test_channel_shuffle_is_a_transposition():
    """Zhang et al., arXiv 1707.01083, section 3.1: reshape to (groups, n), transpose, flatten."""
    x = random(2, 3, 4, 12)
    y = as_numpy(ChannelShuffle(3)(x))
    np.testing.assert_array_equal(y, x.reshape(2, 3, 4, 3, 4).swapaxes(3, 4).reshape(x.shape))
    first = as_numpy(ChannelShuffle(3, data_format="channels_first")(x.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), y)
    with pytest.raises(ValueError, match="groups=5, 12 channels"):
        ChannelShuffle(5)(x)
    with pytest.raises(ValueError, match="at least 1"):
        ChannelShuffle(0)
    with pytest.raises(ValueError, match="channels_last"):
        ChannelShuffle(3, data_format="foo")


def test_shake_shake_is_the_mean_outside_of_training():
    first, second = random(4, 3, 3, 2), random(4, 3, 3, 2) ** 2
    np.testing.assert_allclose(as_numpy(ShakeShake()([first, second])), (first + second) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="two maps of one shape"):
        ShakeShake()([first, second[:, 1:]])


def test_shake_shake_draws_a_share_for_each_image_and_another_for_its_gradient():
    import tensorflow as tf

    zeros, ones = np.zeros((1000, 2, 2, 3), "float32"), np.ones((1000, 2, 2, 3), "float32")
    first, second = tf.Variable(zeros), tf.Variable(ones)
    layer = ShakeShake(seed=0)
    with tf.GradientTape() as tape:
        mixed = layer([first, second], training=True)
    share = 1 - mixed.numpy()
    assert (share == share[:, :1, :1, :1]).all()
    share = share[:, 0, 0, 0]
    to_first, to_second = (gradient.numpy() for gradient in tape.gradient(mixed, [first, second]))
    assert (to_first == to_first[:, :1, :1, :1]).all()
    to_first = to_first[:, 0, 0, 0]
    np.testing.assert_allclose(to_first + to_second[:, 0, 0, 0], 1, atol=1e-6)
    for one in (share, to_first):  # evenly from 0 to 1
        assert 0 <= one.min() < 0.01 < 0.99 < one.max() <= 1
        assert abs(one.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(share, to_first)[0, 1]) < 0.1
    assert not np.array_equal(share, 1 - layer([first, second], training=True).numpy()[:, 0, 0, 0])


def test_shake_even_draws_a_share_forward_and_halves_the_gradient():
    """Gastaldi, arXiv 1705.07485, section 2.2, "Even" for the backward pass."""
    import tensorflow as tf

    first, second = (tf.Variable(np.full((1000, 2, 2, 3), value, "float32")) for value in (0, 1))
    with tf.GradientTape() as tape:
        mixed = ShakeShake("even", seed=0)([first, second], training=True)
    assert mixed.numpy().std() > 0.25
    for gradient in tape.gradient(mixed, [first, second]):
        np.testing.assert_array_equal(gradient, 0.5)
    with pytest.raises(ValueError, match="'shake', 'even'"):
        ShakeShake("odd")


@pytest.mark.parametrize(
    "layer", [ChannelShuffle(3, data_format="channels_first", name="shuffle"), ShakeShake("even", seed=7, name="shake")]
)
def test_layers_come_back_from_their_configuration(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def bordered(x: np.ndarray, padding, value: float) -> np.ndarray:
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("size", "rate", "padding"), [((2, 3), 2, ((0, 2), (1, 3))), ((3, 1), 3, ((0, 0), (0, 0))), ((1, 1), 4, ((0, 0), (0, 0)))]
)
def test_dilated_pooling_is_that_of_tensorflow(size, rate, padding, data_format):
    x = random(2, 9, 12, 4)

    def pooled(x, mode):
        return tf.nn.pool(x, size, mode, padding="VALID", dilations=(rate, rate)).numpy()

    # TensorFlow takes no padding here: it is a value that is never the maximum, and the share of what is no padding.
    expected = {
        "max": pooled(bordered(x, padding, -100), "MAX"),
        "avg": pooled(bordered(x, padding, 0), "AVG") / pooled(bordered(np.ones_like(x), padding, 0), "AVG"),
    }
    for mode, values in expected.items():
        layer = DilatedPooling2D(size, rate, padding, mode, data_format)
        found = layer(x) if data_format == "channels_last" else np.transpose(layer(x.transpose(0, 3, 1, 2)), (0, 2, 3, 1))
        np.testing.assert_allclose(found, values, atol=1e-6)


@pytest.mark.parametrize(("mode", "peer"), [("max", keras.layers.MaxPooling2D), ("avg", keras.layers.AveragePooling2D)])
def test_pooling_without_gaps_is_that_of_keras(mode, peer):
    x = random(2, 9, 12, 4)
    layer = DilatedPooling2D((3, 2), padding=((1, 1), (0, 1)), mode=mode)
    np.testing.assert_allclose(layer(x), peer((3, 2), 1, padding="same")(x), atol=1e-6)
    with pytest.raises(ValueError, match="`mode` must be one of .* Received: mode='mean'"):
        DilatedPooling2D(2, mode="mean")


@pytest.mark.parametrize(
    ("factor", "sides"), [(2, (5, 8)), (2, (6, 8)), (2, (7, 9)), (3, (6, 10)), (1, (4, 5)), (1, (3, 3)), (4, (12, 15))]
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_up_sampling_like_is_that_of_keras_cut_or_repeated_at_the_end(factor, sides, data_format):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    whole = as_numpy(layers.UpSampling2D(factor, interpolation="bilinear")(x))
    missing = [(0, max(side - found, 0)) for side, found in zip(sides, whole.shape[1:3], strict=True)]
    expected = np.pad(whole, [(0, 0), *missing, (0, 0)], "edge")[:, : sides[0], : sides[1]]
    maps = [x, np.zeros((2, *sides, 1), "float32")]
    if data_format == "channels_first":
        maps, expected = [each.transpose(0, 3, 1, 2) for each in maps], expected.transpose(0, 3, 1, 2)
    layer = UpSamplingLike(factor, data_format)
    np.testing.assert_allclose(layer(maps), expected, atol=1e-5)
    unknown = (None, None, 5) if data_format == "channels_last" else (5, None, None)
    like = (None, None, 1) if data_format == "channels_last" else (1, None, None)
    inputs = [keras.Input(unknown), keras.Input(like)]
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, *unknown)
    np.testing.assert_allclose(model.predict(maps, verbose=0), expected, atol=1e-5)


def test_up_sampling_like_repeats_a_map_of_one_position():
    x = np.arange(6.0, dtype="float32").reshape(2, 1, 1, 3)
    np.testing.assert_array_equal(UpSamplingLike()([x, np.zeros((2, 4, 7, 1))]), np.broadcast_to(x, (2, 4, 7, 3)))


def test_up_sampling_like_refuses_what_it_cannot_do():
    for factor in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"`factor` must be an integer of at least 1. Received: factor={factor}"):
            UpSamplingLike(factor)
    for inputs in (np.zeros((1, 2, 2, 3)), [np.zeros((1, 2, 2, 3))] * 3, [np.zeros((1, 3))] * 2):
        with pytest.raises(ValueError, match="'up' takes a list of two maps, .* Received: input of shape"):
            UpSamplingLike(name="up")(inputs)
