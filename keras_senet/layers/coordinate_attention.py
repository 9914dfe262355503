"""Coordinate attention as one Keras layer."""

import keras
from keras import ops

from keras_senet.layers.feature_gate import BottleneckGate


@keras.saving.register_keras_serializable(package="keras_senet")
class CoordinateAttention(BottleneckGate):
    """Rescales the rows and the columns of each channel of a feature map.

    The means of all rows and of all columns go through one bottleneck. From it, each row and each column gets one gate for each
    channel. A value is multiplied by the gate of its row and by the gate of its column.

    Args:
        reduction: integer, number of input channels for each hidden unit; there are at least 8 hidden units. The default is that
            of the authors' code; the constructors of networks pass their own `reduction`.
        use_bias: whether the fully connected layers have biases.
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, or its number of channels is unknown.

    Source: Hou et al., "Coordinate Attention for Efficient Mobile Network Design", arXiv 2103.02907, section 3.2.

    Example:

    >>> layer = keras_senet.layers.CoordinateAttention()
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.gates(x).shape
    (TensorShape([2, 8, 8, 64]), TensorShape([2, 8, 8, 64]))
    """

    def __init__(self, reduction: int = 32, use_bias: bool = True, **kwargs):
        super().__init__(reduction, use_bias, **kwargs)

    def build(self, input_shape):
        channels = self.known_channels(input_shape)
        hidden_units = max(8, channels // self.reduction)
        dense = {"use_bias": self.use_bias}
        self.reduce = self.part("reduce", keras.layers.Dense, hidden_units, kernel_initializer="he_normal", **dense)
        self.norm = self.part("norm", keras.layers.BatchNormalization, momentum=0.9, epsilon=1e-5)
        self.rows = self.part("rows", keras.layers.Dense, channels, "sigmoid", **dense)
        self.columns = self.part("columns", keras.layers.Dense, channels, "sigmoid", **dense)
        self.reduce.build((None, None, channels))
        for layer in (self.norm, self.rows, self.columns):
            layer.build((None, None, hidden_units))

    def gates(self, inputs):
        height, _ = self.known_size(inputs)
        rows, columns = (self.mean(inputs, axis) for axis in reversed(self.spatial_axes))
        if self.data_format == "channels_first":
            rows, columns = ops.swapaxes(rows, 1, 2), ops.swapaxes(columns, 1, 2)
        hidden = ops.hard_swish(self.norm(self.reduce(ops.concatenate([rows, columns], axis=1))))
        rows, columns = self.rows(hidden[:, :height]), self.columns(hidden[:, height:])
        gates = ops.multiply(ops.expand_dims(rows, 2), ops.expand_dims(columns, 1))
        return gates if self.data_format == "channels_last" else ops.moveaxis(gates, -1, 1)

    def deciding_weights(self):
        return [self.rows.kernel, self.columns.kernel], [*self.rows.weights[1:], *self.columns.weights[1:]]
