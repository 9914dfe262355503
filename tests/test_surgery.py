"""SE is put into networks that exist and taken out of them, and nothing that they compute changes."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_senet
from keras_senet.errors import InputError
from keras_senet.layers import FeatureGate, SqueezeExcite
from keras_senet.layers.attention import ATTENTIONS
from keras_senet.rewrite import places

RANDOM = np.random.default_rng(0)


def producers(model: keras.Model) -> dict[str, list]:
    """By the name of each operation that is no input, those that made what it reads."""
    made_by = {id(operation.output): operation for operation in model.operations}
    return {
        operation.name: [made_by[id(x)] for x in keras.tree.flatten(operation.input) if id(x) in made_by]
        for operation in model.operations
        if not isinstance(operation, layers.InputLayer)
    }


def ends_of_branches(model: keras.Model, merging: tuple[str, ...] = ("Add", "CustomScaleLayer")) -> set[str]:
    """Of each pair of branches that are added the end of the longer one, but for layers without weights."""
    made_by, length, places = producers(model), {}, set()
    for operation in model.operations:
        length[operation.name] = 1 + max((length[producer.name] for producer in made_by.get(operation.name, ())), default=0)
        if type(operation).__name__ in merging:
            end = max(made_by[operation.name], key=lambda producer: length[producer.name])
            while not end.weights:
                (end,) = made_by[end.name]
            places.add(end.name)
    return places


def ends_of_dense_branches(model: keras.Model) -> set[str]:
    return ends_of_branches(model, ("Concatenate",))


def ends_of_modules(model: keras.Model) -> set[str]:
    """The concatenations that no other one reads."""
    joined = {layer.name for layer in model.layers if isinstance(layer, layers.Concatenate)}
    made_by = producers(model)
    return joined - {producer.name for name in joined for producer in made_by[name]}


def ends_of_cells(model: keras.Model) -> set[str]:
    """The concatenations of more than two maps; those of two bring the maps of the cell before to the size of this one."""
    return {layer.name for layer in model.layers if isinstance(layer, layers.Concatenate) and len(layer.input) > 2}


def pointwise_convolutions(model: keras.Model) -> set[str]:
    """The ReLUs behind convolutions of 1 x 1, with normalization between."""
    made_by = producers(model)

    def is_pointwise(layer) -> bool:
        return isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1)

    relus = [layer for layer in model.layers if isinstance(layer, layers.ReLU)]
    return {relu.name for relu in relus if is_pointwise(made_by[made_by[relu.name][0].name][0])}


def separable_convolutions(model: keras.Model) -> set[str]:
    """The normalizations behind them, whose last part is pointwise."""
    return {name for name, before in producers(model).items() if before and isinstance(before[0], layers.SeparableConv2D)}


def non_linearities(model: keras.Model) -> set[str]:
    """Convolutions with their ReLU inside."""
    return {layer.name for layer in model.layers if isinstance(layer, layers.Conv2D)}


# Every constructor of keras.applications: what the places of its family are, their number, and the pixels of its images.
NETWORKS = {
    "ConvNeXtTiny": (ends_of_branches, 18, 32),
    "ConvNeXtSmall": (ends_of_branches, 36, 32),
    "ConvNeXtBase": (ends_of_branches, 36, 32),
    "ConvNeXtLarge": (ends_of_branches, 36, 32),
    "ConvNeXtXLarge": (ends_of_branches, 36, 32),
    "DenseNet121": (ends_of_dense_branches, 58, 32),
    "DenseNet169": (ends_of_dense_branches, 82, 32),
    "DenseNet201": (ends_of_dense_branches, 98, 32),
    "InceptionResNetV2": (ends_of_branches, 40, 75),
    "InceptionV3": (ends_of_modules, 11, 75),
    "MobileNet": (pointwise_convolutions, 13, 32),
    "MobileNetV2": (ends_of_branches, 10, 32),
    "NASNetLarge": (ends_of_cells, 22, 32),
    "NASNetMobile": (ends_of_cells, 16, 32),
    "ResNet50": (ends_of_branches, 16, 32),
    "ResNet101": (ends_of_branches, 33, 32),
    "ResNet152": (ends_of_branches, 50, 32),
    "ResNet50V2": (ends_of_branches, 16, 32),
    "ResNet101V2": (ends_of_branches, 33, 32),
    "ResNet152V2": (ends_of_branches, 50, 32),
    "VGG16": (non_linearities, 13, 32),
    "VGG19": (non_linearities, 16, 32),
    "Xception": (separable_convolutions, 34, 71),
}
WITH_SE = ["EfficientNetB0", "EfficientNetV2B0", "EfficientNetV2S", "MobileNetV3Large", "MobileNetV3Small"]
LARGER_WITH_SE = [
    *[f"EfficientNetB{number}" for number in range(1, 8)],
    *[f"EfficientNetV2{kind}" for kind in ("B1", "B2", "B3", "M", "L")],
]


def test_every_network_of_keras_applications_is_listed():
    public = {name for name in dir(keras.applications) if name[0].isupper()}
    assert public == {*NETWORKS, *WITH_SE, *LARGER_WITH_SE}


def with_statistics(model: keras.Model) -> keras.Model:
    """`model` with weights that are not those of initializers, so that scale, offset and statistics all matter."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.uniform(-0.1, 0.1, layer.bias.shape))
        elif isinstance(layer, keras.Model):
            with_statistics(layer)
    return model


