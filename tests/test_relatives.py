"""The relatives of SE against numpy, the parameters of their peers, and what every feature gate promises."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_senet
from keras_senet.layers import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EffectiveSqueezeExcite,
    EfficientChannelAttention,
    GatherExcite,
    GlobalContext,
    SpatialSqueezeExcite,
    SqueezeExcite,
)
from keras_senet.layers.attention import ATTENTIONS

MAP = np.random.default_rng(0).standard_normal((2, 9, 12, 32)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def dense(x, w, part):
    return x @ w[f"{part}_kernel"] + w[f"{part}_bias"]


def excitation(x, w):
    return dense(relu(dense(x, w, "reduce")), w, "expand")


def batch_norm(x, w, part="norm"):
    scale = w[f"{part}_gamma"] / np.sqrt(w[f"{part}_moving_variance"] + 1e-5)
    return (x - w[f"{part}_moving_mean"]) * scale + w[f"{part}_beta"]


def windows(x, size, strides):
    """Windows `(N, H', W', C, size, size)` of a map, which is padded on all sides."""
    x = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::strides, ::strides]


def eca(x, w):
    means, kernel = x.mean((1, 2)), w["conv_kernel"].ravel()
    return sigmoid(np.array([np.convolve(row, kernel[::-1], "same") for row in means]))[:, None, None]


def ese(x, w):
    return np.clip(dense(x.mean((1, 2)), w, "dense") / 6 + 0.5, 0, 1)[:, None, None]


def sse(x, w):
    return sigmoid(dense(x, w, "conv"))


def scse(x, w):
    return sigmoid(excitation(x.mean((1, 2)), w))[:, None, None] + sse(x, w)


def cbam(x, w):
    of_channels = sigmoid(excitation(x.mean((1, 2)), w) + excitation(x.max((1, 2)), w))[:, None, None]
    x = x * of_channels
    maps = np.stack([x.mean(-1), x.max(-1)], axis=-1)
    return of_channels * sigmoid(batch_norm(np.einsum("nhwcij,ijco->nhwo", windows(maps, 7, 1), w["conv_kernel"]), w))


def ge(x, w):
    gathered = np.einsum("nhwc,hwco->nco", x, w["conv1_kernel"])[..., 0]
    return sigmoid(batch_norm(gathered, w, "norm1"))[:, None, None]


def ge_of_extent(x, w, steps):
    _, height, width, _ = x.shape
    for step in range(1, steps + 1):
        x = np.einsum("nhwcij,ijco->nhwc", windows(relu(x) if step > 1 else x, 3, 2), w[f"conv{step}_kernel"])
        x = batch_norm(x, w, f"norm{step}")
    rows, columns = np.arange(height) // 2**steps, np.arange(width) // 2**steps
    return sigmoid(x)[:, rows][:, :, columns]


def gc(x, w):
    attended = np.exp(dense(x, w, "conv"))
    hidden = dense((x * attended).sum((1, 2)) / attended.sum((1, 2)), w, "reduce")
    hidden = (hidden - hidden.mean(-1, keepdims=True)) / np.sqrt(hidden.var(-1, keepdims=True) + 1e-5)
    return sigmoid(dense(relu(hidden * w["norm_gamma"] + w["norm_beta"]), w, "expand"))[:, None, None]


def coord(x, w):
    def hidden(means):
        z = batch_norm(dense(means, w, "reduce"), w)
        return z * np.clip(z + 3, 0, 6) / 6

    rows, columns = hidden(x.mean(2)), hidden(x.mean(1))
    return sigmoid(dense(rows, w, "rows"))[:, :, None] * sigmoid(dense(columns, w, "columns"))[:, None]


# By name: the layer, its arguments, its gates computed by hand, and the number that `make_constant` makes of them.
RELATIVES = {
    "eca": (EfficientChannelAttention, {}, eca, 0.5),
    "ese": (EffectiveSqueezeExcite, {}, ese, 0.5),
    "sse": (SpatialSqueezeExcite, {}, sse, 0.5),
    "scse": (ConcurrentSqueezeExcite, {"reduction": 4}, scse, 1.0),
    "cbam": (ConvolutionalBlockAttention, {"reduction": 4}, cbam, 0.25),
    "ge": (GatherExcite, {}, ge, 0.5),
    "ge2": (GatherExcite, {"extent": 2}, lambda x, w: ge_of_extent(x, w, 1), 0.5),
    "ge8": (GatherExcite, {"extent": 8}, lambda x, w: ge_of_extent(x, w, 3), 0.5),
    "gc": (GlobalContext, {"reduction": 4}, gc, 0.5),
    "coord": (CoordinateAttention, {"reduction": 2}, coord, 0.25),
}
each = pytest.mark.parametrize("name", RELATIVES)


def randomized(name: str, inputs=None, **options) -> keras.layers.Layer:
    """The layer, applied to `inputs`, with random weights; none is zero."""
    kind, arguments, *_ = RELATIVES[name]
    layer = kind(**arguments, **options, name=name)
    layer(keras.Input(MAP.shape[1:]) if inputs is None else inputs)
    random = np.random.default_rng(1)
    positive = [any(word in weight.path for word in ("gamma", "variance")) for weight in layer.weights]
    values = [0.5 * random.standard_normal(weight.shape) for weight in layer.weights]
    layer.set_weights([abs(value) + 0.1 if above else value for value, above in zip(values, positive, strict=True)])
    return layer


def check_by_hand(name: str, data_format: str, dtype: str = "float32", atol: float = 2e-6) -> None:
    last = data_format == "channels_last"
    x = (MAP if last else MAP.transpose(0, 3, 1, 2)).astype(dtype)
    layer = randomized(name, keras.Input(x.shape[1:], dtype=dtype), data_format=data_format, dtype=dtype)
    weights = {"_".join(weight.path.split("/")[-2:]).removeprefix(f"{name}_"): weight for weight in layer.weights}
    weights = {key.removeprefix("channel_").removeprefix("spatial_"): ops.convert_to_numpy(w) for key, w in weights.items()}
    gates = RELATIVES[name][2](MAP.astype("float64"), weights)
    y = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(y if last else y.transpose(0, 2, 3, 1), MAP * gates, rtol=atol / 20, atol=atol)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@each
def test_a_relative_is_what_its_paper_says(name, data_format):
    check_by_hand(name, data_format)


@each
def test_in_float64_no_digit_is_lost(name):
    check_by_hand(name, "channels_last", "float64", atol=1e-13)


@pytest.mark.slow
def test_jax_computes_the_same(python):
    code = """
