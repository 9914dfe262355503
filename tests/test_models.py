"""The networks against the paper's numbers, timm's logits, and the contract of keras.applications."""

import functools
import inspect

import keras
import numpy as np
import pytest
import synthetic
import timm_reference

import keras_senet
from keras_senet import analysis

# paper.md of the authors' released networks: parameters, and billions of multiply-adds.
RELEASED = {
    "SEResNet50": (28_088_024, 3.860),
    "SEResNet101": (49_326_872, 7.575),
    "SEResNet152": (66_821_848, 11.289),
    "SEResNeXt50": (27_559_896, 4.233),
    "SEResNeXt101": (48_955_416, 7.975),
    "SENet154": (115_088_984, 20.688),
}
# timm's, and for the plain CIFAR networks those of the models that repeat He et al.'s table 6.
OTHERS = {
    ("SEResNet18", "se"): 11_778_592,
    ("SEResNet34", "se"): 21_958_868,
    ("SEResNet50", None): 25_557_032,
    ("SEResNet20", None): 269_722,
    ("SEResNet32", None): 464_154,
    ("SEResNet44", None): 658_586,
    ("SEResNet56", None): 853_018,
    ("SEResNet110", None): 1_727_962,
}


@pytest.mark.parametrize("name", RELEASED)
def test_released_networks_have_the_published_cost(name, model):
    parameters, billions = RELEASED[name]
    assert analysis.parameters(model(name)) == parameters
    assert round(analysis.multiply_adds(model(name)) / 1e9, 3) == billions


