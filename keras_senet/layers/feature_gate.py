"""The contract of SE and its relatives: layers that multiply a feature map by gates that they compute from it."""

import itertools

import keras
import numpy as np
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.data_format import channel_axis, standardize_data_format


def at_least_float32(x):
    """`x`, cast to float32 if its dtype has less precision, so that it can be summed over a whole map."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


class FeatureGate(keras.layers.Layer):
    """Base class of layers that multiply a feature map by gates that they compute from it.

    A subclass implements `build`, `gates` and `deciding_weights`. In return, `keras_senet.gates` reads its gates,
    `keras_senet.add_se` and `keras_senet.remove_se` insert it into trained networks and remove it again, and
    `keras_senet.analysis.profile` knows its cost.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; by default `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`.

    Output shape: same as the input.
    """

    def __init__(self, data_format: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    @property
    def channel_axis(self) -> int:
        """3 or 1."""
        return channel_axis(self.data_format) % 4

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """The axes of height and width."""
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    def known_channels(self, input_shape) -> int:
        """The number of channels in `input_shape`.

        Raises:
            ValueError: if it is None.
        """
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise InputError(
                f"`{type(self).__name__}` needs a known number of channels. Received: input_shape={input_shape} in {self.name!r}"
            )
        return channels

    def known_size(self, inputs) -> tuple:
        """The height and width of a feature map.

        Raises:
            ValueError: if the map is a symbolic Keras tensor of unknown size.
        """
        height, width = (ops.shape(inputs)[axis] for axis in self.spatial_axes)
        if height is None or width is None:
            raise InputError(
                f"The gates of {self.name!r} can be read from a symbolic map only if its height and width are known. Received: a "
                f"map of shape {tuple(inputs.shape)}; build the network with an `input_shape` that has them."
            )
        return height, width

    def part(self, name: str) -> dict:
        """Name and dtype of a layer inside this one.

        The name starts with that of this layer, because `gates` of a symbolic tensor makes it a layer of the user's new model.
        """
        return {"name": f"{self.name}_{name}", "dtype": self.dtype_policy}

    def mean(self, inputs, axis, keepdims: bool = False):
        """The mean along one or more axes, accumulated in at least float32."""
        return ops.mean(at_least_float32(inputs), axis=axis, keepdims=keepdims)

    def gates(self, inputs):
        """The gates by which the layer multiplies its input.

        Args:
            inputs: feature map `(N, H, W, C)`, as for the layer itself. For a symbolic Keras tensor the result is symbolic, so
                `keras.Model(model.inputs, [se.gates(se.input) for se in ...])` reads the gates of a whole network.

        Returns:
            Gates of shape `(N, C)` if they are the same at all positions; otherwise `(N, H, W, C)`, or `(N, H, W, 1)` if they are
            the same for all channels. With `"channels_first"`, C is the second axis.
        """
        raise NotImplementedError

    def deciding_weights(self) -> tuple[list[keras.Variable], list[keras.Variable]]:
        """The weights that are followed by nothing but the gates' activation: those that multiply, and those that are added.

        If all that multiply are zero, the gates do not depend on the image; if the others are zero, too, all gates are equal.
        """
        raise NotImplementedError

    def make_constant(self) -> float:
        """Sets the deciding weights to zero: all gates become one number for every image, and can still learn.

        Returns:
            That number.
        """
        for weight in itertools.chain(*self.deciding_weights()):
            weight.assign(ops.zeros(weight.shape))
        return float(self.constant_gates()[0])

    def constant_gates(self) -> np.ndarray | None:
        """The gates, of shape `(C,)`, if they do not depend on the image; otherwise None."""
        if any(np.any(ops.convert_to_numpy(factor)) for factor in self.deciding_weights()[0]):
            return None
        shape = [1, *(side or 8 for side in self.input.shape[1:])]
        gates = ops.broadcast_to(self.along_the_map(self.gates(ops.zeros(shape, self.compute_dtype))), shape)
        gates = np.moveaxis(ops.convert_to_numpy(ops.cast(gates, "float32")), self.channel_axis, -1)
        return gates.reshape(-1, gates.shape[-1])[0]

    def along_the_map(self, gates):
        """Gates of shape `(N, C)` as `(N, 1, 1, C)`; others unchanged."""
        return ops.expand_dims(gates, self.spatial_axes) if len(gates.shape) == 2 else gates

    def call(self, inputs):
        return inputs * self.along_the_map(self.gates(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class BottleneckGate(FeatureGate):
    """A gate with a bottleneck: fewer hidden units than the feature map has channels.

    A subclass computes the hidden units with a `Dense` layer, `reduce`.

    Args:
        reduction: integer, number of input channels for each hidden unit.
        use_bias: whether the fully connected layers have biases.
        **kwargs: `data_format`, and `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Raises:
        ValueError: if `reduction` is not an integer of at least 1.
    """

    def __init__(self, reduction: int = 16, use_bias: bool = True, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(reduction, int) or reduction < 1:
            raise InputError(f"`reduction` must be an integer of at least 1. Received: reduction={reduction}")
        self.reduction = reduction
        self.use_bias = use_bias

    def reduced(self, channels: int) -> int:
        """The number of hidden units for a number of channels.

        Raises:
            ValueError: if it would be zero.
        """
        if channels < self.reduction:
            raise InputError(
                f"The excitation of {self.name!r} needs at least one hidden unit. Received {channels} channels with "
                f"reduction={self.reduction}; use a reduction of at most {channels}."
            )
        return channels // self.reduction

    def make_constant(self):
        # A hidden unit and its negative are never both off, so half of the hidden units learn, whatever the map.
        kernel = ops.convert_to_numpy(self.reduce.kernel).copy()
        half = kernel.shape[1] // 2
        kernel[:, half : 2 * half] = -kernel[:, :half]
        self.reduce.kernel.assign(kernel)
        return super().make_constant()

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction, "use_bias": self.use_bias}
