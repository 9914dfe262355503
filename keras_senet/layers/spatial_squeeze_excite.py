"""Spatial squeeze-and-excitation (sSE) as one Keras layer."""

import keras

from keras_senet.layers.feature_gate import FeatureGate
from keras_senet.layers.grouped_conv2d import GroupedConv2D


@keras.saving.register_keras_serializable(package="keras_senet")
class SpatialSqueezeExcite(FeatureGate):
    """Rescales the positions of a feature map by gates that each depend on the channels at their position.

    Args:
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, or its number of channels is unknown.

    Source: Roy et al., "Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks", arXiv 1803.02579,
    section 2.2; the 1x1 convolution has a bias as in the authors' code.

    Example:

    >>> layer = keras_senet.layers.SpatialSqueezeExcite()
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.gates(x).shape
    (TensorShape([2, 8, 8, 64]), TensorShape([2, 8, 8, 1]))
    """

    def build(self, input_shape):
        self.known_channels(input_shape)
        self.conv = self.part("conv", GroupedConv2D, 1, 1, data_format=self.data_format, activation="sigmoid")
        self.conv.build(input_shape)

    def gates(self, inputs):
        return self.conv(inputs)

    def deciding_weights(self):
        return [self.conv.kernel], [self.conv.bias]