import keras, test_relatives as relatives
assert keras.backend.backend() == "jax"
for name in relatives.RELATIVES:
    relatives.check_by_hand(name, "channels_first")
"""
    done = python(code, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


# From timm 1.0.31, sum(parameter.numel() for parameter in module.parameters()) of, for C channels:
# eca: EcaModule(C); ese: EffectiveSEModule(C); cbam: CbamModule(C, mlp_bias=True); gc: GlobalContext(C, rd_ratio=1 / 16);
# coord: CoordAttn(C, rd_channels=max(8, C // 32), bias=True); ge: GatherExcite(C, (8, 16), True, 0, use_mlp=False);
# ge2, ge8: GatherExcite(C, None, True, extent, use_mlp=False), all three with `**dd` where that file has `*dd`, which fails.
TIMM = {
    64: {"eca": 3, "ese": 4160, "cbam": 680, "gc": 653, "coord": 1688, "ge": 8320, "ge2": 704, "ge8": 2112},
    256: {"eca": 5, "ese": 65792, "cbam": 8564, "gc": 8753, "coord": 6680, "ge": 33280, "ge2": 2816, "ge8": 8448},
}


# The same of CbamModule(C), SEModule(C, 1 / 16, rd_divisor=1, bias=False) and CoordAttn(C, rd_channels=max(8, C // 32)).
TIMM_WITHOUT_BIASES = {64: {"cbam": 612, "cse": 512, "coord": 1552}, 256: {"cbam": 8292, "cse": 8192, "coord": 6160}}


@pytest.mark.parametrize("channels", TIMM)
def test_a_relative_has_the_parameters_of_its_peer(channels):
    # Roy et al., arXiv 1803.02579, section 2, with the biases of the authors' code.
    hidden = channels // 16
    sse = channels + 1
    expected = TIMM[channels] | {"sse": sse, "scse": 2 * channels * hidden + hidden + channels + sse}
    for name, count in expected.items():
        kind, arguments, *_ = RELATIVES[name]
        layer = kind(**{option: value for option, value in arguments.items() if option != "reduction"})
        layer.build((None, 8, 16, channels))
        assert sum(np.prod(weight.shape) for weight in layer.trainable_weights) == count, name


def test_the_kernel_of_eca_grows_with_the_channels():
    """By hand: half of log2(C) + 1 without its fraction and, where that is even, one more."""
    kernels = {}
    for channels in (1, 8, 64, 127, 128, 256, 512, 1024, 2048):
        layer = EfficientChannelAttention()
        layer.build((None, 7, 7, channels))
        kernels[channels] = layer.conv.kernel_size[0]
    assert kernels == {1: 1, 8: 3, 64: 3, 127: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}


@pytest.mark.parametrize("name", ["eca", "ese", "scse", "cbam", "gc", "coord"])
def test_statistics_are_accumulated_in_float32(name):
    # In float16 the sum would overflow at 65,504.
    x = np.full((1, 112, 112, 8), 10.0, "float32")
    exact, half = (randomized(name, keras.Input(x.shape[1:]), dtype=dtype) for dtype in ("float32", "mixed_float16"))
    for layer in (exact, half):
        layer.set_weights([0.01 * weight if weight.ndim > 1 else weight for weight in layer.get_weights()])
    expected, found = exact(x), half(x)
    assert keras.backend.standardize_dtype(found.dtype) == "float16"
    expected, found = (ops.convert_to_numpy(ops.cast(y, "float32")) / 10 for y in (expected, found))
    assert 0.05 < expected.min() < expected.max() < 1.95
    np.testing.assert_allclose(found, expected, atol=3e-3)


@each
def test_made_constant_a_relative_multiplies_every_map_by_one_number(name):
    layer, number = randomized(name), RELATIVES[name][3]
    assert layer.constant_gates() is None
    assert layer.make_constant() == number
    np.testing.assert_array_equal(layer.constant_gates(), np.full(32, number, "float32"))
    for training in (False, True):
        np.testing.assert_array_equal(layer(MAP, training=training), number * MAP)


@each
def test_from_constant_gates_a_relative_learns(name):
    layer = randomized(name)
    layer.make_constant()
    inputs = keras.Input(MAP.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    model.train_on_batch(MAP, np.random.default_rng(2).standard_normal(MAP.shape))
    for weight in (weight for weights in layer.deciding_weights() for weight in weights):
        assert np.any(weight.numpy()), weight.path
    assert layer.constant_gates() is None


@pytest.mark.parametrize("name", [name for name in RELATIVES if name != "ge"])
def test_maps_may_be_of_any_size(name):
    images = keras.Input((None, None, 32))
    kind, arguments, *_ = RELATIVES[name]
    layer, fixed = kind(**arguments), randomized(name)
    model = keras.Model(images, layer(images))
    layer.set_weights(fixed.get_weights())
    np.testing.assert_allclose(model.predict(MAP, verbose=0), fixed(MAP), atol=1e-6)


@pytest.fixture(scope="module")
def network():
    """All of them one after the other."""
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(32, 3, strides=4, padding="same")(keras.layers.Rescaling(1 / 255)(images))
    for name in RELATIVES:
        x = 2 * randomized(name, x).output
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(10, "softmax")(x))


def test_relatives_survive_serialization(network, tmp_path):
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = 255 * np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    np.testing.assert_array_equal(loaded(images), network(images))
    for name in RELATIVES:
        assert loaded.get_layer(name).get_config() == network.get_layer(name).get_config()


def test_gates_can_be_read_from_inside_a_model(network):
    blocks = [network.get_layer(name) for name in RELATIVES]
    reader = keras.Model(network.input, [block.gates(block.input) for block in blocks])
    maps = keras.Model(network.input, [x for block in blocks for x in (block.input, block.output)])
    images = 255 * np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    before_and_after = [ops.convert_to_numpy(x) for x in maps(images)]
    for gates, before, after in zip(reader(images), before_and_after[::2], before_and_after[1::2], strict=True):
        gates = ops.convert_to_numpy(gates)
        np.testing.assert_allclose(before * (gates if gates.ndim == 4 else gates[:, None, None]), after, atol=1e-5)


# XNNPACK has no integer product of two maps, squares and roots (layer normalization) or hard swish.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantize", "left"),
    [
        ("float32", set()),
        (
            "int8_float_io",
            {("gc", "BATCH_MATMUL"), ("gc", "SQUARED_DIFFERENCE"), ("gc", "ADD"), ("gc", "RSQRT"), ("coord", "HARD_SWISH")},
        ),
    ],
)
def test_xnnpack_takes_all_operators_but_few_of_integers(quantize, left, network, tmp_path):
    from keras_senet import export

    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3)).astype("float32")
    calibration = None if quantize == "float32" else images
    limits = None if quantize == "float32" else export.Limits(1, 1, 0, 1)  # untrained networks do not survive integers
    export.tflite(network, tmp_path / "network.tflite", quantize=quantize, calibration=calibration, limits=limits)
    (measured,) = export.benchmark([tmp_path / "network.tflite"], rounds=1)
    found = {(name, kind) for kind, tensor in measured.not_delegated for name in RELATIVES if f"/{name}_1/" in tensor}
    assert found == left
    assert len(measured.not_delegated) == len(left)


@pytest.mark.parametrize("channels", TIMM)
def test_a_bottleneck_may_have_no_biases(channels):
    expected = TIMM_WITHOUT_BIASES[channels]
    # scse: SE and a convolution to one map. gc: as with biases, without those of both fully connected layers.
    expected |= {"scse": expected["cse"] + channels + 1, "gc": TIMM[channels]["gc"] - channels // 16 - channels}
    for name, count in expected.items():
        layer = ATTENTIONS[name](use_bias=False)
        layer(keras.Input((8, 16, channels)))
        assert sum(np.prod(weight.shape) for weight in layer.trainable_weights) == count, name
        x = np.random.default_rng(0).standard_normal((2, 8, 16, channels)).astype("float32")
        np.testing.assert_array_equal(layer.make_constant() * x, layer(x))
        assert type(layer).from_config(layer.get_config()).use_bias is False


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize("name", ATTENTIONS)
def test_constructors_take_a_relative_by_its_name(name, shallow):
    network = shallow("SEResNet20")(weights=None, attention=name)
    kinds = {type(layer) for layer in network.layers if layer.name.endswith("_se")}
    assert kinds == {SqueezeExcite if name in ("se", "cse") else RELATIVES[name][0]}
    assert network.output_shape == (None, 10)


@pytest.mark.usefixtures("without_weights")
def test_the_excitation_is_an_argument_of_relatives_that_have_one():
    for name in ("scse", "cbam", "gc", "coord"):
        network = keras_senet.SEResNet20(weights=None, attention=name, reduction=4)
        assert network.get_layer("stage2_block1_se").reduction == 4
    network = keras_senet.SEResNet20(weights=None, attention="cse", reduction=4, squeeze="max", gate="tanh")
    assert network.get_layer("stage2_block1_se").squeeze == "max"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GatherExcite(extent=3), r"one of \(None, 2, 4, 8\). Received: extent=3"),
        (lambda: keras_senet.SEResNet20(include_top=False, attention="ge"), "needs its height and width.* or give `extent`"),
        (lambda: GlobalContext(33)(MAP), "32 channels with reduction=33"),
        (lambda: ConvolutionalBlockAttention(0), "at least 1"),
        (lambda: EfficientChannelAttention()(keras.Input((8, 8, None))), "known number of channels"),
        (lambda: EffectiveSqueezeExcite(data_format="NHWC"), "channels_last"),
        (lambda: randomized("ge2").gates(keras.Input((None, 8, 32))), "only if its height and width are known"),
        (lambda: randomized("coord").gates(keras.Input((8, None, 32))), "only if its height and width are known"),
    ],
)
def test_a_relative_says_what_it_accepts(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_of_gather_excite_are_read_from_files(suffix, tmp_path):
    """Its layers are in lists, which have names of their own in a file."""
    for attention in ("ge", functools.partial(GatherExcite, extent=4)):
        arguments = {"attention": attention, "include_top": False, "input_shape": (32, 32, 3)}
        network = keras_senet.SEResNet20(weights=None, **arguments)
        path = tmp_path / f"network{suffix}"
        network.save(path) if suffix == ".keras" else network.save_weights(path)
        loaded = keras_senet.SEResNet20(weights=path, **arguments)
        for weight, other in zip(network.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(weight, other)
