"""The inverse of channel pruning, as a Keras layer: channels return to their places among constant ones."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.data_format import channel_axis, standardize_data_format


@keras.saving.register_keras_serializable(package="keras_senet")
class ChannelScatter(keras.layers.Layer):
    """Spreads the channels of a feature map over more channels, fills the others with zeros, and adds a bias to each channel.

    So the pruned branch of a residual unit can be added to a shortcut that has all channels.

    Args:
        indices: output channel of each input channel, in increasing order.
        channels: number of channels of the output.
        data_format: `"channels_last"` or `"channels_first"`; by default `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: `(N, H, W, len(indices))`, or `(N, len(indices), H, W)` with `"channels_first"`.

    Output shape: `(N, H, W, channels)`, or `(N, channels, H, W)`.

    Raises:
        ValueError: if the indices do not increase, are out of range, or are not as many as the input's channels.

    Example:

    >>> keras_senet.layers.ChannelScatter([0, 3], 4)(np.ones((1, 1, 1, 2))).numpy().ravel()
    array([1., 0., 0., 1.], dtype=float32)
    """

    def __init__(self, indices: Sequence[int], channels: int, data_format: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.indices = [int(index) for index in indices]
        if sorted({*self.indices} & {*range(channels)}) != self.indices:
            raise InputError(f"`indices` must increase, from 0 to below channels={channels}. Received: indices={self.indices}")
        self.channels = channels
        self.data_format = standardize_data_format(data_format)
        axis = channel_axis(self.data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={axis: len(self.indices)})

    def build(self, input_shape):
        self.bias = self.add_weight((self.channels,), "zeros", name="bias")

    def call(self, inputs):
        axis = channel_axis(self.data_format)
        widths = [(0, 0)] * 4
        widths[axis] = (0, 1)
        # The last channel of the padded input is zero; every other place takes it.
        source = [len(self.indices)] * self.channels
        for position, index in enumerate(self.indices):
            source[index] = position
        shape = [self.channels if place == axis % 4 else 1 for place in range(4)]
        return ops.take(ops.pad(inputs, widths), source, axis=axis) + ops.reshape(self.bias, shape)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        shape[channel_axis(self.data_format)] = self.channels
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "indices": self.indices, "channels": self.channels, "data_format": self.data_format}
