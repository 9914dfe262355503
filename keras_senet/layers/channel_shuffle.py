"""The channel shuffle of ShuffleNet as a Keras layer."""

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.data_format import channel_axis, standardize_data_format


@keras.saving.register_keras_serializable(package="keras_senet")
class ChannelShuffle(keras.layers.Layer):
    """Interleaves the channels of groups, so that each group of the next convolution sees channels of every group.

    Channel `i` of group `g` becomes channel `i * groups + g`.

    Args:
        groups: integer, number of groups.
        data_format: `"channels_last"` or `"channels_first"`; by default `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, or `groups` does not divide its number of channels.

    Source: Zhang et al., "ShuffleNet", arXiv 1707.01083, section 3.1 and figure 1.

    Example:

    >>> keras_senet.layers.ChannelShuffle(2)(np.arange(6.0).reshape(1, 1, 1, 6)).numpy().ravel()
    array([0., 3., 1., 4., 2., 5.], dtype=float32)
    """

    def __init__(self, groups: int, data_format: str | None = None, **kwargs):
        super().__init__(**kwargs)
        if groups < 1:
            raise InputError(f"`groups` must be at least 1. Received: groups={groups}")
        self.groups = groups
        self.data_format = standardize_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = input_shape[channel_axis(self.data_format)]
        if channels is None or channels % self.groups:
            raise InputError(
                f"The groups of {self.name!r} must divide its channels: choose other groups or widths. Received: "
                f"groups={self.groups}, {channels} channels."
            )

    def call(self, inputs):
        shape = ops.shape(inputs)
        if self.data_format == "channels_last":
            grouped = ops.reshape(inputs, (*shape[:3], self.groups, shape[3] // self.groups))
            return ops.reshape(ops.swapaxes(grouped, 3, 4), shape)
        grouped = ops.reshape(inputs, (shape[0], self.groups, shape[1] // self.groups, *shape[2:]))
        return ops.reshape(ops.swapaxes(grouped, 1, 2), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "data_format": self.data_format}
