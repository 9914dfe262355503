"""What Keras keeps in a layer's configuration survives in the layers inside ours: frozen, quantized, LoRA, dtypes."""

import copy
import pickle
import random

import keras
import numpy as np
import pytest
from common import COMPOSITE
from keras.src.saving.serialization_lib import ObjectSharingScope

import keras_senet
from keras_senet import layers
from keras_senet.keras_internals import all_layers
from keras_senet.rewrite.clone import rewritten

MAP = np.random.default_rng(0).standard_normal((2, 8, 8, 16)).astype("float32")

WITH_DENSE = ("se", "ese", "scse", "cbam", "gc", "coord")  # the only layer among these that Keras quantizes
MODES = {"int8": "int8_from_float32", "int4": "int4/-1_from_float32", "float8": "float8_from_float32"}

CHEAP = (("int8", "policy"), ("int4", "model"), ("float8", "layer"))  # each mode and each way once

each = pytest.mark.parametrize("name", COMPOSITE)
# Keras quantizes what it can, and warns of the rest.
quantization_warns = pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")


def layer_of(name: str, **options) -> layers.FeatureGate:
    kind, arguments = COMPOSITE[name]
    return kind(**arguments, **options, name=name)


def network_of(*composite: keras.layers.Layer) -> keras.Model:
    """A network within a network, of these layers one after the other, with random weights."""
    x = y = keras.Input(MAP.shape[1:])
    for layer in composite:
        y = layer(y)
    inner = keras.Model(x, y, name="inner")
    random = np.random.default_rng(1)
    for weight in inner.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(random.uniform(0.1, 0.5, weight.shape))
    outer = keras.Input(MAP.shape[1:])
    return keras.Model(outer, inner(outer))


def saved(network, folder):
    network.save(folder / "network.keras")
    return keras.saving.load_model(folder / "network.keras")


def exported(network, folder):
    import tensorflow as tf

    network.export(folder / "exported", verbose=False)
    loaded = tf.saved_model.load(folder / "exported")
    return lambda values: loaded.serve(values)


def cloned(network, folder):
    clone = keras.models.clone_model(keras.models.clone_model(network))
    network.save_weights(folder / "clone.weights.h5")
    clone.load_weights(folder / "clone.weights.h5")
    return clone


WAYS = {
    "save": saved,
    "clone": cloned,
    "deepcopy": lambda network, folder: copy.deepcopy(network),
    "pickle": lambda network, folder: pickle.loads(pickle.dumps(network)),
    "rewrite": lambda network, folder: rewritten(network),
}


def state(network: keras.Model) -> list[tuple]:
    """What Keras keeps of each layer at any depth, except for the inputs, which `clone_model` renames."""
    found = [layer for layer in all_layers(network) if not isinstance(layer, (keras.Model, keras.layers.InputLayer))]
    kept = [(one.name, one.trainable, one.dtype_policy.name, getattr(one, "lora_rank", None)) for one in found]
    # Sorted, because Keras orders the weights of float8 otherwise in a layer that is built from its configuration.
    return [*kept, *sorted((weight.path, str(weight.shape), weight.dtype, weight.trainable) for weight in network.weights)]


def check_that_all_is_kept(network: keras.Model, folder) -> None:
    expected = network(MAP)
    for way, make in WAYS.items():
        again = make(network, folder)
        assert state(again) == state(network), way
        np.testing.assert_allclose(again(MAP), expected, rtol=1e-6, err_msg=way)
    np.testing.assert_allclose(exported(network, folder)(MAP), expected, rtol=1e-5)


@each
def test_an_untouched_layer_keeps_nothing_about_its_parts(name):
    layer = layer_of(name)
    layer.build(MAP.shape)
    assert "parts" not in layer.get_config()
    with ObjectSharingScope():  # as while a model is saved: Keras marks what it meets a second time
        assert "parts" not in {**layer.get_config(), **layer.get_config()}
    assert all(part.built for part in all_layers(layer))


