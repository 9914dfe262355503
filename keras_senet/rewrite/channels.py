"""Which weights decide the scale of a feature map's channels: those that make them, and those that read them."""

from collections.abc import Collection

import keras
import numpy as np
from keras import layers

from keras_senet.layers import GroupedConv2D
from keras_senet.rewrite.graph import Graph

# In all this a layer is of the very class that is named: one derived from it may compute something else of the same weights.

# Whatever positive factor a channel of their input has, their output has, too.
_KEEP_THE_SCALE = (
    layers.AveragePooling2D,
    layers.Cropping2D,
    layers.Dropout,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.LeakyReLU,
    layers.MaxPooling2D,
    layers.SpatialDropout2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
)

_CONVOLUTIONS = (layers.Conv2D, GroupedConv2D)
_NORMALIZATIONS = (layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization)


class Scales:
    """The weights of a model, in which feature maps can be given another scale.

    Args:
        graph: the model's graph.
        gone: names of layers that will be taken out.

    Attributes:
        changed: by the id of a variable, its new value. The model itself stays as it is.
    """

    def __init__(self, graph: Graph, gone: Collection[str] = ()):
        self.graph = graph
        self.gone = gone
        self.changed: dict[int, np.ndarray] = {}

    def weights(self, layer: keras.layers.Layer) -> list[np.ndarray]:
        """All weights of a layer, the changed ones and the others."""
        return [self._value(weight) for weight in layer.weights]

    def scale_output(self, layer: keras.layers.Layer | None, factors: np.ndarray) -> bool:
        """Multiplies what a layer puts out, by weights of its own or of those before it.

        Args:
            layer: any layer; None gives False.
            factors: one positive number for each channel.

        Returns:
            Whether there are weights that do this and nothing else; otherwise nothing is changed.
        """
        found = layer and all(factors > 0) and self._before(layer, channel_axis(self.graph, layer), factors)
        for weight, part in found or ():
            value = self._value(weight)
            self.changed[id(weight)] = (value.reshape(-1, part.size) * part).astype(value.dtype).reshape(value.shape)
        return bool(found)

    def scale_input_of_readers(self, layer: keras.layers.Layer, factors: np.ndarray) -> bool:
        """Multiplies what all readers of a layer's output make of it, by weights behind it. Arguments and result as above."""
        found = all(factors > 0) and self._behind(layer, channel_axis(self.graph, layer))
        for weight in found or ():
            value = self._value(weight)
            self.changed[id(weight)] = (value * factors[:, np.newaxis]).astype(value.dtype)
        return bool(found)

    def _value(self, weight: keras.Variable) -> np.ndarray:
        return self.changed.get(id(weight), keras.ops.convert_to_numpy(weight))

    def _passes_on(self, layer) -> bool:
        return layer.name in self.gone or keeps_the_scale(layer)

    def _before(self, layer, axis: int, factors: np.ndarray) -> list[tuple[keras.Variable, np.ndarray]] | None:
        """The weights and the factors for their channels, the last axis or the last two; None if there are none."""
        if (weights := _output_weights(layer, axis)) is not None:
            return [(weight, factors) for weight in weights]
        shapes = [tensor.shape for tensor in self.graph.inputs[layer.name]]
        if type(layer) is layers.Concatenate and layer.axis % 4 == axis:
            ends = np.cumsum([shape[axis] for shape in shapes])
            parts = np.split(factors, ends[:-1])
        elif type(layer) is layers.Add and len({*shapes}) == 1:
            parts = [factors] * len(shapes)
        elif self._passes_on(layer):
            parts = [factors]
        else:
            return None
        found = []
        for index, part in enumerate(parts):
            producer = self.graph.sole_producer(layer, index)
            weights = producer and self._before(producer, axis, part)
            if not weights:
                return None
            found += weights
        return found

    def _behind(self, layer, axis: int) -> list[keras.Variable] | None:
        readers = self.graph.readers(layer)
        if not readers:
            return None
        found = []
        for reader in readers:
            weight = _input_weight(reader, axis, len(self.graph.inputs[reader.name][0].shape))
            weights = [weight] if weight is not None else self._passes_on(reader) and self._behind(reader, axis)
            if not weights:
                return None
            found += weights
        return found


def channel_axis(graph: Graph, layer: keras.layers.Layer) -> int:
    """The axis of the channels in what a layer puts out: 3 or 1, as the nearest layer before it says that has a data format."""
    while layer is not None:
        if data_format := getattr(layer, "data_format", None):
            return 1 if data_format == "channels_first" else 3
        layer = graph.producer(layer)
    return 1 if keras.config.image_data_format() == "channels_first" else 3


def _is_homogeneous(activation) -> bool:
    return activation in (keras.activations.linear, keras.activations.relu)


def keeps_the_scale(layer: keras.layers.Layer) -> bool:
    """Whether a channel that it reads with another positive factor, or with zero, comes out of it with the same factor."""
    if type(layer) is layers.ReLU:
        return layer.max_value is None and layer.threshold == 0
    if type(layer) is layers.Activation:
        return _is_homogeneous(layer.activation)
    return type(layer) in _KEEP_THE_SCALE


def mixes_channels(layer: keras.layers.Layer) -> bool:
    """Whether it is a convolution whose kernel has a part for each pair of a channel that it reads and one that it makes."""
    return type(layer) in _CONVOLUTIONS and layer.groups == 1 and _is_plain(layer, layer.kernel)


def _output_weights(layer, axis: int) -> list[keras.Variable] | None:
    """The factors and offsets of each channel that a layer puts out; None if it does not have both, or not for each channel."""
    kind = type(layer)
    if kind is layers.SeparableConv2D:
        kernel, offset = layer.pointwise_kernel, layer.bias
    elif kind in (*_CONVOLUTIONS, layers.DepthwiseConv2D):
        kernel, offset = layer.kernel, layer.bias
    elif kind in _NORMALIZATIONS or kind.__name__ == "LayerScale":  # ConvNeXt's, which Keras does not show
        kernel, offset = layer.gamma, getattr(layer, "beta", None)
        if list(np.ravel(getattr(layer, "axis", -1)) % 4) != [axis]:
            return None
    else:
        return None
    if not _is_plain(layer, kernel) or not _is_homogeneous(getattr(layer, "activation", keras.activations.linear)):
        return None
    return [weight for weight in (kernel, offset) if weight is not None]


def _input_weight(layer, axis: int, rank: int) -> keras.Variable | None:
    """The kernel with the channels that a layer reads from a tensor of that rank as its last axis but one, if it has one."""
    kind = type(layer)
    if kind is layers.SeparableConv2D:
        kernel = layer.depthwise_kernel
    elif kind is layers.Dense:
        kernel = layer.kernel if axis == 3 or rank == 2 else None
    else:
        kernel = layer.kernel if kind is layers.DepthwiseConv2D or mixes_channels(layer) else None
    return kernel if _is_plain(layer, kernel) else None


def _is_plain(layer: keras.layers.Layer, kernel) -> bool:
    """Whether the output is proportional to `kernel`: with LoRA it is a part of a sum, after quantization integers."""
    return isinstance(kernel, keras.Variable) and layer.quantization_mode is None