def check_that_gates_learn(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
    """One training step changes each weight of the second layers that a gradient reaches."""
    gates = [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]
    maps = [ops.convert_to_numpy(x) for x in keras.Model(model.input, [gate.input for gate in gates])(images, training=True)]
    hidden = [ops.convert_to_numpy(gate.reduce(x.mean(axis=(1, 2)))) for gate, x in zip(gates, maps, strict=True)]
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(images, labels)
    changed = []
    for gate, x, units in zip(gates, maps, hidden, strict=True):
        kernel, bias = (ops.convert_to_numpy(weight) for weight in gate.expand.weights)
        # The gradient of one image is zero where its hidden unit is off, or all of its channel zero; a ReLU behind can hide more.
        lit = x.any(axis=(1, 2))
        reached = (units > 0).T.astype(int) @ lit > 0
        assert kernel.any()
        assert (kernel[reached] != 0).mean() > 0.9
        assert (bias[lit.any(axis=0)] != 0).mean() > 0.9
        changed.append((kernel != 0)[:, lit.any(axis=0)].ravel())
    assert np.concatenate(changed).mean() > 0.45  # of a hidden unit and its mirror image one is on


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_usual_places_are_those_that_the_papers_say(name):
    rule, count, side = NETWORKS[name]
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3))
    names = places.usual_places(model)
    assert set(names) == rule(model)
    assert len(names) == count


@pytest.mark.usefixtures("without_weights")
def test_each_network_in_a_model_gets_the_places_of_its_own_family_alone(monkeypatch):
    # VGG19 has all layers of VGG16, and of those of ResNet some are called as DenseNet's places are.
    images = keras.Input((32, 32, 3))
    networks = [
        getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(32, 32, 3))
        for name in ("VGG16", "VGG19", "ResNet50", "DenseNet121")
    ]
    model = keras.Model(images, [network(images) for network in networks])
    expected = {f"{network.name}/{place}" for network in networks for place in places.usual_places(network)}
    assert len(expected) == 13 + 16 + 16 + 58
    for families in (places.FAMILIES, places.FAMILIES[::-1]):
        monkeypatch.setattr(places, "FAMILIES", families)
        assert set(places.usual_places(model)) == expected


# The beginning of the smallest network of each family: the layer that it ends with, and the number of its places. Two of them
# show that the gates learn and that files keep them: that is the same in all.
BEGINNINGS = {
    "ConvNeXtTiny": ("convnext_tiny_downsampling_block_0", 3),
    "DenseNet121": ("conv2_block3_0_relu", 2),
    "InceptionResNetV2": ("block35_2_ac", 2),
    "InceptionV3": ("mixed1", 2),
    "MobileNetV2": ("block_5_add", 3),
    "NASNetMobile": ("normal_concat_0", 3),
    "ResNet50": ("conv2_block2_out", 2),
    "ResNet50V2": ("conv2_block3_preact_relu", 2),
    "VGG16": ("block2_pool", 4),
    "Xception": ("block3_sepconv1_act", 2),
}
CASES = [
    *[
        pytest.param(name, *beginning, name in ("MobileNetV2", "VGG16"), marks=pytest.mark.slow)
        for name, beginning in BEGINNINGS.items()
    ],
    pytest.param("MobileNet", None, NETWORKS["MobileNet"][1], False),  # the whole network, whose places `add_se` finds
    *[pytest.param(name, None, places, True, marks=pytest.mark.exhaustive) for name, (_, places, _) in NETWORKS.items()],
]


def beginning(name: str, last: str, side: int) -> tuple[keras.Model, list[str]]:
    """A classifier of the layers of a network up to one, with their usual places."""
    with keras.StatelessScope(initialize_variables=False):  # the layers that are left out need no values
        whole = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3))
    x = layers.GlobalAveragePooling2D()(whole.get_layer(last).output)
    model = keras.models.clone_model(keras.Model(whole.input, layers.Dense(5, "softmax")(x)))
    names = {layer.name for layer in model.layers}
    return model, [place for place in places.usual_places(whole) if place in names]


