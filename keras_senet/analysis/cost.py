"""The cost of a network, layer by layer, computed from the shapes in its graph."""

import dataclasses
import math

import keras
import numpy as np
from keras import layers, tree

from keras_senet.errors import InputError
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.graph import check_graph, run_through
from keras_senet.rewrite.recognition import se_blocks


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a network, or of a part of it, for one image.

    Attributes:
        parameters: number of trainable weights, without moving statistics of batch normalization and without frozen layers.
        multiply_adds: number of multiply-adds of convolutions and fully connected layers. As in the paper's tables, nothing else
            counts: no normalization, activation or pooling, nor the products with the gates.
        activations: number of values in the outputs of the layers.
        memory: size of all weights and activations, bytes.

    Example:

    >>> inputs = keras.Input((8, 8, 3))
    >>> maps = keras.layers.Conv2D(16, 3, use_bias=False, name="conv")(inputs)
    >>> keras_senet.analysis.profile(keras.Model(inputs, maps)).total
    Cost(parameters=432, multiply_adds=15552, activations=576, memory=4032)
    """

    parameters: int = 0
    multiply_adds: int = 0
    activations: int = 0
    memory: int = 0


_FIELDS = [field.name for field in dataclasses.fields(Cost)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerCost(Cost):
    """The cost of one layer.

    Attributes:
        name: name of the layer; `<model>/<layer>` in a nested model.
        kind: class of the layer.
        output_shape: shape of the output with the batch, or a list of shapes.
        counted: False if the multiply-adds of the layer are not known and not counted.
        attention: name of the attention that the layer is or belongs to, `<block>_se`; "" for others.

    Example:

    >>> inputs = keras.Input((8, 8, 3))
    >>> maps = keras.layers.Conv2D(16, 3, use_bias=False, name="conv")(inputs)
    >>> layer = keras_senet.analysis.profile(keras.Model(inputs, maps)).layers[-1]
    >>> layer.name, layer.kind, layer.output_shape, layer.multiply_adds
    ('conv', 'Conv2D', (None, 6, 6, 16), 15552)
    """

    name: str
    kind: str
    output_shape: tuple | list
    counted: bool = True
    attention: str = ""


@dataclasses.dataclass(frozen=True)
class Profile:
    """The cost of a network.

    Attributes:
        layers: costs of the layers, in the order in which they run. A layer that runs more than once has one entry, which
            counts its parameters once.

    Example:

    >>> inputs = keras.Input((8, 8, 3))
    >>> maps = keras.layers.Conv2D(16, 3, use_bias=False, name="conv")(inputs)
    >>> outputs = keras_senet.layers.SqueezeExcite(4, name="conv_se")(maps)
    >>> cost = keras_senet.analysis.profile(keras.Model(inputs, outputs))
    >>> cost.total.parameters, cost.attention.parameters, cost.attention_blocks
    (580, 148, 1)
    """

    layers: tuple[LayerCost, ...]

    @property
    def total(self) -> Cost:
        """The cost of the whole network."""
        return _sum(self.layers)

    @property
    def attention(self) -> Cost:
        """The cost of the attention: of the layers named `<block>_se`, and of SE blocks written as separate layers."""
        return _sum([layer for layer in self.layers if layer.attention])

    @property
    def attention_blocks(self) -> int:
        """The number of layers named `<block>_se`, and of SE blocks written as separate layers."""
        return len({layer.attention for layer in self.layers if layer.attention})


def profile(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> Profile:
    """The parameters, multiply-adds, activations and memory of a model, by layer and in total.

    They are computed from the shapes in the graph of the model, without running it.

    Args:
        model: functional or sequential Keras model. It may contain other models, and use layers more than once.
        input_shape: shape of one image, `(H, W, C)` or `(C, H, W)`, for a model with one input that takes images of any size.

    Returns:
        The `Profile`. A layer with kernels whose multiply-adds are not known, such as a recurrent or a subclassed layer, has
        `counted=False`.

    Raises:
        ValueError: if the model has no graph, or takes images of any size and `input_shape` is not given.

    Source: Hu et al., arXiv 1709.01507, section 4 (what counts as a multiply-add).

    Example:

    >>> cost = keras_senet.analysis.profile(keras_senet.SEResNet20(weights=None))
    >>> cost.total.parameters, cost.total.multiply_adds, cost.attention.parameters
    (272095, 40553056, 2373)
    """
    check_graph(model)
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    if input_shape is not None:
        if len(shapes) != 1 or not _fits(input_shape, shapes[0]):
            raise InputError(f"{model.name!r} takes images of shape {shapes[0]}. Received: input_shape={input_shape}")
        shapes = [tuple(input_shape)]
    if any(None in shape for shape in shapes):
        raise InputError(
            f"The cost depends on the size of the image, and {model.name!r} takes any: give `input_shape`, or build it with one. "
            f"Received: input_shape={input_shape}, and the model's own {model.input_shape}"
        )
    inputs = [keras.KerasTensor((None, *shape), tensor.dtype) for shape, tensor in zip(shapes, model.inputs, strict=True)]
    costs: dict[int, LayerCost] = {}
    blocks = {id(layer): name for name, block in se_blocks(model).items() for layer in block.layers}

    def count(name, layer, *args, **kwargs):
        outputs = layer.compute_output_spec(*args, **kwargs)
        attention = blocks.get(id(layer), name if name.endswith("_se") else "")
        _add(layer, name, args or kwargs, outputs, costs, attention)
        return outputs

    run_through(model, inputs, count)
    return Profile(tuple(costs.values()))


def _fits(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> bool:
    return len(shape) == len(pattern) and all(known in (None, side) for side, known in zip(shape, pattern, strict=True))


def _add(layer, name: str, inputs, outputs, costs: dict[int, LayerCost], attention: str) -> None:
    """Adds one run of a layer, which belongs to this attention, to `costs`."""
    inputs, flat = tree.flatten(inputs), tree.flatten(outputs)
    weights = getattr(layer, "weights", [])  # an operation of keras.ops has none
    multiply_adds = _multiply_adds(layer, inputs, flat[0])
    known = multiply_adds is not None or all(len(weight.shape) < 2 for weight in weights)
    earlier = costs.get(id(layer))  # runs of the same layer
    activations = sum(_elements(tensor) for tensor in flat)
    costs[id(layer)] = LayerCost(
        parameters=sum(math.prod(weight.shape) for weight in getattr(layer, "trainable_weights", [])),
        multiply_adds=(multiply_adds or 0) + (earlier.multiply_adds if earlier else 0),
        activations=activations + (earlier.activations if earlier else 0),
        memory=sum(_elements(tensor) * _bytes(tensor.dtype) for tensor in flat)
        + (earlier.memory if earlier else sum(math.prod(weight.shape) * _bytes(weight.dtype) for weight in weights)),
        name=earlier.name if earlier else name,
        kind=type(layer).__name__,
        output_shape=tree.map_structure(lambda tensor: tensor.shape, outputs),
        counted=known,
        attention=earlier.attention if earlier else attention,
    )


def _multiply_adds(layer, inputs, output) -> int | None:
    if isinstance(layer, FeatureGate):
        # The gates of a symbolic tensor are a network of the layers that compute them.
        images = keras.Input(batch_shape=inputs[0].shape, dtype=inputs[0].dtype)
        return profile(keras.Model(images, layer.gates(images))).total.multiply_adds
    if isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)):
        return _elements(output) * _size(layer.kernel) // layer.kernel.shape[-1]
    if isinstance(layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        return _elements(output) * math.prod(layer.kernel_size)
    if isinstance(layer, (layers.SeparableConv1D, layers.SeparableConv2D)):
        return _elements(output) // layer.filters * (_size(layer.depthwise_kernel) + _size(layer.pointwise_kernel))
    if isinstance(layer, (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)):
        return _elements(inputs[0]) * _size(layer.kernel) // layer.kernel.shape[-1]
    if isinstance(layer, layers.EinsumDense):
        operands, result = layer.equation.split("->")
        summed = [size for label, size in zip(operands.split(",")[1], layer.kernel.shape, strict=True) if label not in result]
        return _elements(output) * math.prod(summed)
    return None


def _elements(tensor) -> int:
    return math.prod(tensor.shape[1:])


def _size(weight) -> int:
    return math.prod(weight.shape)


def _bytes(dtype) -> int:
    return np.dtype(keras.backend.standardize_dtype(dtype)).itemsize  # NumPy knows bfloat16, since Keras imports ml_dtypes


def _sum(costs) -> Cost:
    return Cost(*(sum(getattr(cost, field) for cost in costs) for field in _FIELDS))
