"""MobileNetV3: whose padding and epsilon a file has, which checkpoint is for which options, and hard swish in integers."""

import collections
import dataclasses

import keras
import numpy as np
import pytest
import shortened
import synthetic
from reference import logits, write_safetensors, write_zeros

import keras_senet
from keras_senet import data, export
from keras_senet.models.build import constructor
from keras_senet.models.mobilenet_v3 import features
from keras_senet.models.registry import MODELS
from keras_senet.rewrite.for_integers import optimized_for_integers

ANYTHING = export.Limits(1, 1, 0, 1)


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Networks that a test registers are gone after it."""
    monkeypatch.setattr("keras_senet.models.registry.MODELS", dict(MODELS))


def short(name: str = "MobileNetV3Small", **changes):
    """The constructor of a shortened network, which differs from the public one in these fields, too."""
    architecture, _ = shortened.description(name)
    return constructor(name, dataclasses.replace(architecture, **changes), features, f"{name}.")


def with_statistics(network: keras.Model, images: np.ndarray) -> keras.Model:
    """The network with the statistics of these images in batch normalization, so that maps keep the size of trained ones."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(images, training=True)
    return network


@pytest.mark.parametrize("publisher", ["tensorflow", "timm", "torchvision"])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_file_of_keras_says_whose_padding_and_epsilon_it_has(publisher, suffix, tmp_path):
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    network = with_statistics(short(publisher=publisher)(weights=None, input_shape=(64, 64, 3)), images)
    file = tmp_path / f"saved{suffix}"
    network.save(file) if suffix == ".keras" else network.save_weights(file)
    loaded = short()(weights=file, input_shape=(64, 64, 3))
    np.testing.assert_array_equal(loaded(images), network(images))
    pads = sum(isinstance(layer, keras.layers.ZeroPadding2D) for layer in loaded.layers)
    assert pads == (0 if publisher == "tensorflow" else 4)  # the stem, and the first block of three stages
    assert loaded.get_layer("stem_bn").epsilon == (1e-5 if publisher == "timm" else 1e-3)


