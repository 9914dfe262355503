"""`keras_senet.backbone`: the maps of a network by their strides, as a model that trains, is saved and is loaded."""

import dataclasses
from unittest import mock

import keras
import numpy as np
import pytest
import shortened
import synthetic
import tiny_network
from keras import layers

import keras_senet
from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS
from keras_senet.rewrite.dilation import dilated
from keras_senet.rewrite.pyramid import Backbone

# Their unpadded convolutions give maps of sizes that are no share of the image's.
UNALIGNED = ("SEInceptionV3", "SEInceptionResNetV2")
CIFAR = ("SEResNet20", "SEResNet32", "SEResNet44", "SEResNet56", "SEResNet110", "SEResNet110V1", "SEResNet164", "SEWideResNet")
SMALL = (*CIFAR, "SEShakeShake26_2x96d", "SEShakeEven29_2x4x64d")


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def values(maps: dict) -> dict[str, np.ndarray]:
    return {level: keras.ops.convert_to_numpy(found) for level, found in maps.items()}


def assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for level in found:
        np.testing.assert_array_equal(found[level], expected[level], err_msg=level)


def assert_levels(network: keras.Model, levels: tuple[int, ...], height: int = 64, width: int = 96) -> Backbone:
    """Each map is as many times smaller than the image as its level says, and has as many channels as the backbone says."""
    backbone = keras_senet.backbone(network, levels)
    assert backbone.strides == {f"P{level}": 2**level for level in levels}
    maps = backbone(np.zeros((1, height, width, 3), "float32"))
    shapes = {
        level: (1, height // stride, width // stride, backbone.channels[level]) for level, stride in backbone.strides.items()
    }
    assert {level: tuple(found.shape) for level, found in maps.items()} == shapes
    return backbone


@pytest.mark.parametrize("name", [name for name in shortened.distinct() if name not in UNALIGNED])
def test_every_network_has_its_levels(name, shallow):
    network = shallow(name)(weights=None, include_top=False, input_shape=(64, 96, 3))
    others = {"SEVGG16": (0, 1, 2), "SEBNInception": (3, 4), "SEShuffleNet": (3, 4), "SEMobileNet": (1, 2)}
    assert_levels(network, (0, 1) if name in SMALL else others.get(name, (2, 3)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in keras_senet.list_models() if name not in UNALIGNED])
def test_every_whole_network_has_its_levels(name, without_weights):
    backbone = keras_senet.backbone(getattr(keras_senet, name)(weights=None), (0, 1, 2) if name in SMALL else (1, 2, 3, 4, 5))
    assert backbone.strides == {level: 2 ** int(level[1:]) for level in backbone.output}
    behind = list(backbone.pyramid_level_inputs.values())
    # These are the last layers of the stages by the architecture; in SE-VGG-16, the last convolution and the pooling of stage 5.
    stages = [int(name[5]) for name in behind if name.startswith("stage")]
    assert stages == sorted(stages)
    assert len(behind) == len(set(behind))


@pytest.mark.parametrize("name", ["SEResNet50", "SEResNeXt50"])  # the stride is in the first convolution of a block, and later
def test_the_levels_of_a_resnet_are_the_outputs_of_its_stages(name, without_weights):
    # Lin et al., arXiv 1612.03144, section 3: the activation of the last residual block of each stage, conv2 to conv5.
    expected = {"P2": "stage2_block3_out", "P3": "stage3_block4_out", "P4": "stage4_block6_out", "P5": "stage5_block3_out"}
    assert keras_senet.backbone(getattr(keras_senet, name)(weights=None)).pyramid_level_inputs == expected


# Lin et al. for ResNet; SSDLite of Sandler et al., arXiv 1801.04381, section 6.2, for MobileNetV2 ("the expansion layer of layer
# 15"); the last convolution before each pooling for VGG.
APPLICATIONS = {
    "ResNet50": ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
    "MobileNetV2": ("block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu", "out_relu"),
    "VGG16": ("block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
    "DenseNet121": ("pool2_conv", "pool3_conv", "pool4_conv", "relu"),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_networks_of_keras_applications_have_their_usual_levels(name, without_weights):
    backbone = keras_senet.backbone(getattr(keras.applications, name)(weights=None))
    assert tuple(backbone.pyramid_level_inputs.values()) == APPLICATIONS[name]
    assert backbone.strides == {"P2": 4, "P3": 8, "P4": 16, "P5": 32}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name", ["ResNet50V2", "MobileNet", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny", "Xception"]
)
def test_other_networks_of_keras_applications_have_levels(name):
    levels = (3, 4, 5) if name == "Xception" else (2, 3, 4, 5)
    assert_levels(getattr(keras.applications, name)(weights=None, include_top=False), levels)


def test_a_network_with_added_se_has_levels_behind_its_gates(without_weights):
    network = keras_senet.add_se(keras.applications.MobileNet((64, 64, 3), alpha=0.25, weights=None))
    expected = {"P2": "conv_pw_3_relu_se", "P3": "conv_pw_5_relu_se", "P4": "conv_pw_11_relu_se", "P5": "conv_pw_13_relu_se"}
    assert keras_senet.backbone(network).pyramid_level_inputs == expected


def test_maps_are_those_of_the_network_which_stays_as_it_is():
    network = keras_senet.SEResNet20(weights=None, input_shape=(32, 48, 3))
    batch = images(2, 32, 48, 3)
    before = [weight.numpy() for weight in network.weights]
    outputs = {"P1": network.get_layer("stage3_block3_out").output, "P2": network.get_layer("stage4_block3_out").output}
    expected = keras.Model(network.input, outputs)(batch)
    backbone = keras_senet.backbone(network, (1, 2), freeze_norm=True)
    assert_equal(backbone(batch), expected)
    assert isinstance(backbone.pyramid_outputs["P1"], keras.KerasTensor)
    assert "predictions" not in [layer.name for layer in backbone.layers]
    for weight in backbone.weights:
        weight.assign(weight + 1)
    assert all(np.array_equal(weight, old) for weight, old in zip(network.weights, before, strict=True))
    assert all(layer.trainable for layer in network.layers)


def test_a_saved_backbone_computes_the_same(tmp_path):
    backbone = keras_senet.backbone(keras_senet.SEResNet20(weights=None), (0, 2))
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    assert isinstance(loaded, Backbone)
    assert (loaded.strides, loaded.channels) == ({"P0": 1, "P2": 4}, {"P0": 16, "P2": 64})
    assert loaded.pyramid_level_inputs == backbone.pyramid_level_inputs
    batch = images(2, 32, 32, 3)
    assert_equal(loaded(batch), backbone(batch))


def small(**options) -> keras.Model:
    """A network with maps of strides 1, 2 and 4, and normalization within its attention, too."""
    x = inputs = keras.Input((None, None, 3), **options)
    for stage in (1, 2):
        x = layers.Conv2D(4 * stage, 3, 2, padding="same", name=f"conv{stage}")(x)
        x = layers.BatchNormalization(name=f"norm{stage}")(x)
        x = keras_senet.layers.ConvolutionalBlockAttention(reduction=2, name=f"attention{stage}")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="small")


