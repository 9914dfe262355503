"""Pooling in windows with gaps, which Keras' pooling lacks."""

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.data_format import channel_axis, standardize_data_format

MODES = ("max", "avg")


@keras.saving.register_keras_serializable(package="keras_senet")
class DilatedPooling2D(keras.layers.Layer):
    """Max or average pooling without strides, in windows whose positions are `dilation_rate` apart.

    It takes the place of pooling with strides in a network whose strides are replaced by dilation, as
    `keras_senet.backbone(output_stride=8)` does.

    Args:
        pool_size: positions in a window, vertically and horizontally.
        dilation_rate: distance between the positions of a window, pixels.
        padding: pixels around the map, `((top, bottom), (left, right))`. They have no value: no maximum is one of them, and no
            average counts them.
        mode: "max" or "avg".
        data_format: `"channels_last"` or `"channels_first"`; by default `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`.

    Output shape: `(N, H', W', C)`, or `(N, C, H', W')`, with `H' = H + top + bottom - dilation_rate * (pool_size[0] - 1)`, and
    accordingly `W'`.

    Raises:
        ValueError: if `mode` or `data_format` is unknown.

    Source: Chen et al., "DeepLab", arXiv 1606.00915, section 3.1, for the dilation of layers behind a stride that is left out.

    Example:

    >>> layer = keras_senet.layers.DilatedPooling2D((1, 2), dilation_rate=2)
    >>> layer(np.array([5.0, 4.0, 3.0, 6.0]).reshape(1, 1, 4, 1)).numpy().ravel()
    array([5., 6.], dtype=float32)
    """

    def __init__(
        self,
        pool_size: tuple[int, int],
        dilation_rate: int = 1,
        padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
        mode: str = "max",
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if mode not in MODES:
            raise InputError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
        self.pool_size = tuple(pool_size)
        self.dilation_rate = dilation_rate
        self.padding = tuple(map(tuple, padding))
        self.mode = mode
        self.data_format = standardize_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    @property
    def _spatial_axes(self) -> tuple[int, int]:
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    def call(self, inputs):
        if self.mode == "max":
            return self._reduce(inputs, ops.maximum, -float("inf"))
        total = self._reduce(inputs, ops.add, 0)
        if not any(map(any, self.padding)):
            return total / (self.pool_size[0] * self.pool_size[1])
        one_channel = inputs[..., :1] if channel_axis(self.data_format) == -1 else inputs[:, :1]
        return total / self._reduce(ops.ones_like(one_channel), ops.add, 0)

    def _reduce(self, x, function, outside: float):
        """Joins the values of each window by a function of two, one axis after the other."""
        pads = dict(zip(self._spatial_axes, self.padding, strict=True))
        x = ops.pad(x, [pads.get(axis, (0, 0)) for axis in range(4)], constant_values=outside)
        for axis, size in zip(self._spatial_axes, self.pool_size, strict=True):
            reach = self.dilation_rate * (size - 1)
            # One position of all windows at a time. The ends count from the right, since the size of the map may be unknown.
            bounds = [(start, (start - reach) or None) for start in range(0, reach + 1, self.dilation_rate)]
            parts = [x[(*[slice(None)] * axis, slice(*each))] for each in bounds]
            x = parts[0]
            for part in parts[1:]:
                x = function(x, part)
        return x

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis, size, padding in zip(self._spatial_axes, self.pool_size, self.padding, strict=True):
            if shape[axis] is not None:
                shape[axis] += sum(padding) - self.dilation_rate * (size - 1)
        return tuple(shape)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("pool_size", "dilation_rate", "padding", "mode", "data_format")}
        return super().get_config() | own
