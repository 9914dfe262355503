"""Networks that are made cheaper to run compute what they were made from."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_senet
from keras_senet.export import fold_batch_norm
from keras_senet.rewrite.for_cpu import optimized_for_cpu

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype("float32")


def with_statistics(model: keras.Model) -> keras.Model:
    """`model` with normalization that does something, yet keeps values in a sound range."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(IMAGES / (1 if model.layers[1].name == "preprocessing" else 255), training=True)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Channels that hardly vary would be rounding alone, magnified.
            variance = keras.ops.convert_to_numpy(layer.moving_variance)
            layer.moving_variance.assign(np.maximum(variance, 0.1 * variance.mean()))
            for weight, low in ((layer.gamma, 0.2), (layer.beta, -0.2)):
                if weight is not None:
                    weight.assign(random.uniform(low, low + 0.4, weight.shape))
    return model


def normalizations(model: keras.Model) -> int:
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)


SMALL = {"weights": None, "input_shape": (64, 64, 3)}


def case(name: str, build, left: int = 0, marks=pytest.mark.slow):
    """`build` takes the fixture `shallow`; `left` is the number of normalizations that cannot be folded."""
    return pytest.param(build, left, id=name, marks=marks)


@pytest.mark.parametrize(
    ("build", "left"),
    [
        case("bottleneck", lambda shallow: shallow("SEResNet50")(**SMALL)),
        case("all bottlenecks", lambda shallow: keras_senet.SEResNet50(**SMALL), marks=pytest.mark.exhaustive),
        case("shuffle", lambda shallow: keras_senet.SEShuffleNet(**SMALL)),
        case("mobile", lambda shallow: keras_senet.SEMobileNet(**SMALL)),
        case("grouped", lambda shallow: shallow("SEResNeXt26D")(**SMALL)),
        case("all grouped", lambda shallow: keras_senet.SEResNeXt26D(**SMALL), marks=pytest.mark.exhaustive),
        case("max", lambda shallow: shallow("SEResNet20")(**SMALL, squeeze="max", gate="tanh"), marks=()),
        case("no squeeze", lambda shallow: shallow("SEResNet20")(**SMALL, squeeze=None), marks=()),
        case("identity", lambda shallow: shallow("SEResNet20")(**SMALL, attention_position="identity"), marks=()),
        case("MobileNetV2", lambda shallow: keras.applications.MobileNetV2(**SMALL, alpha=0.5), marks=()),
        # Those before an activation are left.
        case("ResNet50V2", lambda shallow: keras.applications.ResNet50V2(**SMALL), left=17),
    ],
)
def test_folded_and_cheaper_networks_compute_the_same(build, left, shallow):
    model = with_statistics(build(shallow))
    images = IMAGES / (1 if model.layers[1].name == "preprocessing" else 255)
    before = model.get_weights()
    expected = keras.Model(model.input, model.layers[-1].input)(images).numpy()
    for rewrite in (fold_batch_norm, optimized_for_cpu):
        rewritten = rewrite(model)
        assert normalizations(rewritten) == left
        np.testing.assert_allclose(rewritten(images), model(images), atol=1e-5)
        features = keras.Model(rewritten.input, rewritten.layers[-1].input)(images)
        np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())
        assert rewritten.name == model.name
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_normalization_is_folded_into_all_kinds_of_convolutions_and_models_within_models():
    inner = keras.Sequential([keras.Input((62, 62, 4)), layers.Conv2D(4, 1), layers.BatchNormalization(center=False)])
    x = pixels = keras.Input((64, 64, 3))
    for layer in (layers.SeparableConv2D(4, 3, depth_multiplier=2), layers.BatchNormalization(scale=False), inner):
        x = layer(x)
    for layer in (layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization(), layers.Conv2D(4, 1)):
        x = layer(x)
    both = layers.Add()([layers.BatchNormalization()(x), x])  # the convolution is read twice
    stays = layers.BatchNormalization()(layers.Conv2D(2, 1, activation="relu")(both))
    model = keras.Model(pixels, stays)
    for layer in [*model.layers, *inner.layers]:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights(
                [np.random.default_rng(len(weight)).uniform(0.5, 2, weight.shape) for weight in layer.get_weights()]
            )
    folded = fold_batch_norm(model)
    assert normalizations(model) - normalizations(folded) == 2
    assert normalizations(folded.get_layer(inner.name)) == 0
    np.testing.assert_allclose(folded(IMAGES / 255), model(IMAGES / 255), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_squeeze_reads_a_quarter_of_the_channels_and_the_gates_stay():
    model = with_statistics(keras_senet.SEResNet50(weights=None, input_shape=(64, 64, 3)))
    cheaper = optimized_for_cpu(model)
    assert cheaper.get_layer("stage2_block1_se_squeeze").output.shape == (None, 1, 1, 64)
    assert cheaper.count_params() < model.count_params() - 900_000
    se = model.get_layer("stage5_block3_se")
    gates = keras.Model(model.input, se.gates(se.input))(IMAGES)
    ours = keras.Model(cheaper.input, cheaper.get_layer("stage5_block3_se_expand").output)(IMAGES)
    np.testing.assert_allclose(ours[:, 0, 0], gates, atol=1e-5)


class StandardizedConv(layers.Conv2D):
    """Whatever the scale of its kernel, it computes the same."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel / keras.ops.std(kernel))


def test_kernels_that_do_not_decide_alone_are_not_folded_into():
    images = keras.Input((16, 16, 3))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, name="with_lora")(images))
    model = keras.Model(images, layers.BatchNormalization()(StandardizedConv(8, 3)(x)))
    model.get_layer("with_lora").enable_lora(2)
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).uniform(0.5, 1.5, weight.shape))
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(fold_batch_norm(model)(pixels), model(pixels), rtol=1e-5)


def test_a_subclassed_model_is_refused():
    class Network(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="Only a functional or sequential model"):
        fold_batch_norm(Network())


def test_the_normalization_of_pixels_becomes_a_convolution():
    images = keras.Input((8, 8, 3))
    x = keras.layers.Normalization(mean=[123.7, 116.3, 103.5], variance=[58.4**2, 57.1**2, 0.0], name="pixels")(images)
    x = keras.layers.Normalization(invert=True, mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], name="inverse")(x)
    x = keras.layers.Normalization(axis=2, mean=np.arange(8.0), variance=np.ones(8), name="columns")(x)
    network = keras.Model(images, x)
    cheaper = optimized_for_cpu(network)
    kinds = {layer.name: type(layer) for layer in cheaper.layers[1:]}
    other = keras.layers.Normalization
    assert kinds == {"pixels": keras.layers.Conv2D, "inverse": other, "columns": other}
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(cheaper(pixels), network(pixels), rtol=1e-5, atol=1e-4)


def test_layers_that_no_layer_of_their_name_can_replace_stay():
    """Those that are called twice, and a normalization of integers, which a convolution does not take."""
    images = keras.Input((8, 8, 3), dtype="uint8")
    norm = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])
    pool = keras.layers.AveragePooling2D(2)
    se = keras_senet.layers.SqueezeExcite(reduction=1)
    x = norm(keras.layers.Normalization(mean=[7.0, 8.0, 9.0], variance=[1.0, 2.0, 3.0], name="integers")(images))
    network = keras.Model(images, se(pool(se(pool(norm(x))))))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    np.testing.assert_allclose(optimized_for_cpu(network)(pixels), network(pixels), rtol=1e-5, atol=1e-5)
