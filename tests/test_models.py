"""The networks against the paper's numbers, timm's logits, and the contract of keras.applications."""

import dataclasses
import functools
import inspect
import zipfile

import keras
import numpy as np
import pytest
import shortened
import synthetic
from hub import publish
from reference import write_safetensors

import keras_senet
from keras_senet.analysis import profile
from keras_senet.analysis.paper_comparison import network_cost
from keras_senet.layers import EfficientChannelAttention
from keras_senet.layers.attention import AttentionConfig
from keras_senet.models import blocks, cifar
from keras_senet.models.build import _normalize, constructor
from keras_senet.models.registry import MODELS, find_model
from keras_senet.models.resnet import features
from keras_senet.training import Recipe

# Parameters of the released networks, in timm and, for the smaller ones, in the models of imgclsmob.
PLAIN = {"attention": None}
# The same of timm, of torchvision, and, where they have them, of keras.applications.
MOBILENET_V3 = [
    ("Large", {}, 5_483_032),
    ("Large", {"width_multiplier": 0.75}, 3_993_528),
    ("Large", {"minimalistic": True}, 3_924_288),
    ("Small", {}, 2_542_856),
    ("Small", {"width_multiplier": 0.75}, 2_041_872),
    ("Small", {"width_multiplier": 0.5}, 1_593_224),
    ("Small", {"minimalistic": True}, 2_044_736),
]
PARAMETERS = [
    ("SEResNet18", {}, 11_778_592),
    ("SEResNet34", {}, 21_958_868),
    ("SEResNet50", PLAIN, 25_557_032),
    ("SEResNet50", {"use_bias": False}, 28_071_976),  # 2 / 16 of the squares of its blocks' channels more, as in equation 5
    ("SEResNet20", PLAIN, 269_722),
    ("SEResNet32", PLAIN, 464_154),
    ("SEResNet44", PLAIN, 658_586),
    ("SEResNet56", PLAIN, 853_018),
    ("SEResNet110V1", PLAIN, 1_727_962),
    ("SEResNet110", PLAIN, 1_730_522),  # PreResNet-110
    ("SEResNet164", PLAIN, 1_703_258),
    ("SEMobileNet", PLAIN, 4_231_976),
    ("SEShuffleNet", PLAIN, 1_865_728),
    *((f"MobileNetV3{size}", options, parameters) for size, options, parameters in MOBILENET_V3),
    # 34.4 M in arXiv 1705.07485, table 2. Two branches of 1x1, 3x3 in 4 groups and 1x1, each with normalization, in 9 units.
    ("SEShakeEven29_2x4x64d", PLAIN, 34_491_444),
]
WIDE_RESNET_PARAMETERS = {(16, 10): 17_116_634, (22, 8): 17_158_106, (28, 10): 36_479_194, (40, 2): 2_243_546}
SHUFFLENET_PARAMETERS = {1: 1_531_936, 2: 1_733_848, 3: 1_865_728, 4: 1_968_344, 8: 2_434_768}


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize(("name", "arguments", "parameters"), PARAMETERS)
def test_networks_have_the_parameters_of_their_peers(name, arguments, parameters):
    cost, _ = network_cost(name, **arguments)
    assert cost.total.parameters == parameters


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize(("depth", "width"), WIDE_RESNET_PARAMETERS)
def test_wide_resnets_of_any_depth_and_width(depth, width):
    network = keras_senet.SEWideResNet(attention=None, depth=depth, width=width)
    assert profile(network).total.parameters == WIDE_RESNET_PARAMETERS[depth, width]


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize("groups", SHUFFLENET_PARAMETERS)
def test_shufflenets_of_any_number_of_groups(groups):
    network = keras_senet.SEShuffleNet(weights=None, attention=None, groups=groups)
    assert profile(network).total.parameters == SHUFFLENET_PARAMETERS[groups]


