"""SE and other attention in functional Keras models that exist already."""

import collections
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from keras_senet.errors import InputError, did_you_mean
from keras_senet.keras_internals import run_graph
from keras_senet.layers import FeatureGate
from keras_senet.layers.attention import Attention, attention_layer
from keras_senet.rewrite.channels import Scales, channel_axis
from keras_senet.rewrite.graph import Graph, as_functional, copied, inputs_of, rewritten

# Where attention goes in the networks of keras.applications: by the name of a layer that no other family has, the names of those
# that it follows. At the end of each residual branch before the addition; after each concatenation of Inception and NASNet, each
# pointwise convolution of MobileNet and Xception, and the last convolution of each stage of VGG.
_PLACES = {
    r"conv2_block1_3_bn": r"conv\d_block\d+_3_bn",  # ResNet
    r"post_bn": r"conv\d_block\d+_3_conv",  # ResNet V2
    r"pool2_conv": r"conv\d_block\d+_2_conv",  # DenseNet, whose branches are concatenated
    r"block8_10_conv": r"block\d+_\d+_conv",  # Inception-ResNet
    r"mixed10": r"mixed\d+",  # Inception
    r"conv_pw_13_relu": r"conv_pw_\d+_relu",  # MobileNet
    r"expanded_conv_project_BN": r"block_([245789]|1[1245])_project_BN",  # MobileNet V2: in the other blocks nothing is added
    r"block14_sepconv2_bn": r"block\d+_sepconv\d_bn",  # Xception
    r"normal_concat_0": r"(normal|reduction)_concat_.*",  # NASNet
    r".*_stage_0_block_0_layer_scale": r".*_stage_\d_block_\d+_layer_scale",  # ConvNeXt
    r"block5_conv3": r"(?P<stage>block\d)_conv\d",  # VGG: the last layer of each `stage`, the third of VGG16, the fourth of VGG19
}
_HAS_SE = r".*(_se_|squeeze_excite).*"  # EfficientNet, MobileNet V3


def add_se(
    model: keras.Model,
    after: str | Iterable[str] | Callable[[keras.layers.Layer], bool] | None = None,
    reduction: int = 16,
    attention: str | Callable[..., FeatureGate] = "se",
) -> keras.Model:
    """A network with SE in it that computes at first what the network without it computes, to the last bit.

    The layer that makes the gates starts at zero, so each gate is exactly 0.5. The scale and offset of the normalization before
    it are doubled; where there is none, the weights of the convolutions before it; where these feed something else too, the
    kernels of all convolutions and fully connected layers that read it; where that is impossible, a layer
    `<layer>_se_rescale` doubles its output. Between there may be ReLU, pooling and padding. A factor of two rounds nothing, so no
    output changes; and from there the gates learn. (TensorFlow's graphs, as in `predict`, may sum in another order with a layer
    less: their optimizer adds the normalization's offset to the shortcut first, where nothing stands between.)

    Args:
        model: a functional or sequential Keras model; it stays as it is. Models within it get attention, too.
        after: the layers that attention follows: a regular expression that their whole name matches, their names, or a function
            that says of a layer whether it is one. Layers of a model within the model may be named with its name and a slash
            before theirs. By default the place that is usual in the family of networks of `keras.applications` that `model` is
            of or holds: the end of each residual branch before the addition (ResNet, MobileNetV2, ConvNeXt,
            InceptionResNetV2; before the concatenation in DenseNet), each concatenation (InceptionV3, NASNet), each pointwise
            convolution (MobileNet, Xception), the last convolution of each stage (VGG).
        reduction: channels for each hidden unit of the excitation.
        attention: "se", the name of a relative of SE as in our constructors, or a function `attention(name=...)` that returns a
            `FeatureGate` layer.

    Returns:
        A functional model of the same name, inputs and outputs, with weights of its own and a layer `<layer>_se` after each
        chosen layer. It is not compiled.

    Raises:
        ValueError: if `model` is subclassed, has weights that are used in two places, or has SE already where `after` does not
            say where to put more; if `after` chooses nothing, or a layer that is quantized or whose output is no feature map of
            rank 4; or if the gates of `attention` cannot start at one power of two.

    Source: Hu et al., arXiv 1709.01507, section 3.3, for the places.

    Example:

    >>> model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None)
    >>> with_se = keras_senet.add_se(model)
    >>> images = np.random.uniform(0, 255, (1, 32, 32, 3))
    >>> bool(np.all(with_se(images) == model(images)))
    True
    """
    model = as_functional(model)
    _refuse_shared_weights(model)
    found = _layers(model)
    names = usual_places(model) if after is None else _chosen(found, after)
    chosen = {id(found[name]) for name in names}
    return _with_attention(model, chosen, attention, reduction)


