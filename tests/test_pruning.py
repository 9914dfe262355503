"""Pruned networks compute what is left of the networks that they were made from."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_senet
from keras_senet.analysis import prune
from keras_senet.layers import ChannelScatter, SqueezeExcite

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 255, (4, 32, 32, 3)).astype("float32")


def closed(model: keras.Model, share: float) -> dict[str, np.ndarray]:
    """Shuts gates of `model` for good, and lets nothing else depend on their channels. Returns the indices of the others."""
    opened = {}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([RANDOM.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        if isinstance(layer, SqueezeExcite):
            reduce, hidden, expand, offset = layer.get_weights()
            shut = RANDOM.permutation(len(offset))[: int(share * len(offset))]
            expand *= 1e-6  # so that no other gate closes, however large the values
            reduce[shut], expand[:, shut], offset[shut] = 0, 0, -100
            layer.set_weights([reduce, hidden + 0.1, expand, offset])
            opened[layer.name] = np.setdiff1d(np.arange(len(offset)), shut)
    return opened


@pytest.mark.parametrize(
    ("name", "whole", "arguments", "scattered"),
    [
        ("SEResNet20", False, {}, True),
        ("SEResNet20", False, {"attention_position": "3x3"}, False),  # the next convolution reads the gated channels alone
        ("SEResNet20", False, {"squeeze": "max"}, True),
        ("SEResNet164", False, {}, True),
        ("SEWideResNet", True, {"depth": 10, "width": 1, "attention_position": "3x3"}, True),  # normalization reads them
        pytest.param("SEResNet164", True, {}, True, marks=pytest.mark.exhaustive),
    ],
    ids=str,
)
def test_channels_with_closed_gates_go_and_the_outputs_stay(name, whole, arguments, scattered, shallow):
    model = (getattr(keras_senet, name) if whole else shallow(name))(weights=None, **arguments)
    opened = closed(model, 0.25)
    weights = model.get_weights()
    smaller, report = prune(model, IMAGES, keep_ratio=0.75)
    assert {layer: after for layer, (_, after) in report.channels.items()} == {layer: len(left) for layer, left in opened.items()}
    np.testing.assert_allclose(smaller(IMAGES), model(IMAGES), atol=1e-5)
    assert report.largest_difference < 1e-5
    assert any(isinstance(layer, ChannelScatter) for layer in smaller.layers) == scattered
    assert report.after.parameters == sum(ops.size(weight) for weight in smaller.trainable_weights) < report.before.parameters
    assert report.after.multiply_adds < report.before.multiply_adds
    for weight, same in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_convolutions_and_the_classifier_behind_get_narrower():
    x = images = keras.Input((32, 32, 3))
    for index, filters in enumerate((8, 16), start=1):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, name=f"conv{index}")(x)))
        x = layers.MaxPooling2D()(SqueezeExcite(4, name=f"se{index}")(x))
    model = keras.Model(images, layers.Dense(5, name="classes")(layers.GlobalAveragePooling2D()(x)))
    opened = closed(model, 0.5)
    smaller, report = prune(model, IMAGES, keep_ratio=0.5)
    assert report.channels == {"se1": (8, 4), "se2": (16, 8)}
    assert smaller.get_layer("conv2").kernel.shape == (3, 3, 4, 8)
    assert smaller.get_layer("classes").kernel.shape == (8, 5)
    expected = ops.convert_to_numpy(model.get_layer("conv2").kernel)[:, :, opened["se1"]][..., opened["se2"]]
    np.testing.assert_array_equal(smaller.get_layer("conv2").kernel, expected)
    np.testing.assert_allclose(smaller(IMAGES), model(IMAGES), atol=1e-5)


def test_models_within_the_model_keep_all_they_have():
    maps = keras.Input((32, 32, 8))
    inner = keras.Model(maps, SqueezeExcite(2, name="se")(layers.Conv2D(4, 3)(maps)), name="inner")
    images = keras.Input((32, 32, 3))
    x = inner(SqueezeExcite(4, name="se")(layers.Conv2D(8, 3, padding="same")(images)))
    x = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(5)])(x)
    model = keras.Model(images, x)
    closed(model, 0.5)
    smaller, report = prune(model, IMAGES, keep_ratio=0.5)
    assert (report.channels, report.left) == ({"se": (8, 4)}, ())
    assert smaller.get_layer("inner") is not inner
    for weight, same in zip(smaller.get_layer("inner").weights, inner.weights, strict=True):
        np.testing.assert_array_equal(weight, same)
    np.testing.assert_allclose(smaller(IMAGES), model(IMAGES), atol=1e-5)


def test_of_several_outputs_the_one_that_differs_most_counts():
    keras.utils.set_random_seed(0)
    images = keras.Input((32, 32, 3))
    x = SqueezeExcite(4, name="se")(layers.Conv2D(8, 3)(images))
    model = keras.Model(images, [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    smaller, report = prune(model, IMAGES, keep_ratio=0.5)
    outputs = model(IMAGES)
    differences = [np.abs(one - other).max() for one, other in zip(smaller(IMAGES), outputs, strict=True)]
    rounding = float(max(np.abs(output).max() for output in outputs) * np.finfo("float32").eps)
    assert report.largest_difference == pytest.approx(max(differences), rel=1e-5, abs=2 * rounding)
    assert abs(differences[0] - differences[1]) > 1000 * rounding


def test_what_channels_were_on_average_stays_in_the_excitation_and_in_sums():
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, SqueezeExcite(2, name="se")(layers.Conv2D(8, 3)(images)))
    image = IMAGES[:1] / 255
    smaller, report = prune(model, image, keep_ratio=0.5, importance={"se": np.array([0, 1, 0, 1, 0, 1, 0, 1])})
    assert report.channels == {"se": (8, 4)}
    np.testing.assert_allclose(smaller(image)[..., 1::2], model(image)[..., 1::2], atol=1e-6)
    means = np.mean(model(image), axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(smaller(image)[..., ::2], np.broadcast_to(means, (1, 30, 30, 8))[..., ::2], atol=1e-6)
    smallest, report = prune(smaller, image, keep_ratio=0.5, importance={"se": np.array([1, 1, 0, 0])})
    assert report.channels == {"se": (4, 2)}
    np.testing.assert_allclose(smallest(image)[..., 1:4:2], model(image)[..., 1:4:2], atol=1e-6)
    np.testing.assert_allclose(smallest(image)[..., 5::2], np.broadcast_to(means, (1, 30, 30, 8))[..., 5::2], atol=1e-6)


def test_the_least_important_channels_of_all_layers_go_but_never_all_of_one(model):
    network = model("SEResNet20")
    names = [layer.name for layer in network.layers if isinstance(layer, SqueezeExcite)]
    importance = {name: np.arange(network.get_layer(name).expand.units) + 1000 * index for index, name in enumerate(names)}
    _, report = prune(network, IMAGES, keep_ratio=0.5, importance=importance)
    counts = [after for _, after in report.channels.values()]
    assert counts == [1, 1, 1, 1, 1, 1, 40, 64, 64]  # 168 of 336, and six single ones


@pytest.mark.slow
def test_a_pruned_network_trains_and_travels(tmp_path, shallow):
    model = shallow("SEResNet20")(weights=None)
    closed(model, 0.25)
    smaller, _ = prune(model, IMAGES, keep_ratio=0.7)
    smaller.save(tmp_path / "smaller.keras")
    loaded = keras.saving.load_model(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(loaded(IMAGES), smaller(IMAGES))
    assert keras_senet.export.tflite(loaded, tmp_path / "smaller.tflite", images=IMAGES).largest < 1e-4
    again, report = prune(loaded, IMAGES, keep_ratio=0.9)
    assert report.before.parameters == sum(ops.size(weight) for weight in loaded.trainable_weights)
    assert len(again.layers) == len(smaller.layers)
    again.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    again.train_on_batch(IMAGES, np.arange(4))


def test_what_cannot_be_pruned_is_named(model):
    for keep_ratio in (0, 1.1):
        with pytest.raises(ValueError, match=r"`keep_ratio` must be in \(0, 1\]"):
            prune(model("SEResNet20"), IMAGES, keep_ratio=keep_ratio)
    before_units = keras_senet.SEResNet20(weights=None, attention_position="pre", attention_stages=3)
    with pytest.raises(ValueError, match="no SE layer whose channels can be taken out"):
        prune(before_units, IMAGES)
    images = keras.Input((32, 32, 3))
    among_channels = layers.Conv2D(8, 3, activation="softmax")
    with_lora = layers.Conv2D(8, 3)
    for conv in (among_channels, with_lora):
        network = keras.Model(images, SqueezeExcite(2)(conv(images)))
        if conv is with_lora:
            conv.enable_lora(2)
        with pytest.raises(ValueError, match="no SE layer whose channels can be taken out"):
            prune(network, IMAGES)
    x = SqueezeExcite(2, name="first")(layers.Conv2D(8, 3, groups=1)(images))
    x = SqueezeExcite(2, name="after_addition")(layers.Add()([x, layers.Conv2D(8, 3)(images)]))
    x = SqueezeExcite(2, squeeze=None, name="at_each_position")(layers.Conv2D(8, 3)(x))
    model = keras.Model(images, x)
    _, report = prune(model, IMAGES, keep_ratio=0.5)
    assert report.left == ("after_addition", "at_each_position")
    assert report.channels == {"first": (8, 4)}
    for importance in ({}, {"first": np.arange(7)}):
        with pytest.raises(ValueError, match="`importance` must have 8 numbers for 'first'"):
            prune(model, IMAGES, importance=importance)


def test_what_the_refusal_names_can_be_pruned():
    def refused(model) -> str:
        with pytest.raises(ValueError, match="no SE layer whose channels can be taken out") as error:
            prune(model, IMAGES)
        return str(error.value)

    images = keras.Input((32, 32, 3))
    mean = layers.GlobalAveragePooling2D()
    plain = keras.Model(images, mean(layers.Conv2D(8, 3, name="conv")(images)))
    grouped = SqueezeExcite(2)(layers.Conv2D(9, 3, groups=3)(layers.Conv2D(9, 3, name="conv")(images)))
    without_squeeze = SqueezeExcite(2, squeeze=None)(layers.Conv2D(8, 3, name="conv")(images))
    softmax = layers.Conv2D(8, 3, activation="softmax", name="softmax")(layers.Conv2D(8, 3, name="conv")(images))
    for model in (plain, *(keras.Model(images, x) for x in (grouped, without_squeeze, SqueezeExcite(2)(softmax)))):
        assert refused(model).endswith(
            "Put SE behind such a convolution, `keras_senet.add_se(model, after='conv')`, and train it."
        )
        _, report = prune(keras_senet.add_se(model, after="conv", reduction=2), IMAGES, keep_ratio=0.5)
        assert "conv_se" in report.channels
    inner = keras.Model(images, mean(SqueezeExcite(2, name="se")(layers.Conv2D(8, 3)(images))), name="inner")
    model = keras.Sequential([keras.Input((32, 32, 3)), inner, layers.Dense(2)])
    assert refused(model).endswith("`prune(model.get_layer('inner'), inputs)`, and put the smaller one in its place.")
    smaller, report = prune(model.get_layer("inner"), IMAGES, keep_ratio=0.5)
    assert report.channels == {"se": (8, 4)}
    assert keras.Sequential([keras.Input((32, 32, 3)), smaller, model.layers[-1]])(IMAGES).shape == (4, 2)
    assert refused(keras.Sequential([keras.Input((32, 32, 3)), mean])).endswith("between.")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_channels_are_put_among_constants(data_format):
    layer = ChannelScatter([1, 2, 4], 5, data_format=data_format)
    layer.build(None)
    layer.bias.assign([7, 1, 0, 8, 0])
    x = RANDOM.normal(size=(2, 3, 4, 3)).astype("float32")
    expected = np.zeros((2, 3, 4, 5), "float32")
    expected[..., [1, 2, 4]] = x
    expected += [7, 1, 0, 8, 0]
    if data_format == "channels_first":
        x, expected = x.transpose(0, 3, 1, 2), expected.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape
    for indices in ([2, 1], [0, 5], [0, 0]):
        with pytest.raises(ValueError, match=r"`indices` must increase, from 0 to below channels=5"):
            ChannelScatter(indices, 5)