@pytest.mark.usefixtures("without_weights")
def test_a_shake_shake_network_of_another_width_has_the_parameters_of_its_peer(monkeypatch):
    monkeypatch.setitem(MODELS, "Narrow", None)  # which removes it after the test
    narrow = dataclasses.replace(cifar.SHAKE_SHAKE, widths=(32, 64, 128))
    network = constructor("Narrow", narrow, features, "Narrow.")(attention=None)
    assert profile(network).total.parameters == 2_923_162  # Shake-Shake-26 2x32d


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize("application", ["InceptionV3", "InceptionResNetV2", "MobileNet"])
def test_the_plain_network_is_that_of_keras_applications(application):
    shape = (75, 86, 3)
    build = getattr(keras_senet, f"SE{application}")
    theirs = getattr(keras.applications, application)(weights=None, input_shape=shape)
    ours = build(weights=None, input_shape=shape, attention=None, include_preprocessing=False)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")

    def features_and_probabilities(network):
        pool = next(layer for layer in network.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
        model = keras.Model(network.input, [pool.input, network.output])
        return model.stateless_call(*synthetic.weights(model), images)[0]

    (our_features, ours), (their_features, theirs) = map(features_and_probabilities, (ours, theirs))
    np.testing.assert_array_equal(our_features, their_features)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)  # MobileNet classifies by a 1x1 convolution
    # keras.applications scales pixels to [-1, 1] outside of the network.
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("float32")
    normalized = build(include_top=False, weights=None).get_layer("preprocessing")(pixels)
    np.testing.assert_allclose(normalized, keras.applications.mobilenet.preprocess_input(pixels.copy()), atol=1e-6)