def make_room(name: str) -> None:
    if name == "ConvNeXtXLarge":  # whose weights are 1.4 GB, so that each copy counts
        gc.collect()


@pytest.mark.parametrize(("name", "last", "count", "trained_and_saved"), CASES)
def test_networks_of_keras_applications_keep_what_they_compute(name, last, count, trained_and_saved, tmp_path):
    keras.utils.set_random_seed(0)
    side, after = NETWORKS[name][2], None
    if last is None:
        model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=5)
    else:
        model, after = beginning(name, last, side)
    with_statistics(model)
    images = np.random.default_rng(1).uniform(0, 255, (4, side, side, 3)).astype("float32")
    outputs, weights = model(images).numpy(), model.get_weights()

    with_se = keras_senet.add_se(model, after, reduction=8)
    assert sum(isinstance(layer, SqueezeExcite) for layer in with_se.layers) == count
    np.testing.assert_array_equal(with_se(images), outputs)
    for weight, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    del model
    make_room(name)
    for weight, before in zip(keras_senet.remove_se(with_se).get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    del weights
    make_room(name)

    if trained_and_saved:
        check_that_gates_learn(with_se, images, np.arange(4))
        with_se.save(tmp_path / "with_se.keras")
        loaded = keras.saving.load_model(tmp_path / "with_se.keras")
        np.testing.assert_array_equal(loaded(images), with_se(images))
        del loaded
        make_room(name)
        assert keras_senet.export.tflite(with_se, tmp_path / "with_se.tflite").largest < 1e-3
    keras.utils.clear_session()
    gc.collect()


def residual_network() -> keras.Model:
    x = images = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, padding="same")(x / 255)
    for number in range(3):
        y = layers.BatchNormalization(name=f"conv2_block{number + 1}_3_bn")(layers.Conv2D(8, 3, padding="same")(x))
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(images, layers.Dense(5, "softmax")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(residual_network, id="three blocks"),
        pytest.param(
            lambda: keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5),
            id="ResNet50",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_in_a_graph_nothing_but_the_order_of_sums_differs(build):
    keras.utils.set_random_seed(0)
    model = with_statistics(build())
    with_se = keras_senet.add_se(model, reduction=4)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(with_se.predict(images), model.predict(images), atol=1e-6)
    # TensorFlow's optimizer adds a normalization's offset to the shortcut first, where no SE stands between.
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    try:
        fresh = [keras.Model(network.inputs, network.outputs) for network in (with_se, model)]
        np.testing.assert_array_equal(fresh[0].predict(images), fresh[1].predict(images))
    finally:
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True} | before)


@pytest.mark.slow
def test_resnet_50_gets_the_parameters_of_the_authors_se_resnet_50():
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5)
    assert keras_senet.add_se(model).count_params() - model.count_params() == 2_530_992


@pytest.mark.parametrize("name", [*WITH_SE, *[pytest.param(name, marks=pytest.mark.exhaustive) for name in LARGER_WITH_SE]])
def test_networks_that_have_se_are_left(name, without_weights):
    model = getattr(keras.applications, name)(weights=None)
    with pytest.raises(ValueError, match="has SE already, in '.*To put more into it say where with `after`"):
        keras_senet.add_se(model)


def test_our_networks_have_se_already_or_get_it_where_one_says(model):
    with pytest.raises(ValueError, match="has SE already, in 'stage2_block1_se'"):
        keras_senet.add_se(model("SEResNet20"))
    plain = with_statistics(keras_senet.SEResNet20(weights=None, attention=None))
    with pytest.raises(ValueError, match=r"say with `after` which layers it shall follow, such as after='stage4_block3_conv2'"):
        keras_senet.add_se(plain)
    with_se = keras_senet.add_se(plain, after=r"stage\d_block\d_bn2", reduction=16)
    assert [layer.name for layer in with_se.layers if isinstance(layer, SqueezeExcite)] == [
        f"stage{stage}_block{block}_bn2_se" for stage in (2, 3, 4) for block in (1, 2, 3)
    ]
    assert with_se.count_params() == model("SEResNet20").count_params()
    images = RANDOM.uniform(0, 255, (2, 32, 32, 3))
    np.testing.assert_array_equal(with_se(images), plain(images))


