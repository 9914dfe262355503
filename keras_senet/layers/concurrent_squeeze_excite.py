"""Concurrent spatial and channel squeeze-and-excitation (scSE) as one Keras layer."""

import keras
from keras import ops

from keras_senet.layers.feature_gate import BottleneckGate
from keras_senet.layers.spatial_squeeze_excite import SpatialSqueezeExcite
from keras_senet.layers.squeeze_excite import SqueezeExcite


@keras.saving.register_keras_serializable(package="keras_senet")
class ConcurrentSqueezeExcite(BottleneckGate):
    """Adds a feature map with rescaled channels, by SE, to the same map with rescaled positions, by sSE.

    Args:
        reduction: integer, number of input channels for each hidden unit of the excitation; 2 in the paper.
        use_bias: whether the fully connected layers have biases.
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, its number of channels is unknown, or `reduction` is larger than that.

    Source: Roy et al., "Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks", arXiv 1803.02579,
    section 2.3.

    Example:

    >>> layer = keras_senet.layers.ConcurrentSqueezeExcite(reduction=2)
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.count_params()
    (TensorShape([2, 8, 8, 64]), 4257)
    """

    def build(self, input_shape):
        channel = {"use_bias": self.use_bias, "data_format": self.data_format}
        self.channel = self.part("channel", SqueezeExcite, self.reduction, **channel)
        self.spatial = self.part("spatial", SpatialSqueezeExcite, data_format=self.data_format)
        self.channel.build(input_shape)
        self.spatial.build(input_shape)

    @property
    def reduce(self) -> keras.layers.Dense:
        return self.channel.reduce

    def gates(self, inputs):
        return ops.add(self.along_the_map(self.channel.gates(inputs)), self.spatial.gates(inputs))

    def deciding_weights(self):
        both = zip(self.channel.deciding_weights(), self.spatial.deciding_weights(), strict=True)
        return tuple(channel + spatial for channel, spatial in both)
