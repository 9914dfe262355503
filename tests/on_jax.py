"""What must hold on JAX: `KERAS_BACKEND=jax python on_jax.py FILE.tflite full|shortened`. The file will not be written.

All is in one program, since Keras has one backend a process, and a process takes seconds to start.
"""

import importlib.abc
import itertools
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
import tiny_network  # noqa: E402

import keras_senet  # noqa: E402
from keras_senet.models.build import constructor  # noqa: E402


def computed(model: keras.Model, images: np.ndarray):
    """The model's outputs with weights that are the same in each data format."""
    weights = synthetic.weights(model)
    run = jax.jit(lambda weights, images: model.stateless_call(*weights, images)[0])
    return jax.tree.map(np.array, run(weights, images))


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


def feature_pyramids_are_alike_in_both_data_formats():
    images = 255 * np.random.default_rng(0).random((2, 48, 80, 3), "float32")
    maps, gates_without_squeeze = [], {"squeeze": None, "reduction": 4}
    for data_format, axes in (("channels_last", (0, 1, 2, 3)), ("channels_first", (0, 3, 1, 2))):
        keras.config.set_image_data_format(data_format)
        network = tiny_network.of_four_stages(**gates_without_squeeze)
        backbone = keras_senet.backbone(network, output_stride=8)
        assert backbone.strides == {"P2": 4, "P3": 8, "P4": 8, "P5": 8}
        assert backbone.channels == {"P2": 16, "P3": 32, "P4": 64, "P5": 128}
        for each in (keras_senet.backbone(network), backbone):
            made = computed(each, images.transpose(axes))
            maps.append({level: found if axes[1] == 1 else found.transpose(0, 2, 3, 1) for level, found in made.items()})
    keras.config.set_image_data_format("channels_last")
    coarse, fine, *first = maps
    for level, found in fine.items():
        step = {"P4": 2, "P5": 4}.get(level, 1)
        for other in (first[1][level], coarse[level], first[0][level]):
            same = found if other.shape == found.shape else found[:, ::step, ::step]
            np.testing.assert_allclose(other, same, atol=1e-5 * abs(found).max(), rtol=0, err_msg=level)


def training_results(layer: keras.layers.BatchNormalization, x: np.ndarray, upstream: np.ndarray) -> list:
    """The outputs and the new statistics of a layer in training, and the gradients of its weights and its inputs."""
    trainable = [variable.value for variable in layer.trainable_variables]
    frozen = [variable.value for variable in layer.non_trainable_variables]

    def loss(trainable, x):
        outputs, updated = layer.stateless_call(trainable, frozen, x, training=True)
        return (outputs * upstream).sum(), (outputs, updated)

    (_, made), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(trainable, x)
    return jax.tree.leaves((made, gradients))


def batch_normalization_equals_that_of_keras_forward_and_backward():
    random = np.random.default_rng(0)
    shapes = ((-1, (4, 9, 9, 6)), (1, (4, 6, 9, 9)), (-1, (16, 6)))
    settings = ({}, {"center": False, "scale": False}, {"dtype": "mixed_bfloat16"})
    for (axis, shape), arguments in itertools.product(shapes, settings):
        x, upstream = 3 * random.standard_normal((2, *shape)).astype("float32") + 2
        weights = random.uniform(0.5, 1.5, (4, 6))
        results = []
        for kind in (keras_senet.layers.BatchNormalization, keras.layers.BatchNormalization):
            layer = kind(axis, momentum=0.9, epsilon=1e-5, **arguments)
            layer.build(shape)
            layer.set_weights(weights[-len(layer.weights) :])
            results.append(training_results(layer, x, upstream))
        for found, expected in zip(*results, strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, atol=1e-5 * abs(np.array(expected)).max(), rtol=0)


def batch_normalization_keeps_its_digits_far_from_zero():
    x = (1e4 + np.random.default_rng(0).standard_normal((64, 8, 8, 4))).astype("float32")
    exact = np.float64(x) - np.float64(x).mean((0, 1, 2))
    exact /= np.sqrt((exact**2).mean((0, 1, 2)) + 1e-3)
    assert abs(keras_senet.layers.BatchNormalization()(x, training=True) - exact).max() < 2e-3  # of float32's steps at 1e4


def export_asks_for_the_tensorflow_backend(path: str):
    sys.meta_path.remove(no_tensorflow)
    with pytest.raises(ValueError, match="set KERAS_BACKEND=tensorflow"):
        keras_senet.export.tflite(keras_senet.SEResNet20(), path)


# Initial values would compile for a minute, and what is claimed here does not depend on them.
with keras.StatelessScope(initialize_variables=False):
    every_network_builds()
    both_data_formats_compute_alike()
    feature_pyramids_are_alike_in_both_data_formats()
    export_asks_for_the_tensorflow_backend(sys.argv[1])
batch_normalization_equals_that_of_keras_forward_and_backward()
batch_normalization_keeps_its_digits_far_from_zero()
