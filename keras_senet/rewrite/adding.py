"""SE and other attention added to a functional model that exists already, without a change in what it computes at first."""

import math
from collections.abc import Callable, Iterable

import keras
import numpy as np

from keras_senet.errors import InputError
from keras_senet.layers import FeatureGate
from keras_senet.layers.attention import AttentionConfig, attention_layer
from keras_senet.rewrite.channels import Scales, output_channel_axis
from keras_senet.rewrite.clone import rewritten
from keras_senet.rewrite.graph import Graph, as_functional, layers_by_name, refuse_shared_weights
from keras_senet.rewrite.places import matching_layers, usual_places


def add_se(
    model: keras.Model,
    after: str | Iterable[str] | Callable[[keras.layers.Layer], bool] | None = None,
    reduction: int = 16,
    attention: str | Callable[..., FeatureGate] = "se",
    use_bias: bool = True,
) -> keras.Model:
    """A network with SE in it that at first computes the same as the network without it, to the last bit.

    The layer that makes the gates starts at zero, so each gate of SE is exactly 0.5, and something else must double the map: the
    scale and offset of the normalization before the gate; where there is none, the weights of the convolutions before it; where
    something else consumes these, too, the kernels of all convolutions and fully connected layers that consume the gated map;
    and where none of this is possible, a layer `<layer>_se_rescale`. ReLU, pooling and padding may stand in between. Doubling
    rounds nothing, so no output changes, and the gates learn from there. (In a TensorFlow graph, as in `predict`, sums may be
    computed in another order: its optimizer adds the offset of a normalization to the shortcut first if no gate is between them.)

    Args:
        model: a functional or sequential Keras model; it stays as it is. Models within it get attention, too.
        after: the layers that attention follows: a regular expression that matches their whole name, their names, or a function
            from a layer to whether it is one. A layer of a model within the model may be named with that model's name and a slash
            before its own. By default the usual place in the networks of `keras.applications` that `model` is or contains: the
            end of each residual branch before the addition (ResNet, MobileNetV2, ConvNeXt, InceptionResNetV2) or before the
            concatenation (DenseNet), each concatenation (InceptionV3, NASNet), each pointwise convolution (MobileNet, Xception),
            each convolution (VGG).
        reduction: channels for each hidden unit of the excitation.
        attention: "se", the name of a relative of SE as in our constructors, or a function `attention(name=...)` that returns a
            `FeatureGate` layer.
        use_bias: whether the fully connected layers of the excitation have biases.

    Returns:
        A functional model of the same name, inputs and outputs, with weights of its own and a layer `<layer>_se` after each
        chosen layer. It is not compiled.

    Raises:
        ValueError: if `model` is subclassed, uses weights in two places, or has SE already and `after` does not say where to add
            more; if `after` matches nothing, or a layer that is quantized or whose output is no feature map of rank 4; or if the
            gates of `attention` cannot start at one power of two.

    Source: Hu et al., arXiv 1709.01507, section 3.3, for the places.

    Example:

    >>> model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None)
    >>> with_se = keras_senet.add_se(model)
    >>> images = np.random.uniform(0, 255, (1, 32, 32, 3))
    >>> bool(np.all(with_se(images) == model(images)))
    True
    """
    model = as_functional(model)
    refuse_shared_weights(model, "add_se")
    layers = layers_by_name(model)
    names = usual_places(model) if after is None else matching_layers(layers, after)
    config = AttentionConfig(attention, reduction, use_bias=use_bias)
    return _with_attention(model, {id(layers[name]) for name in names}, config)


def _with_attention(model: keras.Model, places: set[int], config: AttentionConfig) -> keras.Model:
    """`model` with attention after the layers whose ids are `places`."""
    originals = {layer.name: layer for layer in model.layers}
    scales = Scales(Graph(model))

    def call(copy, *args, **kwargs):
        y = copy(*args, **kwargs)
        layer = originals.get(copy.name)
        if id(layer) not in places:
            return y
        if f"{layer.name}_se" in originals:
            raise InputError(f"The model has a layer '{layer.name}_se' already: take it out by `remove_se`, or choose others.")
        return _attend(layer, y, config, scales)

    def nested(inner):
        return _with_attention(as_functional(inner), places, config)

    return rewritten(model, call=call, weights=scales.weights, nested=nested)


def _attend(layer: keras.layers.Layer, y, config: AttentionConfig, scales: Scales):
    """The output `y` of the copy of `layer`, followed by attention that changes nothing."""
    if not scales.graph.is_called_once(layer):
        raise InputError(
            f"{layer.name!r} is called more than once: choose layers that are called once, as those before it may be."
        )
    if len(getattr(y, "shape", ())) != 4:
        raise InputError(
            f"Attention needs a feature map (N, H, W, C), and {layer.name!r} puts out {getattr(y, 'shape', 'several tensors')}: "
            "choose a layer before it, such as a convolution."
        )
    if layer.quantization_mode is not None:
        raise InputError(f"{layer.name!r} is quantized: put attention behind it first, and then quantize.")
    axis = output_channel_axis(scales.graph, layer)
    common = {"data_format": "channels_first" if axis == 1 else "channels_last", "dtype": layer.dtype_policy}
    make = attention_layer(config)
    gate = make and make(name=f"{layer.name}_se", **(common if isinstance(config.attention, str) else {}))
    if not isinstance(gate, FeatureGate):
        raise InputError(
            "`attention` must make a `keras_senet.layers.FeatureGate`, as `attention='se'` and `attention=lambda name: "
            f"keras_senet.layers.SqueezeExcite(name=name)` do. Received: attention={config.attention!r}"
        )
    y = gate(y)
    constant = gate.make_constant()
    if math.frexp(constant)[0] != 0.5:
        raise InputError(
            f"There is no exact way to begin with {type(gate).__name__} in {gate.name!r}: its gates would be {constant:g}; only "
            "a power of two can be undone without rounding. Choose another activation for the gates, such as the sigmoid."
        )
    factors = np.full(y.shape[axis], 1 / constant)
    if constant == 1 or scales.scale_output(layer, factors) or scales.scale_consumers(layer, factors):
        return y
    return keras.layers.Rescaling(1 / constant, name=rescaling_name(gate), dtype=layer.dtype_policy)(y)


def rescaling_name(gate: FeatureGate) -> str:
    """The name of the layer that undoes the first gates of `gate` where no weights can."""
    return f"{gate.name}_rescale"
