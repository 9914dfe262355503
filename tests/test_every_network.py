"""What each constructor must do, whatever its family."""

import gc
import inspect
import re

import keras
import numpy as np
import pytest
import shortened

import keras_senet
from keras_senet.export import open_classifier

# These differ from SEResNet152D, SEResNeXt26 and SEResNeXtAA101D in widths and groups alone: shortened, they are not exported.
ALIKE = (
    "SEResNeXt26D",
    "SEResNeXt26T",
    "SEResNeXt101_64x4d",
    "SEResNeXt101_32x8d",
    "SEResNeXt101D_32x8d",
    "SEResNeXtAA201D_32x8d",
)
FAST = ("SEResNet50", "SEShuffleNet")  # one that strides in its residual branch and adds, one that concatenates


@pytest.mark.parametrize(
    ("name", "short"),
    [pytest.param(name, True, marks=[] if name in FAST else pytest.mark.slow) for name in shortened.distinct()]
    + [pytest.param(name, False, marks=pytest.mark.exhaustive) for name in keras_senet.list_models()],
    ids=lambda value: {True: "shortened", False: "full"}.get(value, value),
)
def test_a_network_trains_saves_loads_and_exports(name, short, shallow, tmp_path):
    if not short:
        gc.collect()  # the network before this one, which may take gigabytes
    size = 75 if name.startswith("SEInception") else 32
    keras.utils.set_random_seed(0)
    build = shallow(name) if short else getattr(keras_senet, name)
    # In few and narrow stages, one hidden unit in 16 channels would often be off for all images, and learn nothing.
    more = {"reduction": 4} if short and build.architecture.attention.attention == "se" else {}
    network = build(weights=None, input_shape=(size, size, 3), classes=7, **more)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (4, size, size, 3)).astype("float32"), np.array([0, 1, 2, 3])
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            if layer.name.endswith("_bn3"):  # else 50 untrained bottlenecks magnify rounding until nothing else is left
                layer.gamma.assign(0.2 * layer.gamma)
    before = {weight.path: weight.numpy() for weight in network.trainable_weights}
    network.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy", jit_compile=False, run_eagerly=True)
    assert np.isfinite(network.train_on_batch(images, labels))
    changed = {weight.path for weight in network.trainable_weights if not np.array_equal(before[weight.path], weight.numpy())}
    assert changed >= {path for path in before if path.endswith("_se_expand/bias")}
    assert len(changed) > 0.9 * len(before)  # a unit may be off for all four images

    # With the moving statistics of these very images the signal stays of one size, also through 150 layers.
    network(images, training=True)
    # Keep the rounding that is left small beside the tolerance of the export.
    head = network.get_layer("predictions")
    logits = keras.Model(network.input, head.input)(images) @ head.kernel
    head.kernel.assign(head.kernel * 0.02 / np.std(logits))
    expected = keras.ops.convert_to_numpy(network(images))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False)
    np.testing.assert_array_equal(loaded(images), expected)
    if short and name in ALIKE:
        return
    keras_senet.export.tflite(loaded, tmp_path / "network.tflite")
    exported = open_classifier(tmp_path / "network.tflite").probabilities(images)
    np.testing.assert_allclose(exported, expected, atol=0.02 * np.ptp(expected))


def test_no_network_has_two_names():
    networks = [getattr(keras_senet, name).architecture for name in keras_senet.list_models()]
    assert [network for network in networks if networks.count(network) > 1] == []


@pytest.mark.parametrize("name", keras_senet.list_models())
def test_the_docstring_of_a_constructor_is_well_formed(name):
    construct = getattr(keras_senet, name)
    text = construct.__doc__
    assert re.findall(r"^(\w+):", text, re.MULTILINE) == ["Args", "Returns", "Raises", "Source", "Example"]
    arguments = text.partition("Args:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^ {4}(\w+): ", arguments, re.MULTILINE) == list(inspect.signature(construct).parameters)
    assert not re.search(r"[,;:]\s*[,;]|\s[,;]|[{}]|\S {2,}\S", text)  # doubled or lonely punctuation, a field left open, a gap
    assert max(map(len, text.splitlines())) <= 130
