"""The convolutional block attention module (CBAM) as one Keras layer."""

import keras
from keras import ops

from keras_senet.layers.feature_gate import BottleneckGate
from keras_senet.layers.grouped_conv2d import GroupedConv2D


@keras.saving.register_keras_serializable(package="keras_senet")
class ConvolutionalBlockAttention(BottleneckGate):
    """Rescales the channels of a feature map, then its positions.

    The gates of the channels are those of SE, from the sum of two excitations: of the means and of the maxima. The gates of the
    positions come from a 7x7 convolution of two maps: the mean and the maximum over the channels.

    Args:
        reduction: integer, number of input channels for each hidden unit of the excitation.
        use_bias: whether the fully connected layers have biases.
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, its number of channels is unknown, or `reduction` is larger than that.

    Source: Woo et al., "CBAM: Convolutional Block Attention Module", arXiv 1807.06521, section 3. The biases, and the batch
    normalization after the 7x7 convolution, which the paper does not mention, are as in the authors' code.

    Example:

    >>> layer = keras_senet.layers.ConvolutionalBlockAttention()
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.gates(x).shape
    (TensorShape([2, 8, 8, 64]), TensorShape([2, 8, 8, 64]))
    """

    def build(self, input_shape):
        channels = self.known_channels(input_shape)
        hidden_units = self.reduced(channels)
        dense = {"use_bias": self.use_bias, "kernel_initializer": "he_normal"}
        self.reduce = self.part("reduce", keras.layers.Dense, hidden_units, "relu", **dense)
        self.expand = self.part("expand", keras.layers.Dense, channels, **dense)
        self.conv = self.part("conv", GroupedConv2D, 1, 7, padding="same", data_format=self.data_format, use_bias=False)
        self.norm = self.part("norm", keras.layers.BatchNormalization, self.channel_axis, epsilon=1e-5)
        self.reduce.build((None, channels))
        self.expand.build((None, hidden_units))
        two_maps, one_map = ([count if axis == self.channel_axis else None for axis in range(4)] for count in (2, 1))
        self.conv.build(two_maps)
        self.norm.build(one_map)

    def gates(self, inputs):
        summaries = self.mean(inputs, self.spatial_axes), ops.max(inputs, axis=self.spatial_axes)
        channel_gates = self.along_the_map(ops.sigmoid(sum(self.expand(self.reduce(summary)) for summary in summaries)))
        inputs = ops.multiply(inputs, channel_gates)
        mean, largest = self.mean(inputs, self.channel_axis, keepdims=True), ops.max(inputs, self.channel_axis, keepdims=True)
        maps = ops.concatenate([ops.cast(mean, largest.dtype), largest], axis=self.channel_axis)
        return ops.multiply(channel_gates, ops.sigmoid(self.norm(self.conv(maps))))

    def deciding_weights(self):
        return [self.expand.kernel, self.norm.gamma], [*self.expand.weights[1:], self.norm.beta]
