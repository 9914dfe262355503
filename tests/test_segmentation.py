"""`keras_senet.segmentation`: networks for each pixel that train, are saved, rewritten and exported; their loss and measure."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn import metrics

import keras_senet
from keras_senet import analysis, segmentation
from keras_senet.export.conversion import convert
from keras_senet.inference.runtimes import open_tflite
from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS
from keras_senet.models.resnet import ResNet, features
from keras_senet.rewrite.for_cpu import optimized_for_cpu

VOID = 255
CLASSES = 3


@pytest.fixture(scope="module")
def narrow():
    """Function from levels to the backbone of a narrow SE-ResNet with strides up to 16."""
    architecture = ResNet(depths=(1, 1, 1), stages=(2, 3, 4), widths=(16, 16, 32), bottleneck=False, stem_widths=(16,))
    with mock.patch.dict(MODELS):
        build = constructor("SENarrow", architecture, features, "A network for tests.")

    def backbone(levels=(1, 2, 3, 4), sides=(None, None), **options):
        shape = (*sides, 3) if keras.config.image_data_format() == "channels_last" else (3, *sides)
        return keras_senet.backbone(build(include_top=False, weights=None, input_shape=shape), levels, **options)

    return backbone


def small_unet(backbone, classes: int = CLASSES) -> keras.Model:
    return segmentation.unet(backbone, classes, width=4)


def small_deeplab(backbone, classes: int = CLASSES, **options) -> keras.Model:
    return segmentation.deeplab(backbone, classes, width=16, low_width=8, rates=(1, 2, 3), **options)


BUILDERS = pytest.mark.parametrize("build", [small_unet, small_deeplab])


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def with_values(model: keras.Model) -> keras.Model:
    """Random statistics of batch normalization, so that it is no identity."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "beta", "moving_variance", "gamma")):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.slow
def test_the_u_net_on_resnet_34_has_the_weights_of_the_usual_one(without_weights):
    network = keras_senet.SEResNet34(weights=None, include_top=False, attention=None)
    unet = segmentation.unet(keras_senet.backbone(network, (0, 1, 2, 3, 4, 5)), classes=2)
    # segmentation_models_pytorch counts 24,436,369 for one class. It has a 3x3 convolution for it, and joins no image.
    usual = 24_436_369 - (16 * 9 + 1) + 2 * (16 + 1) + 3 * 9 * 16
    assert analysis.profile(unet, (64, 96, 3)).total.parameters == usual


@pytest.mark.slow
def test_deeplab_on_resnet_50_has_the_weights_of_the_paper(without_weights):
    def conv(channels: int, kernel_size: int, filters: int) -> int:
        return channels * kernel_size**2 * filters + 2 * filters

    # Chen et al., arXiv 1802.02611, section 4.1: widths of 256, 48 channels of the low level, two 3x3 convolutions.
    pooling = 2 * conv(2048, 1, 256) + 3 * conv(2048, 3, 256) + conv(5 * 256, 1, 256)
    decoder = conv(256, 1, 48) + conv(256 + 48, 3, 256) + conv(256, 3, 256) + 256 * 21 + 21
    for attention, total in (("se", 42_883_173), (None, 40_352_181)):
        network = keras_senet.SEResNet50(weights=None, include_top=False, attention=attention)
        deeplab = segmentation.deeplab(keras_senet.backbone(network), classes=21)
        found, whole = (analysis.profile(model, (64, 96, 3)).total.parameters for model in (network, deeplab))
        assert (whole - found, whole) == (pooling + decoder, total)
        rates = [deeplab.get_layer(f"aspp_conv{index}").dilation_rate for index in (2, 3, 4)]
        assert rates == [(3, 3), (6, 6), (9, 9)]  # at a stride of 32 half of those that the paper has at 16


