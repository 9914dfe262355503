"""The first layer of a network that takes pixels."""

import keras


@keras.saving.register_keras_serializable("keras_senet")
class PixelNormalization(keras.layers.Normalization):
    """Normalizes pixels, and remembers how an image is cut and resized to become them.

    Args:
        crop_ratio: side of the centre square to look at as a share of the image's shorter side; None to go by the size that the
            network takes.
        interpolation: how that square is resized, "bilinear" or "bicubic".
        **kwargs: those of `keras.layers.Normalization`: `axis`, `mean` and `variance` of pixels in [0, 255].

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `axis=1`; pixels in [0, 255].

    Output shape: that of the input.

    Example:

    >>> layer = keras_senet.layers.PixelNormalization(crop_ratio=0.95, mean=[127.5] * 3, variance=[127.5**2] * 3)
    >>> float(layer(np.full((1, 2, 2, 3), 255.0)).numpy().max())
    1.0
    """

    def __init__(self, crop_ratio: float | None = None, interpolation: str = "bilinear", **kwargs):
        super().__init__(**kwargs)
        self.crop_ratio = crop_ratio
        self.interpolation = interpolation

    def get_config(self):
        return super().get_config() | {"crop_ratio": self.crop_ratio, "interpolation": self.interpolation}