def remove_se(model: keras.Model, gates: Mapping[str, np.ndarray] | None = None) -> keras.Model:
    """The inverse of `add_se`: a network without its SE layers.

    Gates that do not depend on the image are folded into the weights around them, and the network computes what it did, bit for
    bit if they are powers of two. Other gates are replaced by their mean in `gates`, or by what they were when `add_se` put them
    there; then the function changes, and a warning names them.

    Args:
        model: a functional or sequential Keras model with `SqueezeExcite` or other `FeatureGate` layers; it stays as it is.
        gates: gates by the name of the layer, as `keras_senet.gates(model, images)` gives them, for the layers whose gates
            depend on the image by their weights. Some may be constant all the same; then nothing changes for images like these.

    Returns:
        A functional model of the same name, inputs and outputs, with weights of its own. It is not compiled.

    Raises:
        ValueError: if `model` is subclassed, has weights that are used in two places, or has no such layer.

    Example:

    >>> model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None)
    >>> same = keras_senet.remove_se(keras_senet.add_se(model))
    >>> all(np.all(ours == theirs) for ours, theirs in zip(same.get_weights(), model.get_weights()))
    True
    """
    model = as_functional(model)
    _refuse_shared_weights(model)
    spreads: dict[str, float | None] = {}
    without = _without_attention(model, gates or {}, "", spreads)
    if not spreads:
        raise InputError(f"{model.name!r} has no SE layer to remove: those that `add_se` and our constructors make are removed.")
    varying = [name if spread is None else f"{name} (by {spread:.2g})" for name, spread in spreads.items() if spread != 0]
    if varying:
        warnings.warn(
            f"The function of {model.name!r} changes: in {len(varying)} of its {len(spreads)} SE layers the gates vary with the "
            f"image, and now each channel has one number instead: {', '.join(varying)}.",
            stacklevel=2,
        )
    return without


def _models(model: keras.Model, prefix: str = "") -> Iterable[tuple[str, keras.Model]]:
    """The model and those within it, each as a functional one, with what stands before the names of its layers."""
    model = as_functional(model)
    yield prefix, model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _models(layer, f"{prefix}{layer.name}/")


def _layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """All layers but inputs, also those of models within the model, by their names."""
    return {
        prefix + layer.name: layer
        for prefix, inner in _models(model)
        for layer in inner.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }


def _refuse_shared_weights(model: keras.Model) -> None:
    owners = {}
    for prefix, inner in _models(model):
        graph = Graph(inner)
        for layer in inner.layers:
            name = prefix + layer.name
            owned_by = {} if isinstance(layer, keras.Model) else {id(weight): name for weight in layer.weights}
            shared = {owners[weight] for weight in owned_by if weight in owners}
            if layer.weights and not graph.is_called_once(layer):
                shared.add(name)
            if shared:
                also = "" if name in shared else f", also in {name!r}"
                raise InputError(
                    f"The weights of {min(shared)!r} are used in two places{also}; what suits one changes the other. Build the "
                    "model with a layer of its own in each place."
                )
            owners |= owned_by


def _chosen(found: dict[str, keras.layers.Layer], after) -> list[str]:
    """The names of the layers that `after` means."""
    if callable(after) and not isinstance(after, keras.layers.Layer):
        if chosen := [name for name, layer in found.items() if after(layer)]:
            return chosen
        raise InputError(f"`after` is a function that chooses none of the {len(found)} layers. Received: after={after}")
    texts = [after] if isinstance(after, str) else list(after) if isinstance(after, Iterable) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError(f"`after` must be a regular expression, names of layers, or a function. Received: after={after!r}")
    chosen = []
    for text in texts:
        try:
            pattern = re.compile(text if isinstance(after, str) else re.escape(text))
        except re.error as error:
            raise InputError(f"`after` must be a regular expression, and {error}. Received: {text!r}") from error
        matching = [name for name in found if pattern.fullmatch(name) or pattern.fullmatch(name.rpartition("/")[2])]
        if not matching:
            raise InputError(f"`after` matches none of the {len(found)} layers. Received: {text!r}.{did_you_mean(text, found)}")
        chosen += matching
    return chosen