def test_separable_convolutions_of_deeplab_have_the_same_places(narrow):
    whole, separable = (small_deeplab(narrow(), separable=separable) for separable in (False, True))
    for name, channels in (("aspp", 32), ("decoder", 16 + 8)):
        index = 2 if name == "aspp" else 1
        assert separable.get_layer(f"{name}_depthwise_conv{index}").kernel.shape == (3, 3, channels, 1)
        assert separable.get_layer(f"{name}_conv{index}").kernel.shape == (1, 1, channels, 16)
    assert separable.get_layer("aspp_depthwise_conv4").dilation_rate == whole.get_layer("aspp_conv4").dilation_rate == (3, 3)
    assert separable(images(1, 32, 48, 3)).shape == (1, 32, 48, CLASSES)


@pytest.mark.slow
@BUILDERS
@pytest.mark.parametrize("levels", [(1, 2, 3, 4), (0, 2, 4)])
def test_images_of_any_size_have_as_many_logits_as_pixels(build, levels, narrow):
    network = with_values(build(narrow(levels)))
    assert network.output_shape == (None, None, None, CLASSES)
    for sides in ((32, 48), (33, 47), (41, 57)):
        batch = images(1, *sides, 3)
        fixed = build(narrow(levels, sides))
        fixed.set_weights(network.get_weights())
        assert fixed.output_shape == (None, *sides, CLASSES)
        expected = np.array(fixed(batch))
        np.testing.assert_allclose(network(batch), expected, atol=1e-4 * abs(expected).max())


@BUILDERS
def test_what_is_seen_does_not_move_when_the_image_grows(build, narrow):
    # Of a wider image, the pixels that do not see the right border get the same logits. Means of the map would change them.
    network = with_values(build(narrow()))
    for layer in network.layers:
        if isinstance(layer, keras_senet.layers.SqueezeExcite):
            layer.expand.kernel.assign(0 * layer.expand.kernel)
    if build is small_deeplab:
        network.get_layer("aspp_image_conv").kernel.assign(0 * network.get_layer("aspp_image_conv").kernel)
    wide = images(1, 32, 512, 3)
    narrower = wide[:, :, :500]
    np.testing.assert_allclose(network(narrower)[:, :, :200], network(wide)[:, :, :200], atol=1e-3)


@BUILDERS
def test_with_channels_first_the_logits_are_the_same(build, narrow):
    batch = images(1, 33, 48, 3)
    network = with_values(build(narrow()))
    expected = network.predict(batch, verbose=0)
    keras.config.set_image_data_format("channels_first")
    try:
        backbone = narrow()
        first = build(backbone)
        first.set_weights(network.get_weights())
        found = first.predict(batch.transpose(0, 3, 1, 2), verbose=0)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(found, expected, atol=1e-4 * abs(expected).max())
    with pytest.raises(ValueError, match="has the data format 'channels_first', and Keras makes layers of 'channels_last'"):
        build(backbone)


def masks(*shape: int) -> np.ndarray:
    """Labels, of which a fifth is void."""
    random = np.random.default_rng(2)
    return np.where(random.uniform(size=shape) < 0.2, VOID, random.integers(0, CLASSES, shape)).astype("uint8")


