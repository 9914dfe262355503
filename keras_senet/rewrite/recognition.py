"""SE that other libraries write as separate layers, found in the graph of a model, and put into our layer.

A network that was built without this package, such as EfficientNet in keras.applications, has no layer that is an SE block: it
has pooling, two layers with weights, activations, and a product. What stands between those with weights is told by what it
computes, not by its classes, since Keras has many ways to write a mean or a hard sigmoid.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops

from keras_senet.keras_internals import LayerCall, layer_behind, layer_calls
from keras_senet.layers import SqueezeExcite
from keras_senet.layers.data_format import channel_axis
from keras_senet.rewrite.clone import copied, rewritten
from keras_senet.rewrite.graph import Graph, as_functional, has_graph

_PRODUCTS = (keras.layers.Multiply, type(layer_behind(ops.multiply(*[keras.KerasTensor((1,))] * 2))))

_GATES = ("sigmoid", "hard_sigmoid")
_ACTIVATIONS = ("linear", "relu", "relu6", "silu", "hard_silu", "elu", "selu", "gelu", "mish", "tanh", "softplus", *_GATES)

# What our layer takes over from the configuration of each of the two layers with weights.
_TAKEN_OVER = ("dtype", "trainable", "kernel_regularizer", "bias_regularizer")


@dataclasses.dataclass(frozen=True)
class SEBlock:
    """An SE block that is written as separate layers.

    Attributes:
        name: what the layer in its place is named: `<block>_se`, with what the names of its layers have in common for the block,
            or else the name of the layer that makes the map.
        layers: its layers and operations, all of which are called once and read by no other.
        product: the last of them, which multiplies the map by the gates.
        gated: which of the inputs of the product is the map. The other is the gates, `(N, 1, 1, C)`, or `(N, C, 1, 1)`.
        reduce: the layer that makes the hidden units.
        expand: the layer that makes a number for each channel.
        arguments: other arguments of our layer.
    """

    name: str
    layers: list[keras.Operation]
    product: keras.Operation
    gated: int
    reduce: keras.layers.Layer
    expand: keras.layers.Layer
    arguments: dict

    def gates(self, *args, **kwargs):
        """The gates among the arguments of the product, `(N, C)`."""
        gates = _tensors(args, kwargs)[1 - self.gated]
        return ops.reshape(gates, (-1, math.prod(gates.shape[1:])))

    def as_layer(self, *args, **kwargs):
        """What the product makes of its arguments, made by one new layer with the weights of this block."""
        use_bias = self.reduce.use_bias or self.expand.use_bias
        both = {"reduce": self.reduce, "expand": self.expand}
        configs = {name: layer.get_config() for name, layer in both.items()}
        se = SqueezeExcite(
            hidden_units=_units(self.reduce),
            use_bias=use_bias,
            parts={name: {key: config[key] for key in _TAKEN_OVER} for name, config in configs.items()},
            name=self.name,
            dtype=self.reduce.dtype_policy,
            trainable=self.reduce.trainable or self.expand.trainable,
            **self.arguments,
        )
        outputs = se(_tensors(args, kwargs)[self.gated])
        for name, layer in both.items():
            units = _units(layer)
            part = getattr(se, name)
            part.kernel.assign(ops.reshape(layer.kernel, (-1, units)))
            if use_bias:
                part.bias.assign(layer.bias if layer.use_bias else ops.zeros(units))
        return outputs


def with_known_gates(model: keras.Model) -> keras.Model:
    """A model in which each SE block of separate layers is one `SqueezeExcite` layer, which all that knows gates can read.

    A block is pooling over a map, its mean or its maximum, two fully connected layers or 1x1 convolutions, any activations, a
    sigmoid or a hard sigmoid, and the product with the same map. A block is left as it is if anything else reads one of its
    tensors or uses its weights.

    Args:
        model: a functional or sequential model; it stays as it is. Models within it are rewritten, too.

    Returns:
        A functional model that computes the same up to rounding, with weights of its own; or `model` if it has no such block.

    Example:

    >>> from keras_senet.rewrite.recognition import with_known_gates
    >>> model = with_known_gates(keras.applications.MobileNetV3Small((32, 32, 3), weights=None))
    >>> model.get_layer("expanded_conv_se").activation.__name__, model.get_layer("expanded_conv_se").gate.__name__
    ('relu', 'hard_sigmoid')
    """
    blocks = {id(layer): block for block in se_blocks(model).values() for layer in block.layers}
    if not blocks:
        return model

    def copy(layer):
        return layer if id(layer) in blocks else copied(layer)  # those of a block are not called

    def call(layer, *args, **kwargs):
        block = blocks.get(id(layer))
        if block is None:
            return layer(*args, **kwargs)
        return block.as_layer(*args, **kwargs) if layer is block.product else _tensors(args, kwargs)[0]

    return rewritten(model, copy=copy, call=call)


def se_blocks(model: keras.Model, prefix: str = "") -> dict[str, SEBlock]:
    """The SE blocks of separate layers in a model and in those within it, by name, as `layers_by_name` names layers."""
    found: dict[str, SEBlock] = {}
    model = as_functional(model)
    for layer in model.layers:
        if has_graph(layer):
            found |= se_blocks(layer, f"{prefix}{layer.name}/")
    return found | {prefix + block.name: block for block in _own_blocks(model)}


def _own_blocks(model: keras.Model) -> Iterator[SEBlock]:
    """The blocks in the graph of a functional model itself."""
    search = _Search(model)
    names = {layer.name for layer in model.operations}
    for call in search.calls:
        if isinstance(call.layer, _PRODUCTS) and len(call.inputs) == 2:
            block = search.block(call, 0, names) or search.block(call, 1, names)
            if block:
                names.add(block.name)
                yield block


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """A stretch of a graph without weights, from one tensor to another."""

    start: keras.KerasTensor
    end: keras.KerasTensor
    calls: list[LayerCall]

    def compute(self, value) -> np.ndarray:
        """The value of the last tensor for one of the first, in float32."""
        values = {id(self.start): ops.convert_to_tensor(value)}
        for call in self.calls:
            args, kwargs = call.arguments(values)
            layer = call.layer
            if isinstance(layer, keras.layers.Layer) and layer.compute_dtype != "float32":
                layer = copied(layer, dtype="float32")
            made = keras.tree.flatten(layer(*args, **kwargs))
            values |= {id(tensor): value for tensor, value in zip(call.outputs, made, strict=True)}
        return ops.convert_to_numpy(values[id(self.end)])


class _Search:
    """A search for blocks in the graph of a functional model."""

    def __init__(self, model: keras.Model):
        self.graph = Graph(model)
        self.calls = layer_calls(model)
        self.makers = {id(tensor): call for call in self.calls for tensor in call.outputs}

    def block(self, product: LayerCall, gated: int, names: set[str]) -> SEBlock | None:
        """The block that ends with a product, if one does in which the map is this one of its inputs.

        Args:
            product: a call with two inputs.
            gated: number of the input.
            names: the names that layers have already.
        """
        feature_map, gates = product.inputs[gated], product.inputs[1 - gated]
        data_format = _data_format(feature_map, gates)
        if data_format is None or (gate := self.back_from(gates, self.is_dense)) is None:
            return None
        expand = self.makers[id(gate.start)]
        if (hidden := self.back_from(expand.inputs[0], self.is_dense)) is None:
            return None
        reduce = self.makers[id(hidden.start)]
        squeeze = self.back_from(reduce.inputs[0], lambda tensor: tensor is feature_map)
        if squeeze is None or not squeeze.calls:
            return None
        layers = [call.layer for call in (*squeeze.calls, reduce, *hidden.calls, expand, *gate.calls, product)]
        vectors = [squeeze.end, hidden.start, gate.start]
        channels = feature_map.shape[channel_axis(data_format)]
        if not self.is_closed(layers) or [_size(x) for x in vectors] != [channels, _units(reduce.layer), channels]:
            return None
        arguments = {
            "squeeze": _squeeze(squeeze, data_format),
            "activation": _activation(reduce.layer, hidden, _ACTIVATIONS) or _own_activation(reduce.layer, hidden),
            "gate": _activation(expand.layer, gate, _GATES),
        }
        if None in arguments.values():
            return None
        parts = [call.layer.name for call in (squeeze.calls[0], reduce, expand, product)]
        name = _name(parts, layer_behind(feature_map).name, names - {layer.name for layer in layers})
        arguments["data_format"] = data_format
        return SEBlock(name, layers, product.layer, gated, reduce.layer, expand.layer, arguments)

    def is_dense(self, tensor: keras.KerasTensor) -> bool:
        """Whether a tensor is made by a layer that mixes the channels of each position, as a fully connected layer does."""
        layer = self.makers[id(tensor)].layer if id(tensor) in self.makers else None
        pointwise = type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and layer.groups == 1
        return (pointwise or type(layer) is keras.layers.Dense) and layer.quantization_mode is None

    def back_from(self, end: keras.KerasTensor, is_start: Callable[[keras.KerasTensor], bool]) -> _Stretch | None:
        """The stretch that ends with a tensor and starts with the only one before it that is a start; None if there is none."""
        starts: dict[int, keras.KerasTensor] = {}
        found: set[int] = set()
        waiting = [end]
        while waiting:
            tensor = waiting.pop()
            if is_start(tensor):
                starts[id(tensor)] = tensor
                continue
            call = self.makers.get(id(tensor))
            if call is None or getattr(call.layer, "variables", None):  # layers that draw random numbers have some, too
                return None
            if id(call) not in found:
                found.add(id(call))
                waiting += call.inputs
        if len(starts) != 1:
            return None
        (start,) = starts.values()
        return _Stretch(start, end, [call for call in self.calls if id(call) in found])

    def is_closed(self, layers: list[keras.Operation]) -> bool:
        """Whether each layer is called once, and nothing but the last one passes anything on."""
        readers = [self.graph.consumers(layer) for layer in layers[:-1]]
        return self.graph.is_called_once(layers[-1]) and all(found and {*found} <= {*layers} for found in readers)


def _tensors(args: tuple, kwargs: dict) -> list:
    """The arguments of a call, in the order of `LayerCall.inputs`."""
    return keras.tree.flatten((args, kwargs))


def _units(layer: keras.layers.Layer) -> int:
    return layer.kernel.shape[-1]


def _size(tensor: keras.KerasTensor) -> int | None:
    """The size of a vector `(N, C)`, `(N, 1, 1, C)` or `(N, C, 1, 1)`; None if it depends on the image's."""
    return None if None in tensor.shape[1:] else math.prod(tensor.shape[1:])


