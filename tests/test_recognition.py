"""SE of other libraries is found in the graph, read, pruned and removed; what only looks like SE is left alone."""

import json
import re

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import applications, layers, ops

import keras_senet
from keras_senet.analysis import profile, prune
from keras_senet.analysis.gate_reader import GateReader
from keras_senet.layers import SqueezeExcite
from keras_senet.rewrite.for_cpu import optimized_for_cpu
from keras_senet.rewrite.recognition import se_blocks, with_known_gates

THREE = ["EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small"]
SMALLEST_FIRST = ["MobileNetV3Small", *[pytest.param(name, marks=pytest.mark.exhaustive) for name in THREE[:2]]]

# The number of SE blocks: in EfficientNet all inverted residual blocks, whose repeats (arXiv 1905.11946, table 1: 1, 2, 2, 3, 3,
# 4, 1) grow with the depth coefficient; in EfficientNetV2 those of the stages that are not fused (arXiv 2104.00298, tables 4 and
# S: 6, 9, 15; M and L have one stage more); in MobileNetV3 the blocks with a check mark (arXiv 1905.02244, tables 1 and 2).
EFFICIENT_NET_DEPTHS = (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)
BLOCKS = {
    **{
        f"EfficientNetB{number}": sum(int(np.ceil(depth * repeats)) for repeats in (1, 2, 2, 3, 3, 4, 1))
        for number, depth in enumerate(EFFICIENT_NET_DEPTHS)
    },
    **{
        f"EfficientNetV2B{number}": sum(int(np.ceil(depth * repeats)) for repeats in (3, 5, 8))
        for number, depth in enumerate((1.0, 1.1, 1.2, 1.4))
    },
    "EfficientNetV2S": 6 + 9 + 15,
    "EfficientNetV2M": 7 + 14 + 18 + 5,
    "EfficientNetV2L": 10 + 19 + 25 + 7,
    "MobileNetV3Large": 8,
    "MobileNetV3Small": 9,
}
SMALL = {*THREE, "MobileNetV3Large"}