def usual_places(model: keras.Model) -> list[str]:
    """The names of the layers that SE follows where `add_se` is given no `after`.

    Args:
        model: a network of `keras.applications`, or a functional or sequential model that holds some.

    Raises:
        ValueError: if `model` has SE already, or is and holds no network whose usual places are known.
    """
    found = _layers(model)
    for name, layer in found.items():
        if isinstance(layer, FeatureGate) or re.fullmatch(_HAS_SE, name.rpartition("/")[2]):
            raise InputError(f"This network has SE already, in {name!r}. To put more into it say where with `after`.")
    places = {}
    for prefix, inner in _models(model):
        names = [layer.name for layer in inner.layers]
        for sign, pattern in _PLACES.items():
            if any(re.fullmatch(sign, name) for name in names):
                for match in filter(None, (re.fullmatch(pattern, name) for name in names)):
                    places[prefix + match.groupdict().get("stage", match[0])] = prefix + match[0]
    if places:
        return list(places.values())
    raise InputError(
        "This network is of no family of keras.applications whose usual places for SE are known: say with `after` which layers "
        f"it shall follow, such as {list(found)[-1]!r}."
    )


def _with_attention(model: keras.Model, chosen: set[int], attention, reduction: int) -> keras.Model:
    originals = {layer.name: layer for layer in model.layers}
    scales = Scales(Graph(model))

    def copy(layer):
        if isinstance(layer, keras.Model):
            return _with_attention(as_functional(layer), chosen, attention, reduction)
        return copied(layer)

    def call(same, *args, **kwargs):
        y = same(*args, **kwargs)
        layer = originals.get(same.name)
        if id(layer) not in chosen:
            return y
        if f"{layer.name}_se" in originals:
            raise InputError(f"The model has a layer '{layer.name}_se' already: take it out by `remove_se`, or choose others.")
        return _attend(layer, y, attention, reduction, scales)

    return rewritten(model, copy, call, scales.weights)


def _attend(layer: keras.layers.Layer, y, attention, reduction: int, scales: Scales):
    """What the copy of `layer` puts out, `y`, with attention that changes nothing."""
    if not scales.graph.is_called_once(layer):
        raise InputError(f"{layer.name!r} is called more than once: choose layers that stand in one place.")
    if len(getattr(y, "shape", ())) != 4:
        raise InputError(
            f"Attention needs a feature map (N, H, W, C), and {layer.name!r} puts out {getattr(y, 'shape', 'several tensors')}: "
            "choose a layer before it, such as a convolution."
        )
    if layer.quantization_mode is not None:
        raise InputError(f"{layer.name!r} is quantized: put attention behind it first, and then quantize.")
    axis = channel_axis(scales.graph, layer)
    common = {"data_format": "channels_first" if axis == 1 else "channels_last", "dtype": layer.dtype_policy}
    make = attention_layer(attention, reduction=reduction)
    gate = make and make(name=f"{layer.name}_se", **(common if isinstance(attention, str) else {}))
    if not isinstance(gate, FeatureGate):
        raise InputError(f"`attention` must make a `keras_senet.layers.FeatureGate`. Received: attention={attention!r}")
    y = gate(y)
    constant = gate.make_constant()
    if math.frexp(constant)[0] != 0.5:
        raise InputError(
            f"There is no exact way to begin with {type(gate).__name__} in {gate.name!r}: its gates would be {constant:g}; only "
            "a power of two can be undone without rounding. Choose another activation for the gates, such as the sigmoid."
        )
    factors = np.full(y.shape[axis], 1 / constant)
    if constant == 1 or scales.scale_output(layer, factors) or scales.scale_input_of_readers(layer, factors):
        return y
    return keras.layers.Rescaling(1 / constant, name=f"{gate.name}_rescale", dtype=layer.dtype_policy)(y)


