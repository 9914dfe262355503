"""Efficient channel attention (ECA) as one Keras layer."""

import math

import keras
from keras import ops

from keras_senet.layers.feature_gate import FeatureGate


@keras.saving.register_keras_serializable(package="keras_senet")
class EfficientChannelAttention(FeatureGate):
    """Rescales the channels of a feature map by gates that each depend on the means of a few neighboring channels.

    One convolution along the channels, without bias, replaces the two layers of SE. Its size is `|log2(C) / 2 + 1 / 2|`, made odd
    as in the authors' code: 3 for 8 to 127 channels, 5 for 128 to 2047.

    Args:
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, or its number of channels is unknown.

    Source: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", arXiv 1910.03151,
    sections 3.2.2 and 3.2.3.

    Example:

    >>> layer = keras_senet.layers.EfficientChannelAttention()
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.count_params()
    (TensorShape([2, 8, 8, 64]), 3)
    """

    def build(self, input_shape):
        channels = self.known_channels(input_shape)
        self.conv = self.part(
            "conv",
            keras.layers.Conv1D,
            filters=1,
            kernel_size=int((math.log2(channels) + 1) / 2) | 1,
            padding="same",
            data_format="channels_last",  # its positions are the channels of the map
            activation="sigmoid",
            use_bias=False,
        )
        self.conv.build((None, channels, 1))

    def gates(self, inputs):
        means = self.mean(inputs, self.spatial_axes)
        return ops.squeeze(self.conv(ops.expand_dims(means, -1)), -1)

    def deciding_weights(self):
        return [self.conv.kernel], []