def application(name: str, **options) -> keras.Model:
    """A network of keras.applications with random weights, in which each channel of each layer differs."""
    keras.utils.set_random_seed(0)
    model = getattr(applications, name)(weights=None, **{"input_shape": (64, 64, 3), "classes": 10} | options)
    random = np.random.default_rng(0)
    for weight in model.weights:
        if re.search(r"(bias|beta|gamma|moving_mean)$", weight.path):
            weight.assign(weight + random.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture(scope="module")
def networks():
    """Function from a name in `THREE` to that network."""
    made = {}
    return lambda name: made.get(name) or made.setdefault(name, application(name))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(0, 255, (6, 64, 64, 3)).astype("float32")


@pytest.mark.parametrize("name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.exhaustive) for name in BLOCKS])
def test_every_block_of_keras_applications_is_found(name, without_weights):
    model = getattr(applications, name)(weights=None, input_shape=(96, 96, 3))
    blocks = se_blocks(model)
    assert len(blocks) == BLOCKS[name]
    # The layers that keras.applications itself names so are those of the blocks, but for activations in MobileNetV3.
    named = {layer.name for layer in model.layers if re.search("_se_|squeeze_excite", layer.name)}
    found = {layer.name for block in blocks.values() for layer in block.layers}
    assert named <= found
    assert all(re.match("add|re_lu|multiply", name) for name in found - named)
    kinds = {(block.arguments["activation"], block.arguments["gate"]) for block in blocks.values()}
    assert kinds == {("relu", "hard_sigmoid") if "Mobile" in name else ("silu", "sigmoid")}
    cost = profile(model)
    assert cost.attention_blocks == BLOCKS[name]
    weighted = [layer for layer in model.layers if layer.name in named and layer.weights]
    assert cost.attention.parameters == sum(layer.count_params() for layer in weighted) > 0


@pytest.mark.parametrize("name", THREE)
def test_gates_are_the_tensors_by_which_the_maps_are_multiplied(name, networks, images):
    model = networks(name)
    products = [layer for layer in model.layers if re.search("se_excite|squeeze_excite_mul", layer.name)]
    expected = keras.Model(model.inputs, [layer.input[1] for layer in products]).predict_on_batch(images)
    gates = keras_senet.gates(model, images, batch_size=4)
    blocks = [re.sub("(_se_excite|_squeeze_excite_mul)$", "_se", layer.name) for layer in products]
    assert list(gates) == blocks
    for found, tensor in zip(gates.values(), expected, strict=True):
        np.testing.assert_allclose(found, tensor[:, 0, 0], atol=1e-6)
    first = gates[blocks[0]]
    assert first.std() > 0.05  # else the comparison would say little


@pytest.mark.parametrize("name", THREE)
def test_blocks_become_layers_and_the_outputs_stay(name, networks, images):
    model = networks(name)
    features = keras.Model(model.input, model.layers[-3].output)  # before the classifier, whose softmax hides much
    known = with_known_gates(features)
    attention = [layer for layer in known.layers if isinstance(layer, SqueezeExcite)]
    assert [layer.name for layer in attention] == list(keras_senet.gates(model, images))
    assert known.count_params() == features.count_params()
    expected = features(images)
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(known(images), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    found = keras_senet.gates(known, images)
    for layer, gates in keras_senet.gates(model, images).items():
        np.testing.assert_allclose(found[layer], gates, atol=1e-5)
    assert with_known_gates(known) is known


@pytest.mark.parametrize("name", SMALLEST_FIRST)
def test_pruned_networks_take_a_tenth_less(name, networks, images):
    model = networks(name)
    smaller, report = prune(model, images, keep_ratio=0.8)
    assert not report.left
    assert report.after.multiply_adds < 0.9 * report.before.multiply_adds
    assert report.before.multiply_adds == profile(model).total.multiply_adds
    assert report.after.parameters == sum(ops.size(weight) for weight in smaller.trainable_weights)
    np.testing.assert_allclose(np.abs(smaller(images) - model(images)).max(), report.largest_difference, atol=1e-6)


def test_channels_that_are_always_shut_go_and_the_outputs_stay(images):
    model = application("MobileNetV3Small")
    for name, block in se_blocks(model).items():
        kernel, bias = block.expand.get_weights()
        shut = np.random.default_rng(len(name)).permutation(len(bias))[: len(bias) // 4]
        bias += 10  # far from those that are shut, whose gates are exactly zero
        kernel[..., shut], bias[shut] = 0, -100
        block.expand.set_weights([kernel, bias])
        squeezed = block.reduce.get_weights()
        squeezed[0][..., shut, :] = 0
        block.reduce.set_weights(squeezed)
    smaller, report = prune(model, images, keep_ratio=0.75)
    assert report.largest_difference < 1e-5
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)


@pytest.mark.parametrize("name", SMALLEST_FIRST)
def test_gates_that_do_not_depend_on_the_image_are_removed_without_a_change(name, images):
    model = application(name)
    for block in se_blocks(model).values():
        block.expand.kernel.assign(ops.zeros_like(block.expand.kernel))
    plain = keras_senet.remove_se(model)  # a warning would be an error
    assert plain.count_params() == model.count_params() - profile(model).attention.parameters
    np.testing.assert_allclose(plain(images), model(images), atol=1e-5)
    assert not se_blocks(plain)


def test_gates_that_depend_on_the_image_are_named_when_they_are_removed(networks, images):
    model = networks("MobileNetV3Small")
    with pytest.warns(UserWarning, match=r"in 9 of its 9 SE layers the gates vary.*expanded_conv_se \(by 0\.\d+\)"):
        keras_senet.remove_se(model, keras_senet.gates(model, images))


def test_add_se_says_where_se_stands_already(networks):
    with pytest.raises(ValueError, match="has SE already, in 'block1a_se'"):
        keras_senet.add_se(networks("EfficientNetB0"))


def test_networks_from_files_and_of_any_size_are_read(tmp_path, images):
    model = application("MobileNetV3Small", input_shape=(None, None, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = keras_senet.gates(model, images)
    assert len(expected) == 9
    for name, gates in keras_senet.gates(loaded, images).items():
        np.testing.assert_array_equal(gates, expected[name])
    known = with_known_gates(loaded)
    known.save(tmp_path / "known.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "known.keras")(images), model(images), atol=1e-6)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_networks_with_channels_first_are_read(channels_first, images):
    model = application("EfficientNetB0", input_shape=(3, 64, 64))
    images = images.transpose(0, 3, 1, 2)
    products = [layer for layer in model.layers if layer.name.endswith("_se_excite")]
    expected = keras.Model(model.input, [layer.input[1] for layer in products]).predict_on_batch(images)
    gates = keras_senet.gates(model, images)
    assert len(gates) == 16
    for found, tensor in zip(gates.values(), expected, strict=True):
        np.testing.assert_allclose(found, tensor[:, :, 0, 0], atol=1e-6)
    known = with_known_gates(model)
    assert known.get_layer("block1a_se").data_format == "channels_first"
    np.testing.assert_allclose(known(images), model(images), atol=1e-5)


SIZE = (9, 7, 6)


def squeezed(x, way: str):
    """The mean of a map `(N, H, W, C)`, `(N, 1, 1, C)` or `(N, C)`."""
    if way == "reshape":
        return layers.Reshape((1, 1, x.shape[-1]))(layers.GlobalAveragePooling2D()(x))
    return {
        "keepdims": lambda: layers.GlobalAveragePooling2D(keepdims=True)(x),
        "mean": lambda: ops.mean(x, (1, 2), keepdims=True),
        "axis by axis": lambda: ops.mean(ops.mean(x, 2, keepdims=True), -3, keepdims=True),
        "pooling": lambda: layers.AveragePooling2D(x.shape[1:3])(x),
        "sum": lambda: ops.sum(x, (1, 2), keepdims=True) / (x.shape[1] * x.shape[2]),
        "flat": lambda: layers.GlobalAveragePooling2D()(x),
        "maximum": lambda: layers.GlobalMaxPooling2D(keepdims=True)(x),
    }[way]()


def small(squeeze="keepdims", fused=None, act=None, gate=None, fused_gate=None, dense=False, bias=True, flip=False, **other):
    """A network with one SE block, written in one of many ways."""
    keras.utils.set_random_seed(0)
    options = {"use_bias": bias, "bias_initializer": "normal", **other} if bias else {"use_bias": False, **other}

    def weighted(units, activation):
        return layers.Dense(units, activation, **options) if dense else layers.Conv2D(units, 1, activation=activation, **options)

    images = keras.Input(SIZE)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(images)
    y = weighted(4, fused)(squeezed(x, squeeze))
    y = act(y) if act else y
    y = weighted(6, fused_gate)(y)
    y = gate(y) if gate else y
    y = layers.Reshape((1, 1, 6))(y) if len(y.shape) == 2 else y
    x = y * x if flip else layers.Multiply()([x, y])
    return keras.Model(images, layers.Conv2D(5, 1, name="project")(x))


def rescaled(x):
    """The hard sigmoid, as Keras 2 would write it."""
    return layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(x)) / 6


WAYS = {
    "layers": {"act": layers.ReLU(), "gate": layers.Activation("sigmoid")},
    "fused": {"fused": "relu", "fused_gate": "sigmoid"},
    "fused hard": {"fused": "relu", "fused_gate": "hard_sigmoid", "dense": True},
    "operations": {"squeeze": "mean", "act": ops.silu, "gate": ops.sigmoid, "flip": True},
    "silu by hand": {"act": lambda x: x * ops.sigmoid(x), "gate": ops.hard_sigmoid},
    "keras 2": {"squeeze": "reshape", "act": ops.relu, "gate": rescaled},
    "flat": {"squeeze": "flat", "dense": True, "fused": "gelu", "fused_gate": "sigmoid"},
    "no bias": {"squeeze": "pooling", "fused": "tanh", "fused_gate": "sigmoid", "bias": False},
    "slope": {"squeeze": "sum", "act": layers.LeakyReLU(0.1), "gate": ops.sigmoid},
    "no activation": {"squeeze": "axis by axis", "gate": ops.sigmoid},
    "maximum": {"squeeze": "maximum", "fused": "relu", "fused_gate": "sigmoid"},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_se_is_found(way, tmp_path):
    model = small(**WAYS[way])
    x = np.random.default_rng(0).normal(size=(5, *SIZE)).astype("float32")
    known = with_known_gates(model)
    assert [layer.name for layer in known.layers[1:]] == ["depthwise", "depthwise_se", "project"]
    np.testing.assert_allclose(known(x), model(x), atol=1e-6)
    gates = keras_senet.gates(model, x)["depthwise_se"]
    np.testing.assert_allclose(keras_senet.gates(known, x)["depthwise_se"], gates, atol=1e-6)
    assert gates.shape == (5, 6)
    # The product divided by the map, which knows nothing of how the gates are made.
    product = next(layer for layer in model.operations if "multiply" in layer.name and layer.output.shape == (None, *SIZE))
    maps = keras.Model(model.input, [model.get_layer("depthwise").output, product.output])(x)
    np.testing.assert_allclose((maps[1] / maps[0])[:, 4, 3], gates, rtol=1e-4)
    known.save(tmp_path / "known.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "known.keras")(x), known(x))


def test_a_block_in_half_precision_is_found():
    model = small(fused="silu", gate=layers.Activation("sigmoid", dtype="mixed_bfloat16"), dtype="mixed_bfloat16")
    known = with_known_gates(model)
    assert known.get_layer("depthwise_se").reduce.compute_dtype == "bfloat16"
    x = np.random.default_rng(0).normal(size=(5, *SIZE)).astype("float32")
    np.testing.assert_allclose(known(x), model(x), atol=0.02)


def test_what_a_user_chose_for_the_layers_stays():
    model = small(fused="relu", fused_gate="sigmoid", kernel_regularizer=keras.regularizers.L2(0.5))
    next(layer for layer in model.layers if layer.name.startswith("conv2d")).trainable = False
    known = with_known_gates(model)
    np.testing.assert_allclose(sum(known.losses), sum(model.losses), rtol=1e-6)
    assert len(known.losses) == len(model.losses) == 1
    assert [weight.shape for weight in known.get_layer("depthwise_se").trainable_weights] == [(4, 6), (6,)]


def test_blocks_in_models_within_models_are_found(images):
    inner = application("MobileNetV3Small", include_top=False)
    inner.name = "backbone"
    inputs = keras.Input((64, 64, 3))
    model = keras.Sequential([inputs, keras.Model(inputs, inner(inputs), name="middle"), layers.Flatten(), layers.Dense(3)])
    gates = keras_senet.gates(model, images)
    expected = keras_senet.gates(inner, images)
    assert list(gates) == [f"middle/backbone/{name}" for name in expected]
    np.testing.assert_array_equal(list(gates.values())[2], list(expected.values())[2])
    assert profile(model).attention == profile(inner).attention
    known = with_known_gates(model)
    assert list(keras_senet.gates(known, images)) == list(gates)
    np.testing.assert_allclose(known(images), model(images), atol=1e-4)
    for block in se_blocks(model).values():
        block.expand.kernel.assign(ops.zeros_like(block.expand.kernel))
    np.testing.assert_allclose(keras_senet.remove_se(model)(images), model(images), atol=1e-4)


def test_a_second_block_after_the_same_layer_gets_a_name_of_its_own():
    images = keras.Input((8, 8, 6), name="images")
    x = images
    for _ in range(2):
        y = layers.Conv2D(6, 1, activation="sigmoid")(layers.Conv2D(3, 1)(squeezed(images, "keepdims")))
        x = layers.Add()([x, layers.Multiply()([images, y])])
    model = keras.Model(images, x)
    names = list(keras_senet.gates(model, np.zeros((1, 8, 8, 6))))
    assert names[0] == "images_se"
    assert re.fullmatch(r"multiply(_\d+)?_se", names[1])
    assert [layer.name for layer in with_known_gates(model).layers if isinstance(layer, SqueezeExcite)] == names


def excitation(x):
    return layers.Conv2D(6, 1, activation="sigmoid")(layers.Conv2D(3, 1, activation="relu")(x))


def another_map(x):
    return ops.multiply(layers.DepthwiseConv2D(3, padding="same")(x), excitation(squeezed(x, "keepdims")))


def activated_map(x):
    return ops.multiply(ops.relu(x), excitation(squeezed(x, "keepdims")))


def pooled_activation(x):
    return ops.multiply(x, excitation(squeezed(ops.relu(x), "keepdims")))


def part_of_the_map(x):
    return ops.multiply(x, excitation(squeezed(x[:, :4, :4], "keepdims")))


def spatial(x):
    return ops.multiply(x, layers.Conv2D(1, 1, activation="sigmoid")(layers.Conv2D(3, 1)(x)))


def by_position(x):
    return ops.multiply(x, excitation(x))


def gates_for_two_maps(x):
    gates = excitation(squeezed(x, "keepdims"))
    return ops.add(ops.multiply(x, gates), ops.multiply(ops.relu(x), gates))


def gates_for_an_output(x):
    gates = excitation(squeezed(x, "keepdims"))
    return ops.multiply(x, gates), gates


def squeezed_for_an_output(x):
    mean = squeezed(x, "keepdims")
    return ops.multiply(x, excitation(mean)), mean


def squeezed_for_a_classifier(x):
    mean = squeezed(x, "keepdims")
    return ops.multiply(x, excitation(mean)), layers.Dense(3)(mean)


def softmax(x):
    gates = layers.Softmax()(layers.Conv2D(6, 1)(layers.Conv2D(3, 1)(squeezed(x, "keepdims"))))
    return ops.multiply(x, gates)


def softmax_within(x):
    hidden = layers.Conv2D(3, 1, activation="softmax")(squeezed(x, "keepdims"))
    return ops.multiply(x, layers.Conv2D(6, 1, activation="sigmoid")(hidden))


def no_gate(x):
    return ops.multiply(x, layers.Conv2D(6, 1)(layers.Conv2D(3, 1, activation="relu")(squeezed(x, "keepdims"))))


def one_layer(x):
    return ops.multiply(x, layers.Conv2D(6, 1, activation="sigmoid")(squeezed(x, "keepdims")))


def normalized(x):
    hidden = layers.BatchNormalization()(layers.Conv2D(3, 1)(squeezed(x, "keepdims")))
    return ops.multiply(x, layers.Conv2D(6, 1, activation="sigmoid")(hidden))


def dropped_out(x):
    hidden = layers.Dropout(0.5)(layers.Conv2D(3, 1)(squeezed(x, "keepdims")))
    return ops.multiply(x, layers.Conv2D(6, 1, activation="sigmoid")(hidden))


def tokens(x):
    x = layers.Reshape((64, 6))(x)
    gates = layers.Dense(6, "sigmoid")(layers.Dense(3, "relu")(layers.GlobalAveragePooling1D(keepdims=True)(x)))
    return ops.multiply(x, gates)


def shared_weights(x):
    reduce, expand = layers.Conv2D(3, 1, activation="relu"), layers.Conv2D(6, 1, activation="sigmoid")
    for _ in range(2):
        x = ops.multiply(x, expand(reduce(squeezed(x, "keepdims"))))
    return x


def added(x):
    return ops.add(x, excitation(squeezed(x, "keepdims")))


def one_gate_for_all_channels(x):
    return ops.multiply(x, layers.Dense(1, "sigmoid")(layers.Dense(3, "relu")(squeezed(x, "keepdims"))))


def pooled_in_two_steps(x):
    numbers = layers.Conv2D(6, 1)(layers.Conv2D(3, 1)(layers.AveragePooling2D(2)(x)))
    return ops.multiply(x, ops.sigmoid(squeezed(numbers, "keepdims")))


def groups(x):
    hidden = layers.Conv2D(4, 1, activation="relu")(squeezed(x, "keepdims"))
    return ops.multiply(x, layers.Conv2D(6, 1, groups=2, activation="sigmoid")(hidden))


def two_excitations(x):
    mean = squeezed(x, "keepdims")
    hidden = layers.Conv2D(3, 1, activation="relu")(mean)
    return ops.multiply(x, ops.sigmoid(layers.Conv2D(6, 1)(hidden) + layers.Conv2D(6, 1)(mean)))


def channels_in_another_order(x):
    return ops.multiply(x, excitation(squeezed(x[..., ::-1], "keepdims")))


LOOK_ALIKES = [
    *(another_map, activated_map, pooled_activation, part_of_the_map, spatial, by_position, gates_for_two_maps, added),
    *(gates_for_an_output, squeezed_for_an_output, squeezed_for_a_classifier, softmax, softmax_within, no_gate, one_layer),
    *(normalized, dropped_out, tokens, shared_weights, one_gate_for_all_channels),
    *(channels_in_another_order, pooled_in_two_steps, groups, two_excitations),
]


@pytest.mark.parametrize("made", LOOK_ALIKES, ids=lambda made: made.__name__)
def test_what_only_looks_like_se_is_left_alone(made):
    images = keras.Input((8, 8, 6))
    model = keras.Model(images, made(layers.DepthwiseConv2D(3, padding="same")(images)), name="plain")
    assert with_known_gates(model) is model
    with pytest.raises(ValueError, match="'plain' has no layer with gates"):
        keras_senet.gates(model, np.zeros((1, 8, 8, 6)))
    assert profile(model).attention_blocks == 0


def test_a_reader_of_gates_sees_what_the_network_learns(images):
    model = application("MobileNetV3Small")
    reader = GateReader(model)
    (name, block), *_ = se_blocks(model).items()
    before = reader.predict_on_batch(images)[name]
    block.expand.bias.assign(block.expand.bias + 0.5)
    after = reader.predict_on_batch(images)[name]
    # The hard sigmoid has a slope of 1/6, and ends at 1.
    np.testing.assert_allclose(after, np.minimum(before + 0.5 / 6, 1), atol=1e-6)


def test_the_cpu_squeezes_before_the_convolution():
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 1, name="widen")(images)
    y = layers.Conv2D(12, 1, activation="sigmoid")(layers.Conv2D(3, 1, activation="relu")(squeezed(x, "keepdims")))
    model = keras.Model(images, ops.multiply(x, y))
    inference = optimized_for_cpu(model)
    assert inference.get_layer("widen_se_squeeze").input.shape == (None, 8, 8, 3)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(inference(x), model(x), atol=1e-6)


def test_the_commands_know_the_gates(tmp_path, run, data_dir, digits, capsys):
    digits("test")
    capsys.readouterr()  # what preparing them printed
    application("MobileNetV3Small", input_shape=(32, 32, 3)).save(tmp_path / "mobile.keras")
    status, output, _ = run("info", tmp_path / "mobile.keras", "--json")
    info = json.loads(output)
    assert (status, info["se_blocks"]) == (0, 9)
    belong = [layer["name"] for layer in info["layers"] if layer["attention"] == "expanded_conv_se" and layer["parameters"]]
    assert belong == ["expanded_conv_squeeze_excite_conv", "expanded_conv_squeeze_excite_conv_1"]
    command = ("gates", tmp_path / "mobile.keras", "--dataset", "digits", "--data-dir", data_dir)
    status, output, _ = run(*command, "--layers", "expanded_conv_10_se")
    assert status == 0
    assert re.search(r"^expanded_conv_10_se +576 ", output, re.MULTILINE)
    assert (tmp_path / "mobile_gates" / "gates_by_class.png").stat().st_size > 1000


def test_the_gates_of_a_block_can_be_an_output_of_a_tflite_file(tmp_path):
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, activation="relu")(images)
    x = layers.GlobalAveragePooling2D()(layers.multiply([x, excitation(squeezed(x, "keepdims"))], name="product"))
    model = keras.Model(images, layers.Dense(2, "softmax")(x))
    photographs = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    (name,) = gates = keras_senet.gates(model, photographs)
    keras_senet.export.tflite(model, tmp_path / "model.tflite", gates=name)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], photographs[:1])
    interpreter.invoke()
    found = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
    np.testing.assert_allclose(next(each for each in found if each.shape == (1, 6)), gates[name][:1], atol=1e-5)
