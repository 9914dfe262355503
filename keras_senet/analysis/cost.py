"""The cost of a network, layer by layer, read from its graph alone."""

import dataclasses
import math

import keras
import numpy as np
from keras import layers, tree

from keras_senet.errors import InputError
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.graph import check_graph, run_through


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network, or a part of it, costs for one image.

    Attributes:
        parameters: number of trainable weights; the moving statistics of batch normalization, and frozen layers, do not count.
        multiply_adds: of convolutions and fully connected layers. As in the paper's tables nothing else counts: no normalization,
            activation or pooling, and not the products with the gates.
        activations: number of values that the layers output.
        memory: bytes of all weights and activations.
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
        name: its name; in a nested model after that model's name and a slash.
        kind: its class.
        output_shape: shape of its output with the batch, or a list of shapes.
        counted: False for a layer whose multiply-adds are not known: they are left out.
    """

    name: str
    kind: str
    output_shape: tuple | list
    counted: bool = True


@dataclasses.dataclass(frozen=True)
class Profile:
    """The cost of a network.

    Attributes:
        layers: the costs of its layers, in the order in which they run. A layer that runs more than once has one entry, with
            its parameters counted once.
    """

    layers: tuple[LayerCost, ...]

    @property
    def total(self) -> Cost:
        """The cost of the whole network."""
        return _sum(self.layers)

    @property
    def attention(self) -> Cost:
        """The part of it that the attention adds: the layers named `<block>_se`."""
        return _sum([layer for layer in self.layers if layer.name.endswith("_se")])


def profile(model: keras.Model, input_shape: tuple[int, ...] | None = None) -> Profile:
    """The parameters, multiply-adds, activations and memory of a model, by layer and in total.

    They are computed from the shapes in the model's graph; nothing is run.

    Args:
        model: any functional or sequential Keras model. It may hold other models and use layers more than once.
        input_shape: shape of one image, `(H, W, C)` or `(C, H, W)`, for a model with one input that takes images of any size.

    Returns:
        The `Profile`. Where a layer has kernels whose multiply-adds are not known (a recurrent or a subclassed layer), its entry
        says `counted=False`.

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
    found: dict[int, LayerCost] = {}

    def count(name, layer, *args, **kwargs):
        outputs = layer.compute_output_spec(*args, **kwargs)
        _add(layer, name, args or kwargs, outputs, found)
        return outputs

    run_through(model, inputs, count)
    return Profile(tuple(found.values()))


def _fits(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> bool:
    return len(shape) == len(pattern) and all(known in (None, side) for side, known in zip(shape, pattern, strict=True))


def _add(layer, name: str, inputs, outputs, found: dict[int, LayerCost]) -> None:
    inputs, flat = tree.flatten(inputs), tree.flatten(outputs)
    weights = getattr(layer, "weights", [])  # an operation of keras.ops has none
    multiply_adds = _multiply_adds(layer, inputs, flat[0])
    known = multiply_adds is not None or all(len(weight.shape) < 2 for weight in weights)
    again = found.get(id(layer))
    activations = sum(_elements(tensor) for tensor in flat)
    found[id(layer)] = LayerCost(
        parameters=sum(math.prod(weight.shape) for weight in getattr(layer, "trainable_weights", [])),
        multiply_adds=(multiply_adds or 0) + (again.multiply_adds if again else 0),
        activations=activations + (again.activations if again else 0),
        memory=sum(_elements(tensor) * _bytes(tensor.dtype) for tensor in flat)
        + (again.memory if again else sum(math.prod(weight.shape) * _bytes(weight.dtype) for weight in weights)),
        name=again.name if again else name,
        kind=type(layer).__name__,
        output_shape=tree.map_structure(lambda tensor: tensor.shape, outputs),
        counted=known,
    )


def _multiply_adds(layer, inputs, output) -> int | None:
    if isinstance(layer, FeatureGate):
        # On a symbolic tensor, the layers that its gates are made of are a network.
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
    return np.dtype(keras.backend.standardize_dtype(dtype)).itemsize  # Keras has taught NumPy bfloat16


def _sum(costs) -> Cost:
    return Cost(*(sum(getattr(cost, field) for cost in costs) for field in _FIELDS))