def _data_format(feature_map: keras.KerasTensor, gates: keras.KerasTensor) -> str | None:
    """The order of the axes in which `gates` has one number for each channel of a map; None if there is none."""
    if len(feature_map.shape) == len(gates.shape) == 4:
        for data_format in ("channels_last", "channels_first"):
            axis = channel_axis(data_format) % 4
            sides = [side for index, side in enumerate(gates.shape[1:], 1) if index != axis]
            if sides == [1, 1] and gates.shape[axis] == feature_map.shape[axis] is not None:
                return data_format
    return None


def _squeeze(stretch: _Stretch, data_format: str) -> str | None:
    """The kind of pooling that a stretch does, as `SqueezeExcite` names it; None for anything else."""
    shape = [1, *(side or known for side, known in zip(stretch.start.shape[1:], (6, 10, 10), strict=True))]
    values = 8 * np.random.default_rng(0).random(shape, "float32") - 4
    spatial = tuple({1, 2, 3} - {channel_axis(data_format) % 4})
    squeezed = stretch.compute(values).ravel()
    for name, pool in {"avg": ops.mean, "max": ops.max}.items():
        expected = ops.convert_to_numpy(pool(values, axis=spatial)).ravel()
        if squeezed.shape == expected.shape and np.allclose(squeezed, expected, atol=1e-5):
            return name
    return None


