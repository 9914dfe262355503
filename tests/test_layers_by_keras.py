"""Keras' own test of a layer, which its own layers pass, on all of ours: in both data formats and all dtype policies."""

import keras
import pytest
from common import COMPOSITE
from keras.src.testing import TestCase

from keras_senet import layers

POLICIES = ("float32", "float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")
FORMATS = ("channels_last", "channels_first")

CASES = COMPOSITE | {
    "se_max": (layers.SqueezeExcite, {"hidden_units": 3, "squeeze": "max"}),
    "se_without_squeeze": (layers.SqueezeExcite, {"reduction": 4, "squeeze": None}),
    "se_without_bias": (layers.SqueezeExcite, {"reduction": 4, "use_bias": False, "activation": "swish", "gate": "tanh"}),
    "ge4": (layers.GatherExcite, {"extent": 4}),
    "ge8": (layers.GatherExcite, {"extent": 8}),
    "scatter": (layers.ChannelScatter, {"indices": [0, *range(2, 17)], "channels": 20}),
    "shuffle": (layers.ChannelShuffle, {"groups": 4}),
    "grouped": (layers.GroupedConv2D, {"filters": 8, "kernel_size": 3, "groups": 4}),
    "ungrouped": (layers.GroupedConv2D, {"filters": 8, "kernel_size": 3, "padding": "same"}),
    "normalization": (layers.PixelNormalization, {"mean": [1.0] * 16, "variance": [2.0] * 16}),
    "normalization_later": (layers.PixelNormalization, {"crop_ratio": 0.9, "interpolation": "bicubic"}),
    "batch_normalization": (layers.BatchNormalization, {"momentum": 0.9}),
    "dilated_max": (layers.DilatedPooling2D, {"pool_size": (2, 3), "dilation_rate": 2, "padding": ((0, 2), (1, 3))}),
    "dilated_average": (layers.DilatedPooling2D, {"pool_size": (3, 3), "padding": ((1, 1), (0, 2)), "mode": "avg"}),
    "shake": (layers.ShakeShake, {}),
    "shake_seeded": (layers.ShakeShake, {"seed": 7}),
    "up_sampling": (layers.UpSamplingLike, {"factor": 2}),
}

pytestmark = [
    # Keras' test trains layers without weights, by a generator, each in a model of its own.
    pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning"),
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning"),
]


@pytest.fixture
def keras_test():
    filtered = keras.config.is_traceback_filtering_enabled()
    test = TestCase()
    test.setUp()
    yield test
    test.doCleanups()
    if filtered:
        keras.config.enable_traceback_filtering()


def run(test: TestCase, name: str, data_format: str, policy: str, **options) -> None:
    kind, arguments = CASES[name]
    shape = (2, 8, 8, 16) if data_format == "channels_last" else (2, 16, 8, 8)
    if kind in (layers.PixelNormalization, layers.BatchNormalization):
        arguments = arguments | {"axis": -1 if data_format == "channels_last" else 1}
    elif kind is layers.ShakeShake:
        shape = (shape, shape)
    elif kind is layers.UpSamplingLike:
        like = (2, 15, 17, 3) if data_format == "channels_last" else (2, 3, 15, 17)
        arguments, shape = arguments | {"data_format": data_format}, [shape, like]
    else:
        arguments = arguments | {"data_format": data_format}
    test.run_layer_test(kind, arguments | {"dtype": policy}, input_shape=shape, **options)


def test_all_layers_are_tested():
    assert {kind for kind, _ in CASES.values()} == {getattr(layers, name) for name in layers.__all__} - {layers.FeatureGate}


@pytest.mark.parametrize(("data_format", "policy"), [("channels_last", "float32"), ("channels_first", "mixed_bfloat16")])
@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_as_keras_expects(name, data_format, policy, keras_test):
    run(keras_test, name, data_format, policy, run_training_check=False)


@pytest.mark.exhaustive
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_as_keras_expects_in_each_format_and_policy(name, data_format, policy, keras_test):
    run(keras_test, name, data_format, policy)