@pytest.mark.slow
def test_tensorflow_and_jax_load_each_others_files(tmp_path, python, monkeypatch):
    build = publish(monkeypatch, "legacy_seresnet18", name="narrow.in1k", repository="timm/narrow.in1k")
    file = write_safetensors(tmp_path / "weights.safetensors", "narrow/legacy_seresnet18")
    network = build(weights=file, classifier_activation=None, include_preprocessing=False)
    network.save(tmp_path / "tensorflow.keras")
    code = """
import sys, jax, keras, numpy as np, reference, synthetic
assert keras.backend.backend() == "jax"
network = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], jax.jit(lambda images: network(images))(synthetic.image(224)))
build = reference.narrow("legacy_seresnet18")
build(weights=sys.argv[1], classifier_activation=None, include_preprocessing=False).save(sys.argv[2])
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
@pytest.mark.parametrize("depth", ["shortened", pytest.param("full", marks=pytest.mark.exhaustive)])
def test_on_jax_the_networks_build_and_compute_without_tensorflow_and_only_export_asks_for_it(depth, python, tmp_path):
    done = python("import on_jax", tmp_path / "a.tflite", depth, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_the_first_eight_parameters_are_those_of_keras_applications():
    theirs = list(inspect.signature(keras.applications.ResNet50).parameters.values())
    ours = list(inspect.signature(keras_senet.SEResNet50).parameters.values())
    assert [(p.name, p.default) for p in ours[:7]] == [(p.name, p.default) for p in theirs[:7]]
    assert (ours[7].name, ours[7].default) == ("name", "seresnet50")
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[8:])


@pytest.mark.usefixtures("without_weights")
def test_without_top_the_output_is_the_feature_map_or_its_pooling():
    build = keras_senet.SEResNet18
    assert build(include_top=False, weights=None).output_shape == (None, None, None, 512)
    assert build(include_top=False, weights=None, input_shape=(64, 96, 3)).output_shape == (None, 2, 3, 512)
    assert build(include_top=False, weights=None, pooling="avg").output_shape == (None, 512)
    assert build(include_top=False, weights=None, pooling="max").layers[-1].name == "max_pool"


@pytest.mark.usefixtures("without_weights")
def test_the_model_ends_up_on_the_source_of_an_input_tensor():
    images = keras.Input((64, 64, 3), name="camera")
    network = keras_senet.SEResNet18(weights=None, input_tensor=keras.layers.RandomFlip()(images), classes=7)
    assert network.inputs[0] is images
    assert network.output_shape == (None, 7)


@pytest.mark.usefixtures("without_weights")
def test_preprocessing_normalizes_pixels_with_the_training_statistics():
    network = keras_senet.SEResNet18(weights=None)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("float32")
    normalized = keras.ops.convert_to_numpy(network.get_layer("preprocessing")(pixels))
    expected = (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(normalized, expected, atol=1e-5)
    network = keras_senet.SEResNet18(weights=None, mean_only=True)
    normalized = keras.ops.convert_to_numpy(network.get_layer("preprocessing")(pixels))
    np.testing.assert_allclose(normalized, pixels - 255 * np.array((0.485, 0.456, 0.406)), atol=1e-4)
    gray = keras_senet.SEResNet20(input_shape=(32, 32, 1))
    assert gray.get_layer("preprocessing").output.shape == (None, 32, 32, 1)


@pytest.mark.usefixtures("without_weights")
def test_preactivated_units_share_the_first_activation_where_the_shape_changes():
    """He et al., arXiv 1603.05027, section 5: and nothing follows the addition."""
    network = keras_senet.SEResNet164(attention=None)
    layer = network.get_layer
    assert layer("stage2_block1_bn1").input is layer("stem_conv").output
    assert layer("stage3_block1_proj_conv").input is layer("stage3_block1_relu1").output
    assert layer("stage3_block1_proj_conv").output in layer("stage3_block1_add").input
    assert layer("stage3_block1_add").output in layer("stage3_block2_add").input
    assert layer("out_bn").input is layer("stage4_block18_add").output
    assert layer("avg_pool").input is layer("out_relu").output


@pytest.mark.usefixtures("without_weights")
def test_the_first_unit_splits_after_its_activation():
    """He et al., arXiv 1603.05027, appendix; the shape of ResNet-110 does not change there. Wide ResNets are not theirs."""
    layer = keras_senet.SEResNet110(attention=None).get_layer
    assert layer("stage2_block1_relu1").output in layer("stage2_block1_add").input
    assert layer("stage2_block1_add").output in layer("stage2_block2_add").input
    layer = keras_senet.SEWideResNet(attention=None, width=1).get_layer
    assert layer("stem_conv").output in layer("stage2_block1_add").input


@pytest.mark.parametrize("name", ["SEResNet110", "SEShakeEven29_2x4x64d"])
def test_a_training_step_changes_all_weights(name, shallow):
    keras.utils.set_random_seed(0)
    network = shallow(name)(weights=None, reduction=2)  # so that no hidden unit is off for all images
    network.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    before = [weight.numpy() for weight in network.trainable_weights]
    network.train_on_batch(np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)), np.arange(8))
    still = [
        weight.path for weight, old in zip(network.trainable_weights, before, strict=True) if np.array_equal(weight.numpy(), old)
    ]
    assert not still


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
def test_networks_of_keras_applications_can_have_the_settings_of_the_paper():
    # Section 6.1: He et al.'s initialization. The normalization is that of the networks that are built here.
    for build in (keras_senet.SEInceptionV3, keras_senet.SEInceptionResNetV2, keras_senet.SEMobileNet):
        for settings, mode, norm in ((False, "fan_avg", (0.99, 1e-3)), (True, "fan_in", (0.9, 1e-5))):
            network = build(weights=None, include_top=False, paper_settings=settings)
            convs = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
            assert {conv.kernel_initializer.mode for conv in convs} == {mode}
            depthwise = [layer for layer in network.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
            assert {conv.depthwise_initializer.mode for conv in depthwise} <= {mode}
            norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
            assert {(layer.momentum, layer.epsilon) for layer in norms} == {norm}


@pytest.mark.usefixtures("without_weights")
def test_networks_look_at_the_crops_of_the_papers_evaluation():
    """Tables 2 and 8: 299 of 352 pixels for Inception-ResNet-v2, 320 of 352 for SENet-154 beside 224 of 256."""
    crops = {
        ("SEInceptionResNetV2", 299): 299 / 352,
        ("SEInceptionV3", 299): 299 / 352,
        ("SENet154", 224): 224 / 256,
        ("SENet154", 320): 320 / 352,
        ("SEResNet152", 224): 224 / 256,
    }
    for (name, size), ratio in crops.items():
        images = keras.Input((size, size, 3))
        model = keras.Model(images, _normalize(images, getattr(keras_senet, name).architecture))
        assert keras_senet.preprocessing_for(model).crop_ratio == pytest.approx(ratio), name


@pytest.mark.usefixtures("without_weights")
def test_attention_takes_each_position_in_the_other_units_too(shallow):
    """By the layer whose output the attention of a unit that changes the shape takes."""
    expected = {
        "SEResNet164": {
            "standard": "conv3",
            "pre": "stage2_block2_add",
            "post": "add",
            "identity": "proj_conv",
            "3x3": "conv2",
        },
        "SEShakeShake26_2x96d": {
            "standard": "shake",
            "pre": "stage2_block2_add",
            "post": "add",
            "identity": "proj_bn",
        },
        "SEShuffleNet": {
            "standard": "bn3",
            "pre": "stage2_block2_out",
            "post": "out",
            "identity": "pool",
            "3x3": "bn2",
        },
    }
    for name, places in expected.items():
        build = shallow(name)
        for position, source in places.items():
            network = build(weights=None, attention_position=position)
            source = source if source.startswith("stage2") else f"stage3_block1_{source}"
            assert network.get_layer("stage3_block1_se").input is network.get_layer(source).output, (name, position)


@pytest.mark.usefixtures("without_weights")
def test_names_of_layers_do_not_depend_on_what_was_built_before():
    first, second = ([layer.name for layer in keras_senet.SEInceptionV3(weights=None).layers[1:]] for _ in range(2))
    assert first == second
    assert {"conv2d", "conv2d_93", "mixed10_se"} <= set(first)


def test_the_shifted_shortcut_sees_two_sets_of_pixels():
    """Gastaldi, arXiv 1705.07485: the second half is shifted by one pixel right and down, zeros coming in."""
    images = keras.Input((6, 8, 2))
    model = keras.Model(images, blocks.shifted_projection(images, 4, 2, "unit"))
    for name in ("unit_proj_conv1", "unit_proj_conv2"):
        model.get_layer(name).set_weights([np.eye(2, dtype="float32")[None, None]])
    x = np.random.default_rng(0).standard_normal((1, 6, 8, 2)).astype("float32")
    shifted = np.zeros_like(x)
    shifted[:, 1:, 1:] = x[:, :-1, :-1]
    expected = np.concatenate([x[:, ::2, ::2], shifted[:, ::2, ::2]], axis=-1) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(model(x), expected, atol=1e-6)


@pytest.mark.usefixtures("without_weights")
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


@pytest.mark.usefixtures("without_weights")
def test_attention_stages_are_counted_as_in_the_paper():
    for stages in ((2,), (3,), (4, 5)):
        network = keras_senet.SEResNet50(weights=None, attention_stages=stages)
        names = {layer.name[:6] for layer in network.layers if layer.name.endswith("_se")}
        assert names == {f"stage{stage}" for stage in stages}


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
    with pytest.warns(UserWarning, match="have 10 classes: the classifier of 7 classes starts at random"):
        other_classes = keras_senet.SEResNet20(weights=path, classes=7)
    for one, other in zip(other_classes.get_weights()[:-2], source.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, other)
    in_keras = suffix == ".keras"
    for other, words, said in (
        (
            {"attention": None},
            "not those of seresnet20, .*not have the layers stage2_block1_se, .* 4 more",
            "attention='se', and",
        ),
        ({"reduction": 4}, "are not those of seresnet20, .*27 miss", "reduction=16, and reduction=4 was given"),
    ):
        with pytest.raises(ValueError, match=said if in_keras else words):
            keras_senet.SEResNet20(weights=path, **other)
    with pytest.raises(ValueError, match=r"are not those of seresnet32.*84 missing \(stage2_block4_bn1/0"):
        keras_senet.SEResNet32(weights=path)
    with pytest.raises(FileNotFoundError, match="Did you mean 'network"):
        keras_senet.SEResNet20(weights=tmp_path / f"netwrok{suffix}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": "imagenet"}, "no weights 'imagenet' for SEResNet20. It takes None, or the path"),
        ({"pooling": "mean"}, '"avg" or "max"'),
        ({"attention": "sea"}, "'se', 'eca'"),
        ({"attention": "eca", "reduction": 8}, "attention='eca' takes no `reduction`: leave it as it is by default, 16"),
        ({"attention": "cbam", "squeeze": "max"}, "takes no `squeeze`"),
        ({"attention": None, "gate": "tanh"}, "attention=None takes no `gate`"),
        ({"attention": "ese", "use_bias": False}, "attention='ese' takes no `use_bias`: leave it as it is by default, True"),
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


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("SEShuffleNet", {"groups": 5}, r"one of \(1, 2, 3, 4, 8\)"),
        ("SEShuffleNet", {"groups": 8, "scale": 0.3}, "groups of 'stage2_block1_shuffle' must divide .* groups=8, 28 channels"),
        ("SEShuffleNet", {"scale": 0.3}, "groups must divide .* 3 groups in stage2_block1_conv3"),
        ("SEShuffleNet", {"scale": 0.01}, "24 channels of the stem"),
        ("SEMobileNet", {"width_multiplier": 0.01}, "32 channels of the stem"),
        ("SEWideResNet", {"depth": 20}, "10, 16, 22"),
        ("SEWideResNet", {"width": 1.5}, "`width` of 1, 2, 3"),
        ("SEResNet20", {"reduction": None}, "an integer of at least 1"),
        ("SEVGG16", {"attention_position": "pre"}, r"one of \('standard',\) in SEVGG16"),
        ("SEVGG16", {"input_tensor": keras.Input((None, None, 3))}, "must be known"),
        ("SEShakeShake26_2x96d", {"attention_position": "3x3"}, "'identity'"),
        ("SEBNInception", {"attention_stages": (2,)}, r"\(3, 4, 5\)"),
        ("SEInceptionV3", {"input_shape": (74, 80, 3)}, "at least 75 x 75"),
        ("SEMobileNet", {"reduction": 65}, "64 channels with reduction=65"),
        ("MobileNetV3Small", {"width_multiplier": 0}, "must be above 0. Received: width_multiplier=0"),
        ("MobileNetV3Large", {"attention_position": "3x3"}, r"one of \('standard',\) in MobileNetV3Large"),
        ("SEResNet50", {"gate": "softplusplus"}, "softplusplus"),
        ("SEResNet50", {"squeeze": "mean"}, "'avg', 'max', None"),
    ],
)
def test_each_family_says_what_it_accepts(name, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(keras_senet, name)(weights=None, **arguments)


def test_an_unknown_network_gets_the_nearest_name_suggested():
    with pytest.raises(ValueError, match="There is no model 'SEWideResNet16_8'. Did you mean 'SEWideResNet'"):
        find_model("SEWideResNet16_8")


def test_an_unknown_argument_is_refused_as_python_does():
    with pytest.raises(TypeError, match=r"SEResNet50\(\) got an unexpected keyword argument 'groups'"):
        keras_senet.SEResNet50(weights=None, groups=3)
    assert inspect.signature(keras_senet.SEShuffleNet).parameters["groups"].default == 3
    assert "groups of the 1x1 convolutions" in keras_senet.SEShuffleNet.__doc__


def test_the_excitation_is_an_argument():
    network = keras_senet.SEResNet20(reduction=4, squeeze="max", gate="tanh", use_bias=False)
    se = network.get_layer("stage4_block3_se")
    assert (se.reduce.units, se.squeeze, se.gate, len(se.weights)) == (16, "max", keras.activations.tanh, 2)


@pytest.mark.usefixtures("without_weights")
def test_width_multiplier_of_mobilenet_is_that_of_keras_applications():
    theirs = keras.applications.MobileNet(weights=None, alpha=0.5)
    assert keras_senet.SEMobileNet(weights=None, attention=None, width_multiplier=0.5).count_params() == theirs.count_params()


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
def test_se_stands_after_each_module_or_branch():
    """The paper's sections 3.2 and 3.3, and the released SE-BN-Inception: after each concatenation."""
    sources = {
        "SEBNInception": (10, {"stage3_block3": "stage3_block3_concat"}),
        "SEInceptionV3": (11, {"mixed10": "mixed10"}),
        "SEInceptionResNetV2": (40, {"block35_7": "block35_7_conv"}),
        "SEMobileNet": (13, {"conv_pw_5": "conv_pw_5_relu"}),
        "MobileNetV3Large": (8, {"stage3_block1": "stage3_block1_relu2", "stage5_block1": "stage5_block1_hard_silu2"}),
        "MobileNetV3Small": (9, {"stage1_block1": "stage1_block1_relu1", "stage5_block3": "stage5_block3_hard_silu2"}),
        "SEShuffleNet": (16, {"stage3_block1": "stage3_block1_bn3"}),
        "SEVGG16": (13, {"stage5_block3": "stage5_block3_relu"}),
        "SEResNet164": (54, {"stage2_block4": "stage2_block4_conv3"}),
        "SEShakeShake26_2x96d": (12, {"stage4_block1": "stage4_block1_shake"}),
    }
    for name, (count, places) in sources.items():
        network = getattr(keras_senet, name)(weights=None)
        assert sum(layer.name.endswith("_se") for layer in network.layers) == count
        for block, source in places.items():
            assert network.get_layer(f"{block}_se").input is network.get_layer(source).output


