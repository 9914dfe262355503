"""Pixel normalization, the first layer of a network that takes pixels."""

from collections.abc import Sequence

import keras


@keras.saving.register_keras_serializable("keras_senet")
class PixelNormalization(keras.layers.Normalization):
    """Normalizes pixels, and keeps what a network says about itself: how an image is cropped and resized, and its classes.

    Args:
        crop_ratio: side of the center crop as a share of the shorter side of the image; None for the default of the input size.
        interpolation: interpolation that resizes the crop, "bilinear" or "bicubic".
        class_names: names of the network's classes, in the order of its outputs; empty if they are not known.
        thresholds: probability that each class must reach to be one of the labels of an image, for networks that give an image
            several; else empty.
        **kwargs: arguments of `keras.layers.Normalization`: `axis`, and `mean` and `variance` of pixels in [0, 255].

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `axis=1`; pixels in [0, 255].

    Output shape: same as the input.

    Example:

    >>> layer = keras_senet.layers.PixelNormalization(crop_ratio=0.95, mean=[127.5] * 3, variance=[127.5**2] * 3)
    >>> float(layer(np.full((1, 2, 2, 3), 255.0)).numpy().max())
    1.0
    """

    def __init__(
        self,
        crop_ratio: float | None = None,
        interpolation: str = "bilinear",
        class_names: Sequence[str] = (),
        thresholds: Sequence[float] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.crop_ratio = crop_ratio
        self.interpolation = interpolation
        self.class_names = tuple(class_names)
        self.thresholds = tuple(thresholds)

    def get_config(self):
        own = {
            "crop_ratio": self.crop_ratio,
            "interpolation": self.interpolation,
            "class_names": list(self.class_names),
            "thresholds": list(self.thresholds),
        }
        return super().get_config() | own
