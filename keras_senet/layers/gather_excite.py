"""Gather-excite with parameters (GE-theta) as one Keras layer."""

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.feature_gate import FeatureGate

EXTENTS = (None, 2, 4, 8)


@keras.saving.register_keras_serializable(package="keras_senet")
class GatherExcite(FeatureGate):
    """Rescales each value of a feature map by a gate that it computes from the surrounding values of the same channel.

    Gather: depthwise convolutions, each with batch normalization, and ReLUs between them. Excite: nearest-neighbor interpolation
    of the gates to the size of the map.

    Args:
        extent: integer, height and width of the field that shares a gate: 2, 4 or 8, gathered by 3x3 convolutions of stride 2; or
            None for the whole map, gathered by one convolution of its size.
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown if `extent` is a number.

    Output shape: same as the input.

    Raises:
        ValueError: if `extent` is another number, the input does not have rank 4, its number of channels is unknown, or `extent`
            is None and the height or width is unknown.

    Source: Hu et al., "Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks", arXiv 1810.12348, sections 2
    and 3.2 (GE-theta).

    Example:

    >>> layer = keras_senet.layers.GatherExcite(extent=4)
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> y, gates = layer(x), layer.gates(x)
    >>> gates.shape, bool(np.all(gates[:, :4, :4] == gates[:, :1, :1]))
    (TensorShape([2, 8, 8, 64]), True)
    """

    def __init__(self, extent: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if extent not in EXTENTS:
            raise InputError(f"`extent` must be one of {EXTENTS}. Received: extent={extent!r}")
        self.extent = extent

    def build(self, input_shape):
        self.known_channels(input_shape)
        size = tuple(input_shape[axis] for axis in self.spatial_axes)
        if self.extent is None and None in size:
            raise InputError(
                f"Gathering from the whole map needs its height and width. Received: input_shape={input_shape} in {self.name!r}; "
                "build the network with an `input_shape` that has them, or give `extent`, as "
                "attention=functools.partial(keras_senet.layers.GatherExcite, extent=8)."
            )
        kernel_size, strides, count = (size, 1, 1) if self.extent is None else (3, 2, self.extent.bit_length() - 1)
        conv = {"depthwise_initializer": "he_normal", "use_bias": False, "data_format": self.data_format}
        self.convs, self.norms = [], []
        for number in range(1, count + 1):
            self.convs.append(self.part(f"conv{number}", keras.layers.DepthwiseConv2D, kernel_size, strides, **conv))
            norm = {"axis": self.channel_axis, "momentum": 0.9, "epsilon": 1e-5}
            self.norms.append(self.part(f"norm{number}", keras.layers.BatchNormalization, **norm))
        # Padding "same" would pad a map of even size on the right only.
        self.pad = self.part("pad", keras.layers.ZeroPadding2D, 0 if self.extent is None else 1, self.data_format)
        for layer in (*self.convs, *self.norms, self.pad):
            layer.build(input_shape)

    def gates(self, inputs):
        x = self.norms[0](self.convs[0](self.pad(inputs)))
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            x = norm(conv(self.pad(ops.relu(x))))
        gates = ops.sigmoid(x)
        return ops.squeeze(gates, self.spatial_axes) if self.extent is None else self._spread(gates, *self.known_size(inputs))

    def _spread(self, gates, height: int, width: int):
        """Repeats each gate over its field, by a product with ones, because XNNPACK supports neither repeating nor resizing."""
        within = self.spatial_axes[0] + 1, self.spatial_axes[1] + 2
        ones = ops.ones([self.extent if axis in within else 1 for axis in range(6)], gates.dtype)
        shape = [-1, *ops.shape(gates)[1:]]
        for axis in self.spatial_axes:
            shape[axis] *= self.extent
        gates = ops.reshape(ops.expand_dims(gates, within) * ones, shape)
        return gates[:, :height, :width] if self.data_format == "channels_last" else gates[:, :, :height, :width]

    def deciding_weights(self):
        return [self.norms[-1].gamma], [self.norms[-1].beta]

    def get_config(self):
        return {**super().get_config(), "extent": self.extent}