OTHERS = [
    {"gate": "tanh"},
    {"squeeze": "max"},
    {"attention": "eca"},
    {"attention": None},
    {"attention_position": "pre"},
    {"attention_position": "3x3"},
    {"attention_stages": (3,)},
    {"use_bias": False},
    {"mean_only": True},
]


@pytest.mark.parametrize("arguments", OTHERS, ids=str)
def test_a_file_says_which_network_it_is(arguments, shallow, tmp_path):
    """Most of these change no shape of a weight."""
    build = shallow("SEResNet20")
    keras.utils.set_random_seed(0)
    trained = build(weights=None, **arguments)
    trained.save(tmp_path / "trained.keras")
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    again = build(weights=tmp_path / "trained.keras")
    np.testing.assert_array_equal(again(images), trained(images))
    for other in ({"gate": "relu"}, {"attention_position": "post"}, {"attention_position": "identity"}):
        if arguments.keys() & {"attention"}:
            continue
        with pytest.raises(
            ValueError, match="is of a network with gate=|is of another network, with the same shapes|are not those"
        ):
            build(weights=tmp_path / "trained.keras", **other)


@pytest.fixture
def published_with_another_attention(monkeypatch):
    """Function from an attention to the constructor of a network that was published with it."""
    monkeypatch.setattr("keras_senet.models.registry.MODELS", dict(MODELS))

    def build(divisor: int = 1, **fields):
        whole, features = shortened.description("SEResNet20")
        architecture = dataclasses.replace(whole, attention=AttentionConfig(**fields), hidden_divisor=divisor)
        return constructor("Other", architecture, features, "Other.")

    return build