@pytest.mark.slow
def test_a_checkpoint_of_the_authors_has_their_padding_which_its_file_does_not_say(tmp_path, monkeypatch):
    """The file is put where the error of a failed download says that it goes."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "models" / "keras_senet"
    folder.mkdir(parents=True)
    name = "tf_mobilenetv3_small_075"
    write_safetensors(folder / f"{name}.in1k.safetensors", f"timm/{name}")
    bare = {"classifier_activation": None, "include_preprocessing": False, "input_shape": (64, 64, 3)}
    for _ in range(2):  # the second time it comes from the cache
        network = keras_senet.MobileNetV3Small(weights="in1k", width_multiplier=0.75, **bare)
        expected = logits(f"timm/{name}", 64)
        assert np.abs(network(synthetic.image(64)) - expected).max() <= 1e-4 * np.abs(expected).max()
    other = logits("timm/mobilenetv3_small_075", 64)  # the same parameters in timm's padding and epsilon
    assert np.abs(other - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "options", "weights", "found"),
    [
        ("MobileNetV3Small", {}, "imagenet", "mobilenetv3_small_100.lamb_in1k"),
        ("MobileNetV3Small", {"width_multiplier": 0.75}, "imagenet", "mobilenetv3_small_075.lamb_in1k"),
        ("MobileNetV3Small", {"width_multiplier": 0.5}, "lamb_in1k", "mobilenetv3_small_050.lamb_in1k"),
        ("MobileNetV3Small", {"minimalistic": True}, "imagenet", "tf_mobilenetv3_small_minimal_100.in1k"),
        ("MobileNetV3Large", {}, "tv2_in1k", "mobilenet_v3_large.tv2_in1k"),
        ("MobileNetV3Large", {"width_multiplier": 0.75}, "in1k", "tf_mobilenetv3_large_075.in1k"),
    ],
)
def test_the_options_say_which_checkpoint_a_tag_means(name, options, weights, found, monkeypatch):
    def download(checkpoint, convert):
        raise ConnectionError(checkpoint.name)

    monkeypatch.setattr("keras_senet.pretrained.keras_file", download)
    with pytest.raises(ConnectionError, match=f"^{found}$"):
        getattr(keras_senet, name)(weights=weights, **options)


def test_a_checkpoint_opens_by_its_name_alone_whatever_its_options(monkeypatch):
    def download(checkpoint, convert):
        raise ConnectionError(checkpoint.name)

    monkeypatch.setattr("keras_senet.pretrained.keras_file", download)
    for checkpoint in keras_senet.list_checkpoints("MobileNetV3Small"):
        with pytest.raises(ConnectionError, match=f"^{checkpoint.name}$"):
            export.open_classifier(checkpoint.name)


def test_checkpoints_can_be_in_a_set():
    checkpoints = keras_senet.list_checkpoints()
    assert len(set(checkpoints)) == len(checkpoints)


def test_each_tag_of_a_network_with_its_options_means_one_checkpoint():
    tags = [(one.model, *one.options.values(), one.tag) for one in keras_senet.list_checkpoints()]
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize(
    ("options", "weights", "words"),
    [
        ({"width_multiplier": 0.6}, "imagenet", r"MobileNetV3Small\(width_multiplier=0.6\). It takes None,"),
        ({}, "mobilenetv3_small_075.lamb_in1k", r"They are for MobileNetV3Small\(width_multiplier=0.75\)"),
    ],
)
def test_weights_for_other_options_are_named(options, weights, words):
    with pytest.raises(ValueError, match=words):
        keras_senet.MobileNetV3Small(weights=weights, **options)


@pytest.mark.parametrize(
    "reference",
    ["timm/tf_mobilenetv3_small_minimal_100", "timm/mobilenetv3_small_100", "torchvision/mobilenet_v3_small"],
)
def test_a_file_with_relu_in_place_of_hard_swish_is_refused_and_the_reverse(reference, tmp_path):
    """A file of PyTorch shows it by SE, which the networks without hard swish are without, too."""
    file, theirs = write_zeros(tmp_path / "zeros.safetensors", reference), "minimal" in reference
    with pytest.raises(ValueError, match=f"is of a MobileNetV3Small with minimalistic={theirs}: pass minimalistic={theirs}"):
        keras_senet.MobileNetV3Small(weights=file, minimalistic=not theirs)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize("theirs", [False, True])
def test_a_file_of_keras_with_relu_in_place_of_hard_swish_is_refused_and_the_reverse(suffix, theirs, tmp_path):
    build, file = MODELS["MobileNetV3Small"], tmp_path / f"saved{suffix}"
    network = build(weights=None, minimalistic=theirs, width_multiplier=0.1, input_shape=(32, 32, 3), classes=2)
    network.save(file) if suffix == ".keras" else network.save_weights(file)
    with pytest.raises(ValueError, match=f"is of a MobileNetV3Small with minimalistic={theirs}: pass minimalistic={theirs}"):
        build(weights=file, minimalistic=not theirs, width_multiplier=0.1, classes=2)
    build(weights=file, minimalistic=theirs, width_multiplier=0.1, classes=2)


def test_relu_in_place_of_hard_swish_is_named_where_all_else_is_equal(tmp_path):
    network = short()(weights=None, input_shape=(32, 32, 3))
    for layer in network.layers:
        if layer.name.endswith("hard_silu2"):
            layer.activation = keras.activations.relu
    network.save(tmp_path / "relu.keras")
    with pytest.raises(ValueError, match="'stage3_block1_hard_silu2' has activation='relu' in the file, and 'hard_silu' here"):
        short()(weights=tmp_path / "relu.keras")


@pytest.fixture(scope="module")
def trained(shallow, digits):
    """A shortened network that has learned digits, pixels of its training images, and labelled images that it has not seen."""
    keras.utils.set_random_seed(0)
    network = shallow("MobileNetV3Small")(weights=None, input_shape=(32, 32, 3), classes=10)
    preprocessing = keras_senet.Preprocessing(32)
    pixels, labels = next(iter(data.evaluation_batches(digits("train"), preprocessing, 640).as_numpy_iterator()))
    network.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy", jit_compile=False)
    network.fit(pixels, labels, batch_size=64, epochs=12, verbose=0)
    return network, pixels, digits("validation")


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["float32", "int8", "int8_float_io", "int16x8"])
def test_integers_keep_the_classes(quantize, trained, tmp_path):
    network, pixels, images = trained
    path = tmp_path / "network.tflite"
    proof = export.tflite(network, path, images=images, quantize=quantize, calibration=pixels)
    assert proof.model_accuracy > 0.9
    assert proof.accuracy >= proof.model_accuracy - 0.01
    assert proof.agreement >= 0.98
    (measured,) = export.benchmark([path], rounds=1)
    kinds = collections.Counter(kind for kind, _ in measured.not_delegated)
    if quantize == "int16x8":
        return  # XNNPACK takes none
    assert kinds == ({"QUANTIZE": 2, "SOFTMAX": 1} if quantize == "int8" else {})
    # Hard swish is one operator in floats: in the stem, twice in each of two blocks, in the last convolution and in the head.
    assert measured.operators.get("HARD_SWISH", 0) == (7 if quantize == "float32" else 0)


@pytest.mark.slow
def test_hard_swish_as_tensorflow_writes_it_has_no_integers_of_16_bits_and_none_in_xnnpack(trained, tmp_path, monkeypatch):
    """That is why it is written otherwise; where this fails, it need not be any more."""
    network, pixels, _ = trained
    for module in ("to_tflite", "detectors"):
        monkeypatch.setattr(f"keras_senet.export.{module}.optimized_for_integers", lambda model: model)
    with pytest.raises(ValueError, match="16x8-bit not yet supported for op: 'HARD_SWISH'"):
        export.tflite(network, tmp_path / "network.tflite", quantize="int16x8", calibration=pixels, limits=ANYTHING)
    export.tflite(network, tmp_path / "network.tflite", quantize="int8_float_io", calibration=pixels, limits=ANYTHING)
    (measured,) = export.benchmark([tmp_path / "network.tflite"], rounds=1)
    assert collections.Counter(kind for kind, _ in measured.not_delegated) == {"HARD_SWISH": 7}


@pytest.mark.slow
def test_mobilenet_v3_of_keras_applications_goes_to_integers_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3)).astype("float32")
    theirs = keras.applications.MobileNetV3Small((64, 64, 3), weights=None, classes=10)
    network = with_statistics(theirs, images[:32])
    for quantize in ("int8_float_io", "int16x8"):
        path = tmp_path / f"{quantize}.tflite"
        proof = export.tflite(network, path, quantize=quantize, calibration=images, limits=ANYTHING)
        assert proof.mean < 0.04
    (measured,) = export.benchmark([tmp_path / "int8_float_io.tflite"], rounds=1)
    assert measured.not_delegated == []


def test_hard_swish_is_rewritten_wherever_it_is():
    """In a layer of its own, within others, and in a model within the model; the same numbers come out."""
    inner_input = keras.Input((8, 8, 4))
    inner = keras.Model(inner_input, keras.layers.Conv2D(4, 3, activation="hard_silu")(inner_input))
    images = keras.Input((8, 8, 4))
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="hard_silu")(images)
    x = keras.layers.Dense(8, activation="hard_silu")(keras.layers.Flatten()(inner(keras.layers.Activation("hard_silu")(x))))
    network = keras.Model(images, keras.layers.Dense(3, activation="relu")(x))
    found = optimized_for_integers(network)
    x = 4 * np.random.default_rng(0).normal(size=(5, 8, 8, 4)).astype("float32")
    np.testing.assert_allclose(found(x), network(x), rtol=1e-4, atol=1e-4)
    configs = f"{found.get_config()}"
    assert "hard_silu'" not in configs.replace("_hard_silu", "")


def test_a_hard_swish_that_is_called_twice_is_rewritten_twice():
    images, swish = keras.Input((8, 8, 3)), keras.layers.Activation("hard_silu")
    maps = [swish(keras.layers.Conv2D(4, 3)(images)) for _ in range(2)]
    network = keras.Model(images, keras.layers.Subtract()(maps))
    found = optimized_for_integers(network)
    x = 4 * np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(found(x), network(x), rtol=1e-4, atol=1e-5)
    assert sum(isinstance(layer, keras.layers.ReLU) for layer in found.layers) == 2