@pytest.mark.parametrize(("name", "attention"), OTHERS)
def test_other_networks_have_the_published_parameters(name, attention):
    network = getattr(keras_senet, name)(weights=None, attention=attention)
    assert analysis.parameters(network) == OTHERS[name, attention]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("SEResNet50", "legacy_seresnet50"),
        ("SEResNeXt50", "legacy_seresnext50_32x4d"),
        ("SENet154", "legacy_senet154"),
    ],
)
def test_logits_equal_those_of_timm(name, reference):
    images = keras.Input((None, None, 3))
    network = getattr(keras_senet, name)(
        weights=None, input_tensor=images, classifier_activation=None, include_preprocessing=False
    )
    timm_reference.set_synthetic_weights(network, reference)
    for size in (224, 161):
        expected = timm_reference.logits(reference, size)
        logits = keras.ops.convert_to_numpy(network(synthetic.image(size)))
        assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_tensorflow_and_jax_give_the_same_logits_and_load_each_others_files(tmp_path, python):
    network = keras_senet.SEResNet18(weights=None, classifier_activation=None, include_preprocessing=False)
    timm_reference.set_synthetic_weights(network, "legacy_seresnet18")
    network.save(tmp_path / "tensorflow.keras")
    code = """
import sys, keras, numpy as np, keras_senet, synthetic
assert keras.backend.backend() == "jax"
network = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], network(synthetic.image(224)))
keras_senet.SEResNet18(weights=sys.argv[1], classifier_activation=None, include_preprocessing=False).save(sys.argv[2])
"""
    done = python(code, tmp_path / "tensorflow.keras", tmp_path / "jax.keras", tmp_path / "logits.npy", KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    expected = keras.ops.convert_to_numpy(network(synthetic.image(224)))
    on_jax = np.load(tmp_path / "logits.npy")
    back = keras.saving.load_model(tmp_path / "jax.keras")
    on_tensorflow = keras.ops.convert_to_numpy(back(synthetic.image(224)))
    for logits in (on_jax, on_tensorflow):
        assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_jax_computes_both_data_formats_and_grouped_convolutions_alike(python):
    code = """
import keras, numpy as np, keras_senet
from keras_senet.models.resnet import ResNet, features
from keras_senet.models.constructor import constructor
x = 255 * np.random.default_rng(0).random((2, 64, 64, 3), "float32")
small = ResNet((1, 1, 1, 1), groups=32, width_per_group=4, stride_in_3x3=True)
build = constructor("Small", small, features, "Small.")
last = build(weights=None, input_shape=(64, 64, 3), classifier_activation=None)
a = np.array(last(x))
keras.config.set_image_data_format("channels_first")
first = build(weights=None, input_shape=(3, 64, 64), classifier_activation=None)
first.set_weights(last.get_weights())
b = np.array(first(x.transpose(0, 3, 1, 2)))
assert abs(a - b).max() < 1e-4 * abs(a).max(), (a, b)
cifar = keras_senet.SEResNet20()
assert cifar.input_shape == (None, 3, 32, 32) and cifar(np.ones((1, 3, 32, 32))).shape == (1, 10)
"""
    done = python(code, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


def test_the_first_eight_parameters_are_those_of_keras_applications():
    theirs = list(inspect.signature(keras.applications.ResNet50).parameters.values())
    ours = list(inspect.signature(keras_senet.SEResNet50).parameters.values())
    assert [(p.name, p.default) for p in ours[:7]] == [(p.name, p.default) for p in theirs[:7]]
    assert (ours[7].name, ours[7].default) == ("name", "seresnet50")
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[8:])


def test_without_top_the_output_is_the_feature_map_or_its_pooling():
    build = keras_senet.SEResNet18
    assert build(include_top=False, weights=None).output_shape == (None, None, None, 512)
    assert build(include_top=False, weights=None, input_shape=(64, 96, 3)).output_shape == (None, 2, 3, 512)
    assert build(include_top=False, weights=None, pooling="avg").output_shape == (None, 512)
    assert build(include_top=False, weights=None, pooling="max").layers[-1].name == "max_pool"


def test_the_model_ends_up_on_the_source_of_an_input_tensor():
    images = keras.Input((64, 64, 3), name="camera")
    network = keras_senet.SEResNet18(weights=None, input_tensor=keras.layers.RandomFlip()(images), classes=7)
    assert network.inputs[0] is images
    assert network.output_shape == (None, 7)


def test_preprocessing_normalizes_pixels_with_the_training_statistics():
    network = keras_senet.SEResNet18(weights=None)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("float32")
    normalized = keras.ops.convert_to_numpy(network.get_layer("preprocessing")(pixels))
    expected = (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(normalized, expected, atol=1e-5)
    gray = keras_senet.SEResNet20(input_shape=(32, 32, 1))
    assert gray.get_layer("preprocessing").output.shape == (None, 32, 32, 1)


@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity", "3x3"])
def test_attention_stands_where_the_paper_puts_it(position):
    network = keras_senet.SEResNet50(weights=None, attention_position=position, input_shape=(32, 32, 3))
    before = network.get_layer("stage3_block2_se").input.name
    block = {layer.name: layer.output.name for layer in network.layers if "output" in dir(layer)}
    expected = {
        "standard": "stage3_block2_bn3",
        "pre": "stage3_block1_out",
        "post": "stage3_block2_out",
        "identity": "stage3_block1_out",
        "3x3": "stage3_block2_relu2",
    }
    assert before == block[expected[position]]
    # The paper gives 25.8 M after the 3x3 convolution, moving statistics counted.
    if position == "3x3":
        assert round(network.count_params() / 1e6, 1) == 25.8


def test_attention_stages_are_counted_as_in_the_paper():
    for stages, millions in (((2,), 25.6), ((3,), 25.7), ((4,), 26.4)):
        network = keras_senet.SEResNet50(weights=None, attention_stages=stages)
        names = {layer.name[:6] for layer in network.layers if layer.name.endswith("_se")}
        assert names == {f"stage{stage}" for stage in stages}
        assert round(network.count_params() / 1e6, 1) == millions  # the paper counts moving statistics here


def test_attention_may_be_any_layer():
    network = keras_senet.SEResNet20(attention=lambda name: keras.layers.Dropout(0.5, name=name))
    assert isinstance(network.get_layer("stage2_block1_se"), keras.layers.Dropout)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_float32_probabilities(policy):
    keras.config.set_dtype_policy(policy)
    try:
        network = keras_senet.SEResNet20()
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("stage2_block1_se").compute_dtype == policy.removeprefix("mixed_")
    assert network(np.ones((1, 32, 32, 3))).dtype == "float32"


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_are_loaded_from_a_file(suffix, model, tmp_path):
    source = model("SEResNet20")
    path = tmp_path / f"network{suffix}"
    source.save(path) if suffix == ".keras" else source.save_weights(path)
    loaded = keras_senet.SEResNet20(weights=path)
    for one, other in zip(loaded.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"do not fit seresnet20 with output shape \(None, 7\)"):
        keras_senet.SEResNet20(weights=path, classes=7)
    for other in (keras_senet.SEResNet32, functools.partial(keras_senet.SEResNet20, attention=None)):
        with pytest.raises(ValueError, match="do not fit seresnet"):
            other(weights=path)
    with pytest.raises(FileNotFoundError, match="Did you mean 'network"):
        keras_senet.SEResNet20(weights=tmp_path / f"netwrok{suffix}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": "imagenet"}, "not available yet"),
        ({"pooling": "mean"}, '"avg" or "max"'),
        ({"attention": "cbam"}, "'se'"),
        ({"attention_position": "after"}, "'standard', 'pre'"),
        ({"attention_stages": (4, 5)}, r"\(2, 3, 4\)"),
        ({"attention_stages": ()}, "attention=None"),
        ({"reduction": 17}, "16 channels with reduction=17"),
        ({"input_shape": (4, 4, 3)}, "at least 8 x 8"),
        ({"input_shape": (32, 32)}, r"\(H, W, C\)"),
        ({"input_shape": (None, None, 3)}, "must be known"),
        ({"input_shape": (32, 32, None)}, "known number of channels"),
    ],
)
def test_a_constructor_says_what_it_accepts(arguments, words):
    with pytest.raises(ValueError, match=words):
        keras_senet.SEResNet20(**arguments)


def test_multiply_adds_ask_for_a_size():
    with pytest.raises(ValueError, match="input_shape"):
        analysis.multiply_adds(keras_senet.SEResNet20(include_top=False))


def test_multiply_adds_without_squeeze_are_those_of_the_paper():
    def no_squeeze(name):
        return keras_senet.layers.SqueezeExcite(squeeze=None, name=name)

    network = keras_senet.SEResNet50(weights=None, attention=no_squeeze)
    assert round(analysis.multiply_adds(network) / 1e9, 2) == 4.27