def test_a_network_has_the_attention_that_it_was_published_with(published_with_another_attention, tmp_path):
    build = published_with_another_attention(reduction=4, gate="hard_sigmoid", attention_position="3x3")
    network = build(weights=None)
    layer = network.get_layer("stage2_block1_se")
    assert (layer.reduction, layer.gate) == (4, keras.activations.hard_sigmoid)
    assert layer.input is network.get_layer("stage2_block1_relu1").output
    parameters = inspect.signature(build).parameters
    assert (parameters["reduction"].default, parameters["attention_position"].default) == (4, "3x3")
    network.save(tmp_path / "trained.keras")
    assert build(weights=tmp_path / "trained.keras").get_layer("stage2_block1_se").reduction == 4
    # What the network has by default is not an argument that another attention would have to take.
    assert isinstance(build(weights=None, attention="eca").get_layer("stage2_block1_se"), EfficientChannelAttention)
    build(weights=None, attention=None).save(tmp_path / "plain.keras")
    for default in (build, published_with_another_attention(attention="eca")):
        assert not [layer for layer in default(weights=tmp_path / "plain.keras").layers if layer.name.endswith("_se")]
    with pytest.raises(ValueError, match="takes no `reduction`: leave it as it is by default, 4"):
        build(weights=None, attention="eca", reduction=16)


