"""Upsampling to the size of another map, as a Keras layer."""

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.keras_internals import resized
from keras_senet.layers.data_format import channel_axis, standardize_data_format


@keras.saving.register_keras_serializable(package="keras_senet")
class UpSamplingLike(keras.layers.Layer):
    """Upsamples a map by bilinear interpolation, and then gives it the height and width of another map.

    A network halves 25 rows to 13 or to 12, so twice its rows are one too many or one too few. What is too much is cut off on the
    right and at the bottom, and where something is missing, the last row and column are repeated. So each position keeps its
    place in the image, which it would not if the map was stretched. A map of 1 x 1 is repeated everywhere.

    Args:
        factor: integer, how many times as large the map becomes in both directions before it is cut.
        data_format: `"channels_last"` or `"channels_first"`; by default `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: a list of two maps, `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`: the one to upsample, and the one
    that has the size. Their sides may be unknown. The second one may have other channels; its values do not matter.

    Output shape: that of the second map, with the channels of the first.

    Raises:
        ValueError: if `factor` is not at least 1, or the input is not a list of two maps.

    Example:

    >>> x, like = np.arange(2.0).reshape(1, 1, 2, 1), np.zeros((1, 2, 5, 3))
    >>> keras_senet.layers.UpSamplingLike(2)([x, like]).numpy()[0, ..., 0]
    array([[0.  , 0.25, 0.75, 1.  , 1.  ],
           [0.  , 0.25, 0.75, 1.  , 1.  ]], dtype=float32)
    """

    def __init__(self, factor: int = 1, data_format: str | None = None, **kwargs):
        super().__init__(**kwargs)
        if type(factor) is not int or factor < 1:
            raise InputError(f"`factor` must be an integer of at least 1. Received: factor={factor!r}")
        self.factor = factor
        self.data_format = standardize_data_format(data_format)

    def build(self, input_shape):
        if len(input_shape) != 2 or any(not isinstance(shape, tuple | list) or len(shape) != 4 for shape in input_shape):
            raise InputError(
                f"{self.name!r} takes a list of two maps, the one to upsample and the one that has the size. Received: input "
                f"of shape {input_shape}"
            )

    def call(self, inputs):
        x, like = inputs
        sides = self._sides(ops.shape(like))
        if self._sides(x.shape) == (1, 1):
            return resized(x, sides, self.data_format)
        fits = self._sides(like.shape) == tuple(side and side * self.factor for side in self._sides(x.shape))
        if fits and None not in like.shape[1:]:
            return x if self.factor == 1 else resized(x, sides, self.data_format)
        # Interpolation between a row and its repetition is what it is beyond the last row, so the others stay as they are.
        last = self.data_format == "channels_last"
        one_more = ((0, 1), (0, 1))
        x = ops.pad(x, ((0, 0), *one_more, (0, 0)) if last else ((0, 0), (0, 0), *one_more), "symmetric")
        if self.factor > 1:
            x = resized(x, tuple(side * self.factor for side in self._sides(ops.shape(x))), self.data_format)
        return x[:, : sides[0], : sides[1]] if last else x[:, :, : sides[0], : sides[1]]

    def _sides(self, shape) -> tuple:
        return tuple(shape[1:3] if self.data_format == "channels_last" else shape[2:4])

    def compute_output_shape(self, input_shape):
        x, like = input_shape
        axis = channel_axis(self.data_format)
        shape = list(like)
        shape[0], shape[axis] = x[0], x[axis]
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "data_format": self.data_format}