def _activation(layer: keras.layers.Layer, stretch: _Stretch, names: tuple[str, ...]) -> str | None:
    """The name of the activation that a layer and the stretch behind it compute together; None if it is none of `names`."""
    values = _normal(stretch.start)
    found = stretch.compute(layer.activation(values)).reshape(values.shape)
    matching = (name for name in names if np.allclose(found, keras.activations.get(name)(values), rtol=1e-5, atol=1e-5))
    return next(matching, None)


def _own_activation(layer: keras.layers.Layer, stretch: _Stretch) -> Callable | None:
    """The only activation of a layer, or behind it, if it takes each number by itself."""
    if not stretch.calls:
        activation = layer.activation
    elif len(stretch.calls) == 1 and layer.activation is keras.activations.linear:
        behind = stretch.calls[0].layer
        activation = getattr(behind, "activation", behind)  # a layer such as LeakyReLU can be the activation of another
    else:
        return None
    values = _normal(stretch.start)
    shuffled = np.random.default_rng(1).permuted(values.ravel()).reshape(values.shape)
    order = np.argsort(values, axis=None), np.argsort(shuffled, axis=None)
    found = [stretch.compute(layer.activation(each)).ravel() for each in (values, shuffled)]
    return activation if np.allclose(found[0][order[0]], found[1][order[1]], rtol=1e-5, atol=1e-5) else None


def _normal(tensor: keras.KerasTensor) -> np.ndarray:
    """Random numbers in the shape of a vector, far enough from zero to tell activations apart."""
    return np.random.default_rng(0).normal(0, 4, (64, *tensor.shape[1:])).astype("float32")


def _name(parts: list[str], before: str, taken: set[str]) -> str:
    """The name of a block: what its parts have in common, or else the name of the layer before it, or of the product."""
    words = itertools.takewhile(lambda each: len({*each}) == 1, zip(*(part.split("_") for part in parts), strict=False))
    for name in filter(None, ("_".join(each[0] for each in words), before, parts[-1])):
        stem = re.sub(r"(^|_)(se|squeeze_excite)$", "", name)
        found = f"{stem}_se" if stem else "se"
        if found not in taken:
            break
    return found
