"""What each constructor must do, whatever its family."""

import keras
import numpy as np
import pytest

import keras_senet
from keras_senet.export import open_classifier


@pytest.mark.slow
@pytest.mark.parametrize("name", keras_senet.list_models())
def test_a_network_trains_saves_loads_and_exports(name, shallow, tmp_path):
    size = 75 if name.startswith("SEInception") else 32
    build = getattr(keras_senet, name) if name in ("SEResNet20", "SEResNet50") else shallow(name)
    network = build(weights=None, input_shape=(size, size, 3), classes=7)
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
    logits = keras.Model(network.inputs, head.input)(images) @ head.kernel
    head.kernel.assign(head.kernel * 0.02 / np.std(logits))
    expected = keras.ops.convert_to_numpy(network(images))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False)
    np.testing.assert_array_equal(loaded(images), expected)

    keras_senet.export.tflite(loaded, tmp_path / "network.tflite")
    exported = open_classifier(tmp_path / "network.tflite").probabilities(images)
    np.testing.assert_allclose(exported, expected, atol=0.02 * np.ptp(expected))


@pytest.mark.slow
def test_every_network_builds_under_jax(python):
    code = """
import keras, keras_senet
with keras.StatelessScope(initialize_variables=False):  # initial values compile for a minute, and say nothing of the networks
    for name in keras_senet.list_models():
        network = getattr(keras_senet, name)(weights=None)
        assert network.output_shape == (None, network.layers[-1].units), name
assert keras.backend.backend() == "jax"
"""
    done = python(code, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