def test_a_recipe_trains_the_attention_that_the_network_was_published_with(published_with_another_attention):
    published_with_another_attention(reduction=4)
    recipe = Recipe.of("Other", "digits", squeeze="max")
    assert recipe.attention == AttentionConfig(reduction=4, squeeze="max")
    assert Recipe.of(**recipe.flat()) == recipe
    # As `train --config --model` does.
    assert recipe.replace(model="SEResNet20").attention == AttentionConfig(squeeze="max")
    assert Recipe.of("SEResNet20", "digits").replace(model="Other").attention == AttentionConfig(reduction=4)
    assert Recipe.of("SEResNet20", "digits", reduction=8).replace(model="Other").attention == AttentionConfig(reduction=8)


def test_hidden_units_are_rounded_as_the_network_was_published(published_with_another_attention):
    layers = published_with_another_attention(divisor=8, reduction=3)(weights=None).get_layer
    # 16 / 3 and 32 / 3, each to a multiple of 8: the nearest, unless that takes off more than a tenth.
    assert [layers(f"stage{stage}_block1_se").reduce.units for stage in (2, 3)] == [8, 16]
    build = published_with_another_attention(divisor=8)
    layers = build(weights=None, reduction=2).get_layer
    assert [layers(f"stage{stage}_block1_se").reduce.units for stage in (2, 3)] == [8, 16]
    for reduction in (0, -1, 1.5, "4"):
        with pytest.raises(ValueError, match="`reduction` must be an integer of at least 1"):
            build(weights=None, reduction=reduction)
    # A layer of the user has the hidden units that the user says.
    five = functools.partial(keras_senet.layers.SqueezeExcite, hidden_units=5)
    assert build(weights=None, attention=five).get_layer("stage2_block1_se").reduce.units == 5