def statistics(backbone: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in backbone.weights if weight.path.rpartition("/")[2] in NORMALIZATION]


NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")


def trained(backbone: keras.Model, height: int = 16, width: int = 24) -> keras.Model:
    """Two steps of training."""
    batch = images(2, height, width, 3)
    targets = {level: np.ones(found.shape, "float32") for level, found in backbone(batch).items()}
    backbone.compile("sgd", dict.fromkeys(targets, "mean_squared_error"))
    backbone.fit(batch, targets, epochs=2, verbose=0)
    return backbone


def test_frozen_normalization_stays_as_it_is_in_training_also_after_loading(tmp_path):
    backbone = keras_senet.backbone(small(), (1, 2), freeze_norm=True)
    before = statistics(backbone)
    assert len(before) == 4 * 4  # two layers, and one within the attention behind each
    kernel = backbone.get_layer("conv1").kernel.numpy()
    trained(backbone).save(tmp_path / "backbone.keras")
    assert not np.array_equal(backbone.get_layer("conv1").kernel, kernel)
    loaded = trained(keras.saving.load_model(tmp_path / "backbone.keras", compile=False))
    for found in (backbone, loaded):
        assert all(np.array_equal(*pair) for pair in zip(statistics(found), before, strict=True))
    assert not all(map(np.array_equal, statistics(trained(keras_senet.backbone(small(), (1, 2)))), before))