@pytest.mark.parametrize("when", ["argument", "before", "after"])
@each
def test_a_frozen_layer_does_not_learn(name, when):
    layer = layer_of(name, trainable=when != "argument")
    if when == "before":
        layer.trainable = False
    x = keras.Input(MAP.shape[1:])
    network = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(layer(x))))
    if when == "after":
        layer.trainable = False
    assert len(network.trainable_variables) == 2
    before = layer.get_weights()
    network.compile("sgd", "mse", jit_compile=False)
    network.fit(MAP, np.ones((2, 1)), verbose=0)
    for value, weight in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)
    layer.trainable = True
    assert len(network.trainable_variables) > 2


def all_of_them(names=COMPOSITE, **options) -> tuple[list[layers.FeatureGate], keras.Model]:
    composite = [layer_of(name, **options) for name in names]
    return composite, network_of(*composite)


@pytest.mark.slow
def test_frozen_layers_stay_frozen(tmp_path):
    composite, network = all_of_them()
    for layer in composite:
        layer.trainable = False
    check_that_all_is_kept(network, tmp_path)
    assert not saved(network, tmp_path).trainable_variables


@pytest.mark.slow
def test_a_part_that_alone_is_frozen_or_free_stays_so(tmp_path):
    composite, network = all_of_them()
    parts = [[part for part in all_layers(layer) if part.trainable_weights][-1] for layer in composite]
    for part in parts:
        part.trainable = False
    check_that_all_is_kept(network, tmp_path)
    for layer, part in zip(composite, parts, strict=True):
        layer.trainable = False
        part.trainable = True
    check_that_all_is_kept(network, tmp_path)


@pytest.mark.slow
@quantization_warns
@pytest.mark.parametrize(
    ("mode", "how"),
    [
        pytest.param(mode, how, marks=() if (mode, how) in CHEAP else pytest.mark.exhaustive)
        for mode in MODES
        for how in ("layer", "model", "policy", "later policy")
    ],
)
def test_quantized_layers_stay_quantized(mode, how, tmp_path):
    composite, network = all_of_them(WITH_DENSE, **({"dtype": MODES[mode]} if how == "policy" else {}))
    exact = keras.ops.convert_to_numpy(network(MAP))
    if how == "model":
        network.quantize(mode)
    for layer in composite:
        if how == "layer":
            layer.quantize(mode)
        elif how == "later policy":
            layer.dtype_policy = MODES[mode]
    quantized = [part for part in all_layers(network) if type(part) is keras.layers.Dense]
    assert {part.quantization_mode for part in quantized} == {mode}
    if how != "policy":  # of integers that are zero
        np.testing.assert_allclose(network(MAP), exact, atol={"int8": 0.05, "int4": 0.5, "float8": 0.1}[mode])
    check_that_all_is_kept(network, tmp_path)


@pytest.mark.parametrize("name", [name for name in COMPOSITE if name not in WITH_DENSE])
def test_a_layer_without_what_keras_quantizes_says_so_and_takes_a_quantized_policy(name):
    layer = layer_of(name, dtype="int8_from_mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(MAP).dtype) == "bfloat16"
    with pytest.raises(NotImplementedError, match="does not have a `quantize` method"):
        layer.quantize("int8")


def test_quantization_names_the_parts_that_it_leaves():
    layer = layer_of("gc")
    layer.build(MAP.shape)
    with pytest.warns(UserWarning, match="does not have a `quantize` method") as warned:
        layer.quantize("int8")
    refusals = [str(one.message) for one in warned if one.category is UserWarning]
    assert len(refusals) == 2  # the convolution and the normalization, but not what only reshapes


@quantization_warns
def test_a_quantizer_of_ones_own_is_kept(tmp_path):
    (layer,), network = all_of_them(["scse"])
    network.quantize(config=keras.quantizers.Int4QuantizationConfig(block_size=4))
    assert layer.channel.reduce.quantization_config.block_size == 4
    check_that_all_is_kept(network, tmp_path)


@pytest.mark.slow
@quantization_warns
@pytest.mark.parametrize("then", [None, "int8"])
def test_low_rank_adaptation_is_kept(then, tmp_path):
    _, network = all_of_them()
    adapted = [part for part in all_layers(network) if hasattr(part, "enable_lora")]
    for part in adapted:
        part.enable_lora(2, lora_alpha=3)
    if then:
        network.quantize(then)
    assert len(adapted) > len(COMPOSITE)
    check_that_all_is_kept(network, tmp_path)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "int8_from_float32"])