def _without_attention(
    model: keras.Model, gates: Mapping[str, np.ndarray], prefix: str, spreads: dict[str, float | None]
) -> keras.Model:
    attention = [layer for layer in model.layers if isinstance(layer, FeatureGate)]
    gone = {name for layer in attention for name in (layer.name, f"{layer.name}_rescale")}
    graph, left = Graph(model), {}
    scales = Scales(graph, gone)
    for layer in attention:
        constant, spreads[prefix + layer.name] = _as_constant(layer, gates.get(prefix + layer.name))
        last = layer
        for reader in graph.readers(layer) or ():
            if reader.name in gone and not isinstance(reader, FeatureGate):
                constant, last = constant * reader.scale, reader
        if any(constant != 1) and not (
            scales.scale_output(graph.sole_producer(layer), constant) or scales.scale_input_of_readers(last, constant)
        ):
            left[layer.name] = constant

    def copy(layer):
        if isinstance(layer, keras.Model):
            return _without_attention(as_functional(layer), gates, f"{prefix}{layer.name}/", spreads)
        return copied(layer)

    def call(layer, *args, **kwargs):
        if layer.name in left:
            common = {"data_format": layer.data_format, "dtype": layer.dtype_policy, "name": layer.name}
            scale = keras.layers.DepthwiseConv2D(1, use_bias=False, **common)
            outputs = scale(inputs_of(*args, **kwargs))
            scale.set_weights([left[layer.name].reshape(1, 1, -1, 1)])
            return outputs
        return inputs_of(*args, **kwargs) if layer.name in gone else layer(*args, **kwargs)

    return rewritten(model, copy, call, scales.weights)


def _as_constant(layer: FeatureGate, measured: np.ndarray | None) -> tuple[np.ndarray, float | None]:
    """One gate for each channel, and by how much the gates differ from image to image; None if that is not known."""
    constant = layer.constant_gates()
    if constant is not None:
        return constant, 0.0
    channels = layer.input.shape[layer.channel_axis]
    if measured is not None:
        measured = np.moveaxis(measured, 1 if measured.ndim == 2 else layer.channel_axis, -1)
        measured = measured.reshape(-1, measured.shape[-1])
        return np.broadcast_to(measured.mean(axis=0), channels), float(np.ptp(measured, axis=0).max())
    fresh = layer.from_config(layer.get_config())
    fresh(keras.KerasTensor(layer.input.shape, layer.input.dtype))
    return np.full(channels, fresh.make_constant()), None


def attend_after(model: keras.Model, x, places: dict[str, tuple[int, str]], attention: Attention):
    """A copy of the layers of `model`, applied to `x`, with attention after some of them.

    Args:
        model: a functional Keras model with one input; it stays as it is.
        x: feature map or image, a Keras tensor, in place of the model's input.
        places: by the name of a layer, the stage and the block whose attention follows it.
        attention: what to put there.

    Returns:
        The output, a Keras tensor. The copies have weights of their own, initialized anew.
    """
    names = _names_in_a_fresh_process(model)

    def copy(layer):
        return layer.__class__.from_config(layer.get_config() | {"name": names[layer.name]})

    def call(layer, *args, **kwargs):
        y = layer(*args, **kwargs)
        return attention.in_block(*places[layer.name])(y) if layer.name in places else y

    # What keras.models.clone_model does; but that ends in a model of its own, cut off from what comes before `x`.
    return run_graph(model, x, call, copy)


def _names_in_a_fresh_process(model: keras.Model) -> dict[str, str]:
    """From the names of its layers to those that do not depend on what was built before.

    Keras numbers the layers of a class that were given no name through the whole process: conv2d, conv2d_1 and so on.
    """
    names = {layer.name: layer.name for layer in model.layers}
    numbered = collections.defaultdict(list)
    for layer in model.layers:
        stem, number = re.fullmatch(r"(\w+?)(?:_(\d+))?", layer.name).groups()
        if stem.replace("_", "") == type(layer).__name__.lower():
            numbered[stem].append((int(number or 0), layer.name))
    for stem, layers in numbered.items():
        for index, (_, name) in enumerate(sorted(layers)):
            names[name] = f"{stem}_{index}" if index else stem
    return names