def test_hidden_units_of_a_regnet_are_a_share_of_what_the_block_takes(without_weights):
    layers = keras_senet.RegNetY002(weights=None, reduction=2).layers
    # The stem has 32 channels, and the stages 24, 56, 152 and 368.
    units = [layer.reduce.units for layer in layers if layer.name.endswith("_se")]
    assert units == [16, 12, 28, 76, 76, 76, 76] + 6 * [184]


def test_both_values_are_named_where_a_file_and_an_argument_contradict(shallow, tmp_path):
    build = shallow("SEResNet20")
    build(weights=None, gate="tanh", attention_stages=(3,)).save(tmp_path / "trained.keras")
    for given, words in (
        ({"gate": "relu"}, "with gate='tanh', and gate='relu' was given"),
        ({"attention": "ese"}, "with attention='se', and attention='ese' was given"),
        ({"attention_stages": (2,)}, r"attention_stages=\(3,\), and attention_stages=\(2,\) was given"),
        (
            {"attention_position": "post"},
            "'stage3_block1_add' follows stage3_block1_se, .* in the file, and stage3_block1_bn2, .* here",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            build(weights=tmp_path / "trained.keras", **given)
    build(weights=tmp_path / "trained.keras", gate="tanh", attention_stages=3)


def test_another_normalization_is_another_network(shallow, tmp_path):
    build = shallow("SEResNet20")
    network = build(weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-3
    network.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="'stem_bn' has epsilon=0.001 in the file, and 1e-05 here"):
        build(weights=tmp_path / "other.keras")


def test_an_edited_file_without_its_description_is_compared_by_shapes(shallow, tmp_path):
    build = shallow("SEResNet20")
    build(weights=None).save(tmp_path / "trained.keras")
    with zipfile.ZipFile(tmp_path / "trained.keras") as whole, zipfile.ZipFile(tmp_path / "bare.keras", "w") as bare:
        bare.writestr("model.weights.h5", whole.read("model.weights.h5"))
    with pytest.raises(ValueError, match="bare.keras is damaged, or not a weights file of Keras"):
        build(weights=tmp_path / "bare.keras")