@pytest.mark.slow
@BUILDERS
def test_a_trained_network_is_loaded_with_its_loss_and_its_optimizer_and_computes_the_same(build, narrow, tmp_path):
    network = build(narrow(freeze_norm=True))
    kernel, statistics = (network.get_layer(name).weights[0].numpy() for name in ("stage4_block1_conv1", "stage4_block1_bn1"))
    batch, labels = images(4, 33, 48, 3), masks(4, 33, 48)
    measure = keras.metrics.MeanIoU(CLASSES, ignore_class=VOID, sparse_y_pred=False, name="miou")
    network.compile("adam", segmentation.DiceCrossentropy(ignore_class=VOID), metrics=[measure], jit_compile=False)
    history = network.fit(batch, labels, batch_size=2, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert not np.array_equal(network.get_layer("stage4_block1_conv1").weights[0], kernel)
    np.testing.assert_array_equal(network.get_layer("stage4_block1_bn1").weights[0], statistics)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert (loaded.optimizer.iterations, loaded.loss.get_config()) == (8, network.loss.get_config())
    np.testing.assert_array_equal(loaded(batch), network(batch))


@BUILDERS
def test_the_rest_of_the_package_works_on_it(build, narrow):
    network = with_values(build(narrow()))
    batch = images(2, 33, 48, 3)
    expected = network(batch)
    folded = keras_senet.export.fold_batch_norm(network)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(folded(batch), expected, atol=1e-4 * abs(expected.numpy()).max())
    gates = keras_senet.gates(network, batch)
    assert {name: values.shape for name, values in gates.items()} == {
        f"stage{stage}_block1_se": (2, channels) for stage, channels in ((2, 16), (3, 16), (4, 32))
    }
    profile = analysis.profile(network, (32, 48, 3))
    assert all(layer.counted for layer in profile.layers)
    assert profile.layers[-1].output_shape == (None, 32, 48, CLASSES)
    assert profile.total.parameters == sum(np.prod(weight.shape) for weight in network.trainable_weights)


@BUILDERS
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_the_logits_are_float32_and_near_those_in_float32(build, policy, narrow):
    batch = images(1, 33, 48, 3)
    network = with_values(build(narrow()))
    keras.config.set_dtype_policy(policy)
    try:
        mixed = build(narrow())
        mixed.set_weights(network.get_weights())
        found = mixed.predict(batch, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert found.dtype == "float32"
    assert mixed.get_layer("decoder_concat" if build is small_deeplab else "decoder1_concat").compute_dtype == policy[6:]
    expected = network.predict(batch, verbose=0)
    assert 0 < abs(found - expected).max() < 0.1 * abs(expected).max()


@BUILDERS
@pytest.mark.parametrize("sides", [(32, 48), (33, 47)])
def test_a_tflite_file_computes_the_logits(build, sides, narrow, tmp_path):
    network = with_values(build(narrow(sides=sides)))
    (tmp_path / "network.tflite").write_bytes(convert(optimized_for_cpu(network), "float32", 1, None))
    batch = images(2, *sides, 3)
    expected = network.predict(batch, verbose=0)
    found = open_tflite(tmp_path / "network.tflite").run(batch)
    np.testing.assert_allclose(found, expected, atol=1e-4 * abs(expected).max(), rtol=0)


TWO_REPLICAS = """
import sys
import keras, numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_senet, tiny_network
random = np.random.default_rng(0)
images, masks = random.uniform(0, 255, (4, 24, 33, 3)).astype("float32"), random.choice([0, 1, 255], (4, 24, 33))
masks[0, 8:] = 255  # the replicas have other numbers of pixels that count
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if sys.argv[1] == "2" else tf.distribute.get_strategy()
assert strategy.num_replicas_in_sync == int(sys.argv[1])
keras.utils.set_random_seed(0)
with strategy.scope(), tiny_network.registered() as tiny:
    backbone = keras_senet.backbone(tiny(weights=None, include_top=False), (0, 1))
    network = getattr(keras_senet.segmentation, sys.argv[2])(backbone, 2, width=8)
    for layer in network.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    measure = keras.metrics.MeanIoU(2, ignore_class=255, sparse_y_pred=False)
    network.compile(keras.optimizers.SGD(0.01), keras_senet.segmentation.DiceCrossentropy(ignore_class=255), metrics=[measure])
    data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)
    loss = network.fit(data, epochs=2, verbose=0).history["loss"]
np.savez(sys.argv[3], loss, *network.get_weights())
"""


@pytest.mark.slow
@pytest.mark.parametrize("build", ["unet", pytest.param("deeplab", marks=pytest.mark.exhaustive)])
def test_two_replicas_train_as_one(build, python, tmp_path):
    for replicas in (1, 2):
        done = python(TWO_REPLICAS, replicas, build, tmp_path / f"{replicas}.npz")
        assert done.returncode == 0, done.stderr
    one, two = (np.load(tmp_path / f"{replicas}.npz") for replicas in (1, 2))
    assert one["arr_0"][1] < one["arr_0"][0]
    assert len(one.files) > 20
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)


def test_the_loss_is_that_of_scikit_learn_and_void_pixels_do_not_count():
    loss = segmentation.DiceCrossentropy(ignore_class=VOID, reduction=None)
    labels = masks(2, 6, 7)
    labels[1][labels[1] == 2] = 0  # an image that lacks a class, which its Dice loss then leaves out
    sure = np.float32(20 * np.eye(CLASSES)[np.random.default_rng(3).integers(0, CLASSES, labels.shape)])
    for truth, logits, found in zip(labels, sure, loss(labels, sure), strict=True):
        counts = truth != VOID
        truth, logits = truth[counts], logits[counts].astype("float64")
        crossentropy = metrics.log_loss(truth, keras.ops.softmax(logits), labels=range(CLASSES))
        # Of sure predictions the Dice coefficient is the F1 score.
        dice = 1 - metrics.f1_score(truth, logits.argmax(-1), average="macro", labels=np.unique(truth))
        assert float(found) == pytest.approx(crossentropy + dice, rel=1e-5)
    other = np.where((labels == VOID)[..., np.newaxis], 3 - sure, sure)
    np.testing.assert_array_equal(loss(labels, other), loss(labels, sure))
    np.testing.assert_array_equal(loss(labels[..., np.newaxis], sure), loss(labels, sure))


def test_an_image_of_void_alone_costs_nothing_and_all_labels_count_by_default():
    void, logits = np.full((1, 4, 4), VOID), np.ones((1, 4, 4, CLASSES), "float32")
    assert segmentation.DiceCrossentropy(ignore_class=VOID)(void, logits) == 0
    labels = np.random.default_rng(0).integers(0, CLASSES, (2, 4, 4))
    scores = np.random.default_rng(1).normal(size=(2, 4, 4, CLASSES)).astype("float32")
    assert segmentation.DiceCrossentropy()(labels, scores) == segmentation.DiceCrossentropy(ignore_class=VOID)(labels, scores)


def test_the_measure_is_the_jaccard_index_of_scikit_learn_without_void_pixels():
    labels = masks(3, 8, 9)
    scores = np.random.default_rng(4).normal(size=(3, 8, 9, CLASSES)).astype("float32")
    measure = keras.metrics.MeanIoU(CLASSES, ignore_class=VOID, sparse_y_pred=False)
    for batch, logits in ((labels[:2], scores[:2]), (labels[2:], scores[2:])):
        measure.update_state(batch, logits)
    counts = labels != VOID
    expected = metrics.jaccard_score(labels[counts], scores[counts].argmax(-1), average="macro")
    assert float(measure.result()) == pytest.approx(expected, rel=1e-6)


def test_of_probabilities_keras_ignores_the_gradient_of_what_is_surely_wrong():
    """Why the networks end in logits."""
    labels = np.array([[[0, VOID]]])
    logits = tf.Variable([[[[-30.0, 0.0], [0.0, 0.0]]]])
    gradients = []
    for from_logits in (False, True):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=VOID)
        with tf.GradientTape() as tape:
            value = loss(labels, logits if from_logits else keras.ops.softmax(logits))
        gradients.append(tape.gradient(value, logits).numpy()[0, 0, 0])
    np.testing.assert_allclose(gradients, [[0, 0], [-1, 1]], atol=1e-6)


@pytest.mark.parametrize("build", [segmentation.unet, segmentation.deeplab])
def test_what_makes_no_network_is_refused(build, narrow):
    with pytest.raises(
        ValueError, match=r"must be a Backbone: make one .*keras_senet.backbone\(model, levels=.*Received: Functional"
    ):
        build(keras_senet.SEResNet20(weights=None, include_top=False), 2)
    with pytest.raises(ValueError, match=r"at least two levels, such as \(2, 5\)\. Received: a backbone with P3"):
        build(narrow((3,)), 2)
    for classes in (1, 0, "21", 2.0, True):
        with pytest.raises(ValueError, match=f"`classes` must be at least 2, .* Received: classes={classes!r}"):
            build(narrow(), classes)
    with pytest.raises(ValueError, match="`width` must be an integer of at least 1. Received: width=0"):
        build(narrow(), 2, width=0)


def test_rates_that_are_none_are_refused(narrow):
    with pytest.raises(ValueError, match=r"`rates` must be integers of at least 1, .* Received: rates=\(6, 0\)"):
        segmentation.deeplab(narrow(), 2, rates=(6, 0))