@pytest.fixture(scope="module")
def small():
    """A network in which a scale is taken up in each way: by what is before, by what is behind, and by neither."""
    x = images = keras.Input((16, 16, 3), name="images")
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.ReLU(6, name="relu6")(x)  # what passes 6 is cut: no scale before it can be taken up
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(layers.ZeroPadding2D(0, name="padding")(x))
    z = layers.SeparableConv2D(8, 1, use_bias=False, name="separable")(x)
    x = layers.Add(name="add")([y, z])
    x = layers.Concatenate(name="concat")([layers.Conv2D(4, 1, name="narrow")(x), layers.Conv2D(12, 1, name="wide")(x)])
    x = layers.Activation("swish", name="swish")(x)
    x = layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D(name="mean")(x))
    return with_statistics(keras.Model(images, x, name="small"))


IMAGES = RANDOM.uniform(0, 1, (3, 16, 16, 3)).astype("float32")


def changed(model: keras.Model, other: keras.Model) -> dict[str, float]:
    """By which factors the weights of layers that both have differ."""
    factors = {}
    for layer in model.layers:
        for weight, another in zip(layer.weights, other.get_layer(layer.name).weights, strict=True):
            ratio = np.unique(ops.convert_to_numpy(another) / ops.convert_to_numpy(weight))
            if list(ratio) != [1]:
                factors[f"{layer.name}/{weight.name}"] = ratio[0] if len(ratio) == 1 else None
    return factors


@pytest.mark.parametrize(
    ("after", "scaled"),
    [
        ("bn", {"bn/gamma": 2, "bn/beta": 2}),
        ("conv", {"conv/kernel": 2, "conv/bias": 2}),
        ("pool", {"conv/kernel": 2, "conv/bias": 2}),
        ("relu6", {"depthwise/kernel": 2, "separable/depthwise_kernel": 2}),
        ("padding", {"depthwise/kernel": 2}),
        ("add", {"depthwise/kernel": 2, "depthwise/bias": 2, "separable/pointwise_kernel": 2}),
        ("concat", {f"{layer}/{weight}": 2 for layer in ("narrow", "wide") for weight in ("kernel", "bias")}),
        ("swish", {"logits/kernel": 2}),
        (["bn", "conv"], {"conv/kernel": 2, "conv/bias": 2, "bn/gamma": 2, "bn/beta": 2}),
        (["conv", "pool"], {"conv/kernel": 4, "conv/bias": 4}),
        (lambda layer: layer.name == "wide", {"wide/kernel": 2, "wide/bias": 2}),
    ],
)
def test_the_scale_is_taken_up_by_the_nearest_weights(small, after, scaled):
    with_se = keras_senet.add_se(small, after=after, reduction=4)
    assert changed(small, with_se) == scaled
    np.testing.assert_array_equal(with_se(IMAGES), small(IMAGES))
    without = keras_senet.remove_se(with_se)
    np.testing.assert_array_equal(without(IMAGES), small(IMAGES))
    assert [layer.name for layer in without.layers] == [layer.name for layer in small.layers]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_relatives_of_se_begin_without_a_change_too(small, attention):
    chosen = {} if attention in ("eca", "ese", "sse", "ge") else {"reduction": 4}
    with_gates = keras_senet.add_se(small, after=["bn", "concat"], attention=attention, **chosen)
    assert type(with_gates.get_layer("bn_se")) is ATTENTIONS[attention]
    np.testing.assert_array_equal(with_gates(IMAGES), small(IMAGES))
    np.testing.assert_array_equal(keras_senet.remove_se(with_gates)(IMAGES), small(IMAGES))
    with_gates.compile("sgd", "mse", run_eagerly=True)
    with_gates.train_on_batch(IMAGES, np.ones((3, 5)))
    factors, _ = with_gates.get_layer("bn_se").deciding_weights()
    assert all(np.any(ops.convert_to_numpy(factor)) for factor in factors)


def test_where_no_weight_can_take_up_the_scale_a_layer_does():
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, layers.Activation("swish", name="swish")(layers.Conv2D(8, 3)(images)))
    with_se = keras_senet.add_se(model, after="swish", reduction=4)
    assert with_se.layers[-1].name == "swish_se_rescale"
    np.testing.assert_array_equal(with_se(IMAGES), model(IMAGES))
    without = keras_senet.remove_se(with_se)
    assert [layer.name for layer in without.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(without(IMAGES), model(IMAGES))


def test_models_within_models_and_sequential_ones_get_attention():
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(8, 3, name="conv"), layers.ReLU()], name="inner")
    backbone = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, layers.Dense(2)(layers.GlobalAveragePooling2D()(backbone(images))))
    with_se = keras_senet.add_se(model, reduction=8)
    assert sum(isinstance(layer, SqueezeExcite) for layer in with_se.get_layer(backbone.name).layers) == 13
    pixels = RANDOM.uniform(-1, 1, (2, 32, 32, 3))
    np.testing.assert_array_equal(with_se(pixels), model(pixels))
    for after in ("inner/conv", "conv", ["inner/conv"], "inner"):
        outer = keras.Sequential([keras.Input((16, 16, 3)), inner, layers.Conv2D(4, 1, name="last")])
        with_se = keras_senet.add_se(outer, after=after, reduction=2)
        np.testing.assert_array_equal(with_se(IMAGES), outer(IMAGES))
        np.testing.assert_array_equal(keras_senet.remove_se(with_se)(IMAGES), outer(IMAGES))
    assert with_se.get_layer("inner_se").hidden_units is None


