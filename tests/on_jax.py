"""What must hold on JAX: `KERAS_BACKEND=jax python on_jax.py FILE.tflite full|shortened`. The file will not be written.

All is in one program, since Keras has one backend a process, and a process takes seconds to start.
"""

import importlib.abc
import sys

import pytest


class NotInstalled(importlib.abc.MetaPathFinder):
    """Makes importing TensorFlow fail, as where it is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, no_tensorflow := NotInstalled())

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import shortened  # noqa: E402
import synthetic  # noqa: E402

import keras_senet  # noqa: E402
from keras_senet.models.build import constructor  # noqa: E402


def computed(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The model's output with weights that are the same in each data format."""
    weights = synthetic.weights(model)
    return np.array(jax.jit(lambda weights, images: model.stateless_call(*weights, images)[0])(weights, images))


def every_network_builds():
    assert keras.backend.backend() == "jax"
    whole = sys.argv[2] == "full"
    for name in keras_senet.list_models() if whole else shortened.distinct():
        build = getattr(keras_senet, name) if whole else constructor(name, *shortened.description(name), name)
        network = build(weights=None)
        assert network.output_shape == (None, network.layers[-1].units), name


def both_data_formats_compute_alike():
    images = 255 * np.random.default_rng(0).random((2, 41, 48, 3), "float32")
    for name in ("SEWideResNet", "SEShakeShake26_2x96d", "SEBNInception", "SEShuffleNet", "SEMobileNet"):
        build = constructor(name, *shortened.description(name), name)
        keras.config.set_image_data_format("channels_last")
        last = build(weights=None, input_shape=(41, 48, 3), include_top=False)
        expected = computed(last, images)
        keras.config.set_image_data_format("channels_first")
        first = build(weights=None, input_shape=(3, 41, 48), include_top=False)
        found = computed(first, images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        assert abs(found - expected).max() < 1e-3 * abs(expected).max(), last.name
    network = keras_senet.SEResNet20()
    assert network.input_shape == (None, 3, 32, 32)
    assert computed(network, np.ones((1, 3, 32, 32), "float32")).shape == (1, 10)
    keras.config.set_image_data_format("channels_last")


def export_asks_for_the_tensorflow_backend(path: str):
    sys.meta_path.remove(no_tensorflow)
    with pytest.raises(ValueError, match="set KERAS_BACKEND=tensorflow"):
        keras_senet.export.tflite(keras_senet.SEResNet20(), path)


# Initial values would compile for a minute, and what is claimed here does not depend on them.
with keras.StatelessScope(initialize_variables=False):
    every_network_builds()
    both_data_formats_compute_alike()
    export_asks_for_the_tensorflow_backend(sys.argv[1])