def test_a_map_of_policies_is_kept(policy, tmp_path):
    composite = [layer_of(name) for name in WITH_DENSE]
    for layer in composite:
        layer.build(MAP.shape)
    paths = [[part.path for part in all_layers(layer) if type(part) is keras.layers.Dense][-1] for layer in composite]
    policies = keras.dtype_policies.DTypePolicyMap("float32", {path: keras.dtype_policies.get(policy) for path in paths})
    _, network = all_of_them(WITH_DENSE, dtype=policies)
    named = {part.path: part.dtype_policy.name for part in all_layers(network) if type(part) is keras.layers.Dense}
    assert {path for path, name in named.items() if name == policy} == {*paths}
    assert keras.backend.standardize_dtype(network(MAP).dtype) == "float32"
    for way, make in WAYS.items():
        again = make(network, tmp_path)
        assert state(again) == state(network), way
        np.testing.assert_array_equal(again(MAP), network(MAP), err_msg=way)


def test_what_a_user_sets_in_a_part_is_kept(tmp_path):
    (layer,), network = all_of_them(["coord"])
    layer.norm.momentum = 0.5
    layer.rows.kernel_regularizer = keras.regularizers.L2(0.1)
    again = next(part for part in all_layers(saved(network, tmp_path)) if part.name == "coord")
    assert again.norm.momentum == 0.5
    assert again.rows.kernel_regularizer.get_config() == {"l2": pytest.approx(0.1)}


@each
def test_a_layer_does_not_depend_on_the_format_of_other_layers(name):
    expected = network_of(layer_of(name, data_format="channels_last"))
    keras.config.set_image_data_format("channels_first")
    try:
        found = network_of(layer_of(name, data_format="channels_last"))
        np.testing.assert_array_equal(found(MAP), expected(MAP))
    finally:
        keras.config.set_image_data_format("channels_last")


@quantization_warns
@pytest.mark.parametrize("change", ["frozen", "int8", "lora"])
def test_attention_is_added_to_and_removed_from_a_network_without_a_change_in_the_rest(change):
    images = keras.Input((8, 8, 16))
    x = keras.layers.Conv2D(16, 3, name="first")(images)
    x = keras.layers.Conv2D(16, 3, name="second")(layers.SqueezeExcite(4, name="se")(x))
    network = keras.Model(images, x)
    if change == "frozen":
        network.trainable = False
    elif change == "int8":
        network.quantize("int8")
    else:
        network.get_layer("se").reduce.enable_lora(2)
    learning = {weight.path for weight in network.trainable_weights}
    more = keras_senet.add_se(network, after="second")
    assert {weight.path for weight in more.trainable_weights if "second_se" not in weight.path} == learning
    assert len(more.get_layer("second_se").trainable_weights) == 4
    np.testing.assert_array_equal(more(MAP), network(MAP))
    with pytest.warns(UserWarning, match="The function of"):
        fewer = keras_senet.remove_se(network)
    assert bool(fewer.trainable_weights) == (change != "frozen")


def test_what_takes_the_place_of_a_frozen_layer_is_frozen():
    images = keras.Input((8, 8, 16))
    squashed = keras.layers.Activation("tanh")
    network = keras.Model(images, keras.layers.Activation("tanh")(layers.SqueezeExcite(4, name="se")(squashed(images))))
    network.trainable = False
    with pytest.warns(UserWarning, match="The function of"):
        without = keras_senet.remove_se(network)
    assert type(without.get_layer("se")) is keras.layers.DepthwiseConv2D
    assert not without.trainable_weights


def test_the_configuration_takes_no_random_numbers():
    layer = layers.ConvolutionalBlockAttention()
    layer(keras.Input((8, 8, 32)))
    before = random.getstate()
    layer.get_config()
    assert random.getstate() == before