def test_constant_gates_are_folded_channel_by_channel(small, recwarn):
    with_se = keras_senet.add_se(small, after=["bn", "concat", "swish"], reduction=4)
    for layer in with_se.layers:
        if isinstance(layer, FeatureGate):
            layer.expand.bias.assign(RANDOM.normal(0, 2, layer.expand.bias.shape))
    without = keras_senet.remove_se(with_se)
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]
    assert changed(small, without).keys() == {"bn/gamma", "bn/beta", "logits/kernel"} | {
        f"{layer}/{weight}" for layer in ("narrow", "wide") for weight in ("kernel", "bias")
    }
    np.testing.assert_allclose(without(IMAGES), with_se(IMAGES), atol=1e-6)


def test_gates_that_vary_are_named_and_replaced_by_their_mean(small):
    with_se = keras_senet.add_se(small, after=["bn", "wide"], reduction=4)
    gate = with_se.get_layer("bn_se")
    gate.expand.kernel.assign(RANDOM.normal(0, 3, gate.expand.kernel.shape))
    gate.reduce.bias.assign(np.ones(2))
    with pytest.warns(UserWarning, match=r"in 1 of its 2 SE layers the gates vary .*: bn_se\.$"):
        back = keras_senet.remove_se(with_se)
    assert changed(small, back) == {}
    values = ops.convert_to_numpy(gate.gates(keras.Model(with_se.input, gate.input)(IMAGES)))
    with pytest.warns(UserWarning, match=rf"bn_se \(by {np.ptp(values, axis=0).max():.2g}\)"):
        back = keras_senet.remove_se(with_se, {"bn_se": values})
    expected = values.mean(axis=0) * ops.convert_to_numpy(with_se.get_layer("bn").gamma)
    np.testing.assert_allclose(back.get_layer("bn").gamma, expected, rtol=1e-6)


