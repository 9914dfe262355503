"""Pixel normalization, the first layer of a network that takes pixels."""

import keras


@keras.saving.register_keras_serializable("keras_senet")
class PixelNormalization(keras.layers.Normalization):
    """Normalizes pixels, and stores how an image is cropped and resized before.

    Args:
        crop_ratio: side of the center crop as a share of the shorter side of the image; None for the default of the input size.
        interpolation: interpolation that resizes the crop, "bilinear" or "bicubic".
        **kwargs: arguments of `keras.layers.Normalization`: `axis`, and `mean` and `variance` of pixels in [0, 255].

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `axis=1`; pixels in [0, 255].

    Output shape: same as the input.

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
