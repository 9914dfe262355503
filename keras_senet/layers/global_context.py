"""The global context block (GC), fused by scaling, as one Keras layer."""

import keras
from keras import ops

from keras_senet.layers.feature_gate import BottleneckGate, at_least_float32
from keras_senet.layers.grouped_conv2d import GroupedConv2D


@keras.saving.register_keras_serializable(package="keras_senet")
class GlobalContext(BottleneckGate):
    """Rescales the channels of a feature map by gates that it computes from the positions that it attends to.

    The squeeze is an average over the positions, weighted by a 1x1 convolution and a softmax over all positions. The excitation
    is that of SE, with layer normalization.

    Args:
        reduction: integer, number of input channels for each hidden unit of the excitation.
        use_bias: whether the fully connected layers have biases.
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, its number of channels is unknown, or `reduction` is larger than that.

    Source: Cao et al., "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond", arXiv 1904.11492, section 3.3
    and figure 4. The block that the paper proposes adds the result to the map; this is the one that scales the map, from its
    ablation of fusions.

    Example:

    >>> layer = keras_senet.layers.GlobalContext()
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.gates(x).shape
    (TensorShape([2, 8, 8, 64]), TensorShape([2, 64]))
    """

    def build(self, input_shape):
        channels = self.known_channels(input_shape)
        hidden_units = self.reduced(channels)
        dense = {"use_bias": self.use_bias, "kernel_initializer": "he_normal"}
        self.conv = self.part("conv", GroupedConv2D, 1, 1, data_format=self.data_format)
        self.reduce = self.part("reduce", keras.layers.Dense, hidden_units, **dense)
        # A list, because `build` makes a list of a number, and that would be kept as a change.
        self.norm = self.part("norm", keras.layers.LayerNormalization, axis=[-1], epsilon=1e-5)
        self.expand = self.part("expand", keras.layers.Dense, channels, "sigmoid", **dense)
        self.conv.build(input_shape)
        self.reduce.build((None, channels))
        self.norm.build((None, hidden_units))
        self.expand.build((None, hidden_units))
        # `ops.reshape` cannot infer two unknown sizes. The one channel of the logits can stand first or last, and with
        # "channels_last" Keras does not move it.
        self.flat_logits = self.part("flat_logits", keras.layers.Flatten, data_format="channels_last")
        flat = (-1, channels) if self.data_format == "channels_last" else (channels, -1)
        self.flat_map = self.part("flat_map", keras.layers.Reshape, flat)
        for layer in (self.flat_logits, self.flat_map):
            layer.build(input_shape)

    def gates(self, inputs):
        weights = ops.softmax(at_least_float32(self.flat_logits(self.conv(inputs))))
        flat = at_least_float32(self.flat_map(inputs))
        squeezed = ops.einsum("np,npc->nc" if self.data_format == "channels_last" else "np,ncp->nc", weights, flat)
        return self.expand(ops.relu(self.norm(self.reduce(squeezed))))

    def deciding_weights(self):
        return [self.expand.kernel], self.expand.weights[1:]