class StandardizedConv(layers.Conv2D):
    """Whatever the scale of its kernel, it computes the same."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel / ops.std(kernel))


class Nameless(layers.Layer):
    """It keeps no name in its configuration, and the argument of its call is not `inputs`."""

    def build(self, input_shape):
        self.scale = self.add_weight((1,), "random_normal")

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {}


def behind_conv(change):
    """A network of a convolution and what `change` makes of its output."""
    images = keras.Input((16, 16, 3))
    return with_statistics(keras.Model(images, change(layers.Conv2D(8, 3, padding="same", name="conv")(images))))


# Keras quantizes what it can, and warns of the rest.
integers_warn = pytest.mark.filterwarnings(r"ignore:.*(does not have a `quantize` method|layer\(s\) were skipped):UserWarning")


def with_lora(network: keras.Model, layer: str) -> keras.Model:
    network.get_layer(layer).enable_lora(2)
    network.get_layer(layer).lora_kernel_b.assign(RANDOM.normal(size=network.get_layer(layer).lora_kernel_b.shape))
    return network


def integers(network: keras.Model) -> keras.Model:
    network.quantize("int8")
    return network


def adapted():
    normalization = layers.Normalization()
    normalization.adapt(3 * IMAGES + 1)
    images = keras.Input((16, 16, 3))
    return keras.Model(images, layers.Conv2D(8, 3, name="here")(normalization(images)))


def compiled():
    network = behind_conv(layers.ReLU(name="here"))
    network.compile("sgd", lambda truth, outputs: ops.mean(truth - outputs))
    return network


UNUSUAL = {
    "LoRA before": lambda: with_lora(behind_conv(layers.ReLU(name="here")), "conv"),
    "LoRA behind": lambda: with_lora(
        behind_conv(lambda x: layers.Conv2D(4, 1, name="reader")(layers.Activation("swish", name="here")(x))), "reader"
    ),
    "integers behind": lambda: integers(behind_conv(lambda x: layers.Dense(4)(layers.Activation("swish", name="here")(x)))),
    "a class of one's own": lambda: behind_conv(lambda x: StandardizedConv(4, 3, name="here")(x)),
    "a class of one's own behind": lambda: behind_conv(
        lambda x: StandardizedConv(4, 3)(layers.Activation("swish", name="here")(x))
    ),
    "a layer that forgets its name": lambda: behind_conv(lambda x: Nameless()(x=layers.ReLU(name="here")(x))),
    "a sum over channels": lambda: behind_conv(
        lambda x: layers.Add(name="here")([layers.Conv2D(filters, 1)(x) for filters in (8, 1)])
    ),
    "maps side by side": lambda: behind_conv(
        lambda x: layers.Concatenate(2, name="here")([layers.Conv2D(8, 1)(x) for _ in range(2)])
    ),
    "a Python function": lambda: behind_conv(lambda x: layers.Lambda(lambda y: 3 * y)(layers.ReLU(name="here")(x))),
    "a model by keyword": lambda: behind_conv(
        lambda x: keras.Sequential([keras.Input((16, 16, 8)), layers.ReLU(name="here")])(inputs=x)
    ),
    "adapted statistics": adapted,
    "a loss of one's own": compiled,
}


@integers_warn
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_layers_keep_what_they_compute(name):
    network = UNUSUAL[name]()
    with_se = keras_senet.add_se(network, after="here", reduction=1)
    np.testing.assert_array_equal(with_se(IMAGES), network(IMAGES))
    assert all(np.all(gates == 0.5) for gates in keras_senet.gates(with_se, IMAGES).values())
    np.testing.assert_array_equal(keras_senet.remove_se(with_se)(IMAGES), network(IMAGES))


def test_attention_keeps_to_the_data_format_of_the_layers_before():
    maps = keras.Input((8, 16, 16))
    x = layers.ReLU(name="relu")(layers.ZeroPadding2D(data_format="channels_first")(maps))
    with_se = keras_senet.add_se(keras.Model(maps, x), after="relu", reduction=4)
    assert with_se.get_layer("relu_se").expand.units == 8


def shared_layer(weightless: bool):
    images = keras.Input((16, 16, 3))
    layer = layers.ReLU(name="twice") if weightless else layers.Conv2D(3, 1, name="twice")
    return keras.Model(images, layer(layers.Conv2D(3, 1, name="conv")(layer(images))))


def shared_variable():
    first, second = layers.Conv2D(3, 1, name="first"), layers.Conv2D(3, 1, name="second")
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, second(first(images)))
    second._trainable_variables[0] = first.kernel
    return model


class WithCall(keras.Model):
    """A functional model in whose graph not all that it computes is seen."""

    def __init__(self):
        images = keras.Input((16, 16, 3))
        super().__init__(images, layers.Conv2D(3, 1, name="conv")(images))

    def call(self, inputs):
        return 3 * super().call(inputs)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@integers_warn
@pytest.mark.parametrize(
    ("build", "arguments", "words"),
    [
        (Subclassed, {"after": "conv"}, "Only a functional or sequential model"),
        (WithCall, {"after": "conv"}, "without a `call` of its own, .*Received: WithCall"),
        (
            lambda: integers(keras.Sequential([keras.Input((4, 4, 3)), layers.Dense(2, name="d")])),
            {"after": "d"},
            "'d' is quantized",
        ),
        (None, {"after": r"concatt"}, "none of the 14 layers. Received: 'concatt'. Did you mean 'concat'"),
        (None, {"after": ["bn", "relu"]}, r"Received: 'relu'\. Did you mean 'relu6'"),
        (None, {"after": "*_bn"}, "must be a regular expression, .*and nothing to repeat"),
        (None, {"after": lambda layer: False}, "chooses none of the 14 layers"),
        (None, {"after": []}, r"`after` must be .* Received: after=\[\]"),
        (None, {"after": [layers.ReLU()]}, r"`after` must be .* Received: after=\[<ReLU"),
        (None, {"after": layers.ReLU()}, "`after` must be .* Received: after=<ReLU"),
        (None, {"after": "mean"}, r"feature map \(N, H, W, C\), and 'mean' puts out \(None, 16\)"),
        (None, {"after": "images"}, "none of the 14 layers. Received: 'images'"),
        (None, {"after": "bn", "reduction": 16}, "needs at least one hidden unit. Received 8 channels with reduction=16"),
        (None, {"after": "bn", "attention": "sse2"}, "`attention` must be None, one of 'se'"),
        (
            None,
            {"after": "bn", "attention": layers.ReLU},
            "must make a `keras_senet.layers.FeatureGate`.* Received: attention=<class",
        ),
        (None, {"after": "bn", "attention": None}, "must make a `keras_senet.layers.FeatureGate`.* Received: attention=None"),
        (None, {"after": "bn", "attention": "eca", "reduction": 4}, "attention='eca' takes no `reduction`"),
        (
            None,
            {"after": "bn", "attention": lambda name: SqueezeExcite(4, gate="tanh", name=name)},
            "no exact way to begin with SqueezeExcite in 'bn_se': its gates would be 0;",
        ),
        (lambda: shared_layer(False), {"after": "conv"}, "weights of 'twice' are used in two places; .*layer of its own in each"),
        (lambda: shared_layer(True), {"after": "twice"}, "'twice' is called more than once"),
        (shared_variable, {"after": "first"}, "weights of 'first' are used in two places, also in 'second'"),
    ],
)
def test_bad_input_is_named_and_the_model_stays(small, build, arguments, words):
    model = build() if build else small
    before = model.get_weights()
    with pytest.raises(ValueError, match=words):
        keras_senet.add_se(model, **arguments)
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_a_layer_gets_attention_once_and_only_what_has_it_loses_it(small):
    with_se = keras_senet.add_se(small, after="bn", reduction=4)
    with pytest.raises(ValueError, match="has a layer 'bn_se' already"):
        keras_senet.add_se(with_se, after="bn", reduction=4)
    with pytest.raises(ValueError, match="'small' has no SE to remove"):
        keras_senet.remove_se(small)


def pictures(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (2, 16, 16, channels)).astype("float32")


def refused(model, *arguments, function=keras_senet.add_se, **options) -> str:
    with pytest.raises(InputError) as error:
        function(model, *arguments, **options)
    return str(error.value)


@pytest.mark.parametrize("deep", [False, True], ids=["encoder", "encoder in a model"])
def test_for_a_siamese_model_the_refusal_says_what_works(deep):
    encoder = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(16, 3, name="conv"), layers.Flatten()], name="encoder")
    pair = [keras.Input((16, 16, 3)) for _ in range(2)]

    def siamese(encoder, name):
        return keras.Model(pair, layers.Subtract()([encoder(image) for image in pair]), name=name)

    model = siamese(encoder, "siamese")
    if deep:
        outer = [keras.Input((16, 16, 3)) for _ in range(2)]
        model = keras.Model(outer, layers.Dense(1)(model(outer)), name="outer")
    for function in (keras_senet.add_se, keras_senet.remove_se):
        path = "model.get_layer('siamese').get_layer('encoder')" if deep else "model.get_layer('encoder')"
        said = refused(model, function=function, **({"after": "conv"} if function is keras_senet.add_se else {}))
        assert f"`shared = keras_senet.{function.__name__}({path}, ...)`, and then join its calls anew" in said
    shared = keras_senet.add_se(eval(path), after="conv")
    images = [pictures(), pictures()[::-1]]
    np.testing.assert_array_equal(siamese(shared, "siamese")(images), siamese(encoder, "siamese")(images))


def test_each_way_that_a_refusal_of_add_se_names_was_tried(small):
    x = pictures()

    def same(model, after, expected, **options):
        np.testing.assert_array_equal(keras_senet.add_se(model, after=after, reduction=2, **options)(x), expected)

    for model in (Subclassed(), WithCall()):
        assert "`keras.Model(inputs, model.call(inputs))` with `inputs = keras.Input(batch_shape=...)`" in refused(model, "conv")
        inputs = keras.Input(batch_shape=(None, 16, 16, 3))
        if isinstance(model, WithCall):  # the other has no layer
            same(keras.Model(inputs, model.call(inputs)), "conv", model(x))
    sequential = keras.Sequential([layers.Conv2D(4, 3, name="conv"), layers.Flatten()])
    assert "build it by `model.build(batch_shape)`" in refused(sequential, "conv")
    sequential.build((None, 16, 16, 3))
    same(sequential, "conv", sequential(x))

    said = refused(sequential)
    assert said.endswith("such as after='conv'.")
    assert "name some, such as after='conv'." in refused(sequential, lambda layer: False)
    assert "none of the 2 layers. Received: 'zz'. The layers are 'conv', " in refused(sequential, "zz")
    assert ".* stands for any letters" in refused(sequential, "*nv")
    same(sequential, ".*nv", sequential(x))

    two = [layers.Conv2D(3, 1, name=name) for name in ("first", "second")]
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, two[1](layers.ReLU(name="relu")(two[0](images))))
    two[1].set_weights(two[0].get_weights())
    assert "a layer of its own in each place, and give it these weights by `set_weights`" in refused(shared_layer(False), "conv")
    same(model, "first", model(x))

    assert "choose layers that are called once" in refused(shared_layer(True), "twice")
    model = shared_layer(True)
    same(model, "conv", model(x))

    with_se = keras_senet.add_se(sequential, "conv", 2)
    assert "take it out by `remove_se`" in refused(with_se, "conv")
    same(keras_senet.remove_se(with_se), "conv", sequential(x))

    attention = refused(sequential, "conv", attention=layers.ReLU)
    assert "as `attention='se'` and `attention=lambda name: keras_senet.layers.SqueezeExcite(name=name)` do" in attention
    wide = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(16, 3, name="conv")])
    with_se = keras_senet.add_se(wide, "conv", attention=lambda name: keras_senet.layers.SqueezeExcite(name=name))
    np.testing.assert_array_equal(with_se(x), wide(x))
    assert "such as the sigmoid" in refused(wide, "conv", attention=lambda name: SqueezeExcite(4, gate="tanh", name=name))
    with_se = keras_senet.add_se(wide, "conv", attention=lambda name: SqueezeExcite(4, gate="sigmoid", name=name))
    np.testing.assert_array_equal(with_se(x), wide(x))
    assert "leave it as it is by default, 16" in refused(wide, "conv", attention="eca", reduction=4)
    np.testing.assert_array_equal(keras_senet.add_se(wide, "conv", attention="eca")(x), wide(x))


@integers_warn
def test_a_quantized_layer_gets_attention_first():
    def model():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((16, 16, 3)), layers.Dense(4, name="d")])

    assert "put attention behind it first, and then quantize" in refused(integers(model()), "d", reduction=2)
    with_se = keras_senet.add_se(model(), "d", 2)
    with_se.quantize("int8")
    assert with_se.get_layer("d").quantization_mode == "int8"
    assert with_se(pictures()).shape == (2, 16, 16, 4)


ON_JAX = """
import sys
import keras, numpy as np, keras_senet
from keras import layers