def test_layers_of_models_within_the_network_become_those_of_the_backbone():
    within = keras_senet.SEResNet20(weights=None, include_top=False, include_preprocessing=False)
    before = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 127.5, -1, name="rescaling")], name="before")
    inputs = keras.Input((32, 32, 3), name="pixels")
    network = keras.Model({"pixels": inputs}, layers.GlobalAveragePooling2D()(within(before(inputs))))
    backbone = keras_senet.backbone(network, (1, 2))
    assert backbone.pyramid_level_inputs == {"P1": "stage3_block3_out", "P2": "stage4_block3_out"}
    assert not any(isinstance(layer, keras.Model) for layer in backbone.layers)
    batch = images(2, 32, 32, 3)
    assert_equal({"P2": backbone(batch)["P2"]}, {"P2": within(before(batch))})
    # keras-cv makes its own model of the layers' outputs.
    again = keras.Model(backbone.input, backbone.get_layer("stage3_block3_out").output)
    np.testing.assert_array_equal(again(batch), backbone(batch)["P1"])


def test_a_backbone_has_a_backbone():
    backbone = keras_senet.backbone(small(), (1, 2))
    assert keras_senet.backbone(backbone, (1, 2)).pyramid_level_inputs == backbone.pyramid_level_inputs


def test_a_network_of_one_image_size_has_levels():
    x = inputs = keras.Input((24, 40, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", name="half")(x)
    x = layers.Reshape((12 * 20, 4), name="positions")(x)
    network = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    assert keras_senet.backbone(network, (1,)).pyramid_level_inputs == {"P1": "half"}


def test_a_map_whose_layer_has_two_places_is_refused_where_it_is_asked_for_by_name():
    relu = layers.ReLU(name="relu")
    x = inputs = keras.Input((None, None, 3))
    for _ in range(2):
        x = relu(layers.Conv2D(4, 3, 2, padding="same")(x))
    backbone = keras_senet.backbone(keras.Model(inputs, x), (2,))
    assert backbone(images(1, 16, 24, 3))["P2"].shape == (1, 4, 6, 4)
    with pytest.raises(ValueError, match="'relu', the layer of P2, is called more than once"):
        print(backbone.pyramid_level_inputs)


@pytest.mark.parametrize("levels", [(), (3, 3), (-1,), ("P3",), "345", 3, (3.0,), (True,)])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(ValueError, match="`levels` must be distinct numbers, such as .* Received: levels="):
        keras_senet.backbone(small(), levels)


def test_a_level_that_the_network_lacks_is_refused():
    with pytest.raises(ValueError, match=r"no map of a stride of 8, 32 .* It has the levels 1, 2\. .*levels=\(2, 3, 5\)"):
        keras_senet.backbone(small(), (2, 3, 5))


@pytest.mark.parametrize("name", UNALIGNED)
def test_a_network_whose_maps_are_no_share_of_the_image_is_refused(name, shallow):
    network = shallow(name)(weights=None, include_top=False, input_shape=(75, 75, 3))
    with pytest.raises(
        ValueError, match="no map of a stride of 4, 8 .* of 256 x 512 pixels its maps have .*, 127 x 255, 125 x 253"
    ):
        keras_senet.backbone(network, (2, 3))


@pytest.mark.parametrize(
    "layer", [layers.Resizing(64, 64), layers.AdaptiveAveragePooling2D(64), layers.GlobalMaxPooling2D(keepdims=True)]
)
def test_maps_of_a_fixed_size_have_no_level(layer):
    inputs = keras.Input((128, 128, 3))
    network = keras.Model(inputs, layers.Conv2D(4, 1)(layer(inputs)))
    for level in (0, 1, 2, 7, 8):
        with pytest.raises(ValueError, match=f"no map of a stride of {2**level} "):
            keras_senet.backbone(network, (level,))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_models_without_a_graph_are_refused():
    for model in (Subclassed(), keras.Sequential([layers.Conv2D(4, 3)])):
        with pytest.raises(ValueError, match="Only a functional or sequential model that is built"):
            keras_senet.backbone(model)
    built = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, 2, padding="same")])
    assert keras_senet.backbone(built, (1,)).strides == {"P1": 2}


def test_models_of_no_image_are_refused():
    vector, image = keras.Input((3,)), keras.Input((8, 8, 3))
    for inputs in (vector, [image, keras.Input((8, 8, 3))]):
        network = keras.Model(inputs, keras.tree.map_structure(layers.ReLU(), inputs))
        with pytest.raises(ValueError, match="A pyramid is of a network of one batch of images"):
            keras_senet.backbone(network)


