"""Which weights set the scale of a feature map's channels: those that produce them, and those that consume them."""

from collections.abc import Collection

import keras
import numpy as np
from keras import layers

from keras_senet.layers import BatchNormalization, GroupedConv2D
from keras_senet.layers.data_format import channel_axis
from keras_senet.rewrite.graph import Graph

# We test `type(layer) is C`, not isinstance: a subclass may use the same weights differently.

# Positively homogeneous in each channel: f(a * x) = a * f(x) for a > 0.
_HOMOGENEOUS = (
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
BATCH_NORMALIZATIONS = (layers.BatchNormalization, BatchNormalization)
_NORMALIZATIONS = (*BATCH_NORMALIZATIONS, layers.GroupNormalization, layers.LayerNormalization)


class Scales:
    """New values for the weights of a model, by which its feature maps get another scale.

    Args:
        graph: the model's graph.
        removed: names of layers that will be taken out.

    Attributes:
        changed: by the id of a variable, its new value. The model itself stays as it is.
    """

    def __init__(self, graph: Graph, removed: Collection[str] = ()):
        self.graph = graph
        self.removed = removed
        self.changed: dict[int, np.ndarray] = {}

    def weights(self, layer: keras.layers.Layer) -> list[np.ndarray]:
        """All weights of a layer, changed or not."""
        return [self._value(weight) for weight in layer.weights]

    def scale_output(self, layer: keras.layers.Layer | None, factors: np.ndarray) -> bool:
        """Multiplies the output of a layer, through its own weights or those of layers before it.

        Args:
            layer: any layer; None gives False.
            factors: a number for each channel. Unless all are positive, the result is False.

        Returns:
            Whether there are weights that do this and nothing else; otherwise nothing is changed.
        """
        weights = layer and all(factors > 0) and self._producing(layer, output_channel_axis(self.graph, layer), factors)
        for weight, part in weights or ():
            value = self._value(weight)
            self.changed[id(weight)] = (value.reshape(-1, part.size) * part).astype(value.dtype).reshape(value.shape)
        return bool(weights)

    def scale_consumers(self, layer: keras.layers.Layer, factors: np.ndarray) -> bool:
        """Multiplies what the consumers of a layer's output get, through their own weights. Arguments and result as above."""
        weights = all(factors > 0) and self._consuming(layer, output_channel_axis(self.graph, layer))
        for weight in weights or ():
            value = self._value(weight)
            self.changed[id(weight)] = (value * factors[:, np.newaxis]).astype(value.dtype)
        return bool(weights)

    def _value(self, weight: keras.Variable) -> np.ndarray:
        return self.changed.get(id(weight), keras.ops.convert_to_numpy(weight))

    def _passes_on(self, layer) -> bool:
        return layer.name in self.removed or keeps_the_scale(layer)

    def _producing(self, layer, axis: int, factors: np.ndarray) -> list[tuple[keras.Variable, np.ndarray]] | None:
        """Weights with factors for their channels, which are the last axis or the last two; None if there are no such weights."""
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
        all_weights = []
        for index, part in enumerate(parts):
            producer = self.graph.sole_producer(layer, index)
            weights = producer and self._producing(producer, axis, part)
            if not weights:
                return None
            all_weights += weights
        return all_weights

    def _consuming(self, layer, axis: int) -> list[keras.Variable] | None:
        consumers = self.graph.consumers(layer)
        if not consumers:
            return None
        all_weights = []
        for consumer in consumers:
            weight = _input_weight(consumer, axis, len(self.graph.inputs[consumer.name][0].shape))
            weights = [weight] if weight is not None else self._passes_on(consumer) and self._consuming(consumer, axis)
            if not weights:
                return None
            all_weights += weights
        return all_weights


def output_channel_axis(graph: Graph, layer: keras.layers.Layer) -> int:
    """The axis of the channels in the output of a layer, 3 or 1, as the nearest layer with a data format before it says."""
    while layer is not None:
        if data_format := getattr(layer, "data_format", None):
            return channel_axis(data_format) % 4
        layer = graph.producer(layer)
    return channel_axis() % 4


def _is_homogeneous(activation) -> bool:
    return activation in (keras.activations.linear, keras.activations.relu)


def keeps_the_scale(layer: keras.layers.Layer) -> bool:
    """Whether a positive factor of a channel, or zero, passes through the layer unchanged."""
    if type(layer) is layers.ReLU:
        return layer.max_value is None and layer.threshold == 0
    if type(layer) is layers.Activation:
        return _is_homogeneous(layer.activation)
    return type(layer) in _HOMOGENEOUS


def mixes_channels(layer: keras.layers.Layer) -> bool:
    """Whether it is a convolution without groups, whose kernel has weights for each pair of an input and an output channel."""
    return type(layer) in _CONVOLUTIONS and layer.groups == 1 and _is_plain(layer, layer.kernel)


def _output_weights(layer, axis: int) -> list[keras.Variable] | None:
    """The weights that scale and shift each output channel of a layer; None unless there are such for each channel."""
    kind = type(layer)
    if kind is layers.SeparableConv2D:
        kernel, offset = layer.pointwise_kernel, layer.bias
    elif kind in (*_CONVOLUTIONS, layers.DepthwiseConv2D):
        kernel, offset = layer.kernel, layer.bias
    elif kind in _NORMALIZATIONS or kind.__name__ == "LayerScale":  # ConvNeXt's, which is not public
        kernel, offset = layer.gamma, getattr(layer, "beta", None)
        if list(np.ravel(getattr(layer, "axis", -1)) % 4) != [axis]:
            return None
    else:
        return None
    if not _is_plain(layer, kernel) or not _is_homogeneous(getattr(layer, "activation", keras.activations.linear)):
        return None
    return [weight for weight in (kernel, offset) if weight is not None]


def _input_weight(layer, axis: int, rank: int) -> keras.Variable | None:
    """The kernel of a layer whose next-to-last axis is the channels of an input of that rank; None if there is none."""
    kind = type(layer)
    if kind is layers.SeparableConv2D:
        kernel = layer.depthwise_kernel
    elif kind is layers.Dense:
        kernel = layer.kernel if axis == 3 or rank == 2 else None
    else:
        kernel = layer.kernel if kind is layers.DepthwiseConv2D or mixes_channels(layer) else None
    return kernel if _is_plain(layer, kernel) else None


def _is_plain(layer: keras.layers.Layer, kernel) -> bool:
    """Whether the output is proportional to `kernel`. With LoRA that is one term of a sum; after quantization it is integers."""
    return isinstance(kernel, keras.Variable) and layer.quantization_mode is None