def residual(input_shape):
    axis = 1 if keras.config.image_data_format() == "channels_first" else 3
    images = keras.Input(input_shape)
    x = layers.BatchNormalization(axis)(layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(images))
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Activation("swish", name="swish")(layers.Add()([x, y]))
    return keras.Model(images, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

def narrow(input_shape):
    maps = [layers.Conv2D(16, 3), keras_senet.layers.SqueezeExcite(4), layers.ReLU(), layers.Conv2D(8, 1)]
    return keras.Sequential([keras.Input(input_shape), *maps, layers.GlobalAveragePooling2D(), layers.Dense(3)])

if sys.argv[1] == "tiny":
    model_of, after, network_of = residual, ["conv", "depthwise", "swish"], narrow
else:
    model_of = lambda input_shape: keras.applications.MobileNet(input_shape, alpha=0.5, weights=None, classes=3)
    network_of = lambda input_shape: keras_senet.SEResNet20(weights=None, input_shape=input_shape)
    after = None

x = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype("float32")
for data_format in ("channels_last", "channels_first"):
    keras.config.set_image_data_format(data_format)
    if data_format == "channels_first":
        x = x.transpose(0, 3, 1, 2)
    model = model_of(x.shape[1:])
    for attention in ("se", "cbam"):
        with_se = keras_senet.add_se(model, after, attention=attention, reduction=8)
        assert np.all(np.array(with_se(x)) == np.array(model(x)))
        assert np.all(np.array(keras_senet.remove_se(with_se)(x)) == np.array(model(x)))
    network = network_of(x.shape[1:])
    for layer in network.layers:
        if isinstance(layer, keras_senet.layers.SqueezeExcite):
            reduce, hidden, expand, offset = layer.get_weights()
            reduce[::2], expand[:, ::2], offset[::2] = 0, 0, -100
            layer.set_weights([reduce, hidden, expand, offset])
    smaller, report = keras_senet.analysis.prune(network, x, keep_ratio=0.5)
    assert abs(np.array(smaller(x)) - np.array(network(x))).max() < 1e-5, report
    assert report.after.parameters < 0.75 * report.before.parameters
"""


@pytest.mark.parametrize(
    ("networks", "compiled_fast"),
    [pytest.param("tiny", "1", marks=pytest.mark.slow), pytest.param("large", "0", marks=pytest.mark.exhaustive)],
)
def test_jax_adds_removes_and_prunes_in_both_data_formats(networks, compiled_fast, python):
    done = python(ON_JAX, networks, KERAS_BACKEND="jax", JAX_DISABLE_MOST_OPTIMIZATIONS=compiled_fast)
    assert done.returncode == 0, done.stderr