def test_layers_of_one_name_in_models_within_the_network_are_refused():
    inner = [keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="conv")], name=name) for name in ("a", "b")]
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="Two layers of the models within 'outer' are named 'conv'"):
        keras_senet.backbone(keras.Model(inputs, inner[1](inner[0](inputs)), name="outer"), (0,))


def sampled(fine: np.ndarray, step: int) -> np.ndarray:
    """The positions of a finer map that the coarser one has, too."""
    return fine[:, ::step, ::step]


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    assert abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max(), rtol=0)


def with_weights(network: keras.Model) -> keras.Model:
    """With statistics and offsets that are neither zero nor one."""
    for variables, found in zip(
        (network.trainable_variables, network.non_trainable_variables), synthetic.weights(network), strict=True
    ):
        for variable, value in zip(variables, found, strict=True):
            variable.assign(value)
    return network


@pytest.mark.parametrize("name", [name for name in shortened.distinct() if name not in (*UNALIGNED, *SMALL)])
def test_a_dilated_network_computes_the_same_at_every_position_that_both_have(name, shallow):
    """Gates summarize maps, which are finer with dilation, so there are none here."""
    network = with_weights(shallow(name)(weights=None, include_top=False, attention=None, input_shape=(64, 96, 3)))
    batch = images(1, 64, 96, 3)
    coarse = keras.ops.convert_to_numpy(network(batch))
    stride = 64 // coarse.shape[1]
    for step in (2, 4):
        fine = keras.ops.convert_to_numpy(dilated(network, stride // step)(batch))
        assert fine.shape[1:3] == (step * coarse.shape[1], step * coarse.shape[2])
        assert_alike(sampled(fine, step), coarse)


@pytest.mark.parametrize("name", ["SEResNet20", "SEResNet110", "SEShakeShake26_2x96d"])
def test_shortcuts_that_pad_and_shift_are_dilated(name):
    build = getattr(keras_senet, name)
    architecture = dataclasses.replace(build.architecture, depths=(1, 1, 1), widths=(16, 32, 64))
    with mock.patch.dict(MODELS):
        build = constructor(name, architecture, build.features, name)
    network = with_weights(build(weights=None, include_top=False, attention=None, input_shape=(16, 24, 3)))
    batch = images(1, 16, 24, 3)
    coarse = keras.ops.convert_to_numpy(network(batch))
    for output_stride in (1, 2):
        fine = keras.ops.convert_to_numpy(dilated(network, output_stride)(batch))
        assert fine.shape == (1, 16 // output_stride, 24 // output_stride, 64)
        assert_alike(sampled(fine, 4 // output_stride), coarse)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name",
    [name for name in keras_senet.list_models() if name not in (*UNALIGNED, *SMALL)]
    + ["ResNet50", "ResNet50V2", "MobileNetV2", "VGG16", "DenseNet121", "ConvNeXtTiny"],
)
def test_every_whole_network_is_dilated(name):
    ours = {"attention": None} if hasattr(keras_senet, name) else {}
    build = getattr(keras_senet if ours else keras.applications, name)
    network = build(weights=None, include_top=False, **ours)
    batch = images(1, 64, 96, 3)
    coarse = values(keras_senet.backbone(network)(batch))
    for output_stride in (8, 16):
        backbone = keras_senet.backbone(network, output_stride=output_stride)
        assert backbone.strides == {f"P{level}": min(2**level, output_stride) for level in (2, 3, 4, 5)}
        for level, fine in values(backbone(batch)).items():
            stride = backbone.strides[level]
            assert fine.shape[1:3] == (64 // stride, 96 // stride)
            assert_alike(sampled(fine, 2 ** int(level[1:]) // stride), coarse[level])


def test_dilation_rates_are_those_of_torchvision():
    """Those of `resnext50_32x4d(replace_stride_with_dilation=[False, True, True])`.

    There a stage with dilation begins with the rate of the stage before it. (torchvision 0.19, ResNet._make_layer.)
    """
    with keras.StatelessScope(initialize_variables=False):
        backbone = keras_senet.backbone(keras_senet.SEResNeXt50(weights=None), output_stride=8)
    rates = {
        stage: [layer.dilation_rate for layer in backbone.layers if layer.name.startswith(stage) and layer.name.endswith("conv2")]
        for stage in ("stage2", "stage3", "stage4", "stage5")
    }
    assert rates == {
        "stage2": [(1, 1)] * 3,
        "stage3": [(1, 1)] * 4,
        "stage4": [(1, 1)] + [(2, 2)] * 5,
        "stage5": [(2, 2)] + [(4, 4)] * 2,
    }


def test_a_dilated_backbone_with_gates_trains_saves_and_loads(tmp_path):
    network = tiny_network.of_four_stages()
    backbone = trained(keras_senet.backbone(network, (4, 5), output_stride=8, freeze_norm=True), 40, 72)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras", compile=False)
    assert loaded.strides == {"P4": 8, "P5": 8}
    batch = images(1, 40, 72, 3)
    assert_equal(loaded(batch), backbone(batch))
    assert loaded(batch)["P5"].shape == (1, 5, 9, 128)


def test_other_paddings_are_kept_for_sides_that_are_multiples_of_the_stride():
    """ "same" pads a map of even size on the right, and even kernels and averages have borders of their own."""
    x = inputs = keras.Input((32, 48, 3))
    for number, layer in enumerate(
        (
            layers.Conv2D(4, 3, 2, padding="same"),
            layers.MaxPooling2D(3, 2, padding="same"),
            layers.SeparableConv2D(4, 5, padding="same"),
            layers.Conv2D(4, 4, padding="same", dilation_rate=2),
            layers.AveragePooling2D(2, padding="same"),
            layers.AveragePooling2D(3, 1, padding="same"),
            layers.DepthwiseConv2D((1, 7), padding="same"),
            layers.Conv2D(4, 2, 2),
        )
    ):
        layer.name = f"layer{number}"
        x = layer(x)
    network = with_weights(keras.Model(inputs, x))
    batch = images(2, 32, 48, 3) - 128
    coarse = keras.ops.convert_to_numpy(network(batch))
    for output_stride in (8, 4, 2, 1):
        fine = keras.ops.convert_to_numpy(dilated(network, output_stride)(batch))
        assert fine.shape == (2, 32 // output_stride, 48 // output_stride, 4)
        assert_alike(sampled(fine, 16 // output_stride), coarse)


@pytest.mark.parametrize("output_stride", [0, 4, 32, "8", True])
def test_an_output_stride_that_is_none_is_refused(output_stride):
    with pytest.raises(ValueError, match="`output_stride` must be 8, 16 or None. Received: output_stride="):
        keras_senet.backbone(small(), (1, 2), output_stride=output_stride)


def test_a_network_without_greater_strides_is_refused():
    with pytest.raises(ValueError, match="No map of 'small_backbone' has a stride above 8: leave out `output_stride`"):
        keras_senet.backbone(small(), (1, 2), output_stride=8)


class Halved(layers.Layer):
    """A stride of which nothing is known."""

    def call(self, inputs):
        return inputs[:, ::2, ::2]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda x: Halved(name="last")(x), "'last', a Halved, cannot be dilated"),
        (lambda x: layers.Conv2DTranspose(4, 2, 2, name="last")(layers.MaxPooling2D(2)(x)), "'last', a Conv2DTranspose, cannot"),
        (lambda x: layers.Conv2D(4, 3, (2, 1), padding="same", name="last")(x), "'last', a Conv2D, .* equal strides"),
        (lambda x: layers.UpSampling2D(2, name="last")(layers.MaxPooling2D(2, name="pool")(x)), "'last', a UpSampling2D"),
        (
            lambda x: keras_senet.layers.GatherExcite(name="last")(layers.MaxPooling2D(2)(x)),
            "'last', a GatherExcite, cannot be dilated",
        ),
        (lambda x: (pool := layers.MaxPooling2D(2, name="last"))(pool(x)), "'last', .* in one place of the network"),
    ],
)
def test_what_cannot_be_dilated_is_named(after, message):
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 4, 4)(inputs)
    with pytest.raises(ValueError, match=message):
        dilated(keras.Model(inputs, after(x)), 4)


def test_a_stride_past_the_output_stride_is_refused():
    inputs = keras.Input((32, 32, 3))
    with pytest.raises(ValueError, match="'patches', a Conv2D, cannot be dilated"):
        dilated(keras.Model(inputs, layers.Conv2D(4, 4, 4, name="patches")(inputs)), 2)
