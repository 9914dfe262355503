"""Preprocessing: how an image of any size becomes the input of a network."""

import dataclasses

import keras
from keras.applications.imagenet_utils import decode_predictions

from keras_senet.errors import InputError
from keras_senet.keras_internals import all_layers
from keras_senet.layers import PixelNormalization

__all__ = ["Preprocessing", "decode_predictions", "preprocessing_for"]

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image is cropped and resized for a network.

    Attributes:
        image_size: height and width of the network's input, pixels; None if it takes any size.
        crop_ratio: side of the center crop as a share of the image's shorter side, in (0, 1]. The default is 0.875, 224 of 256
            pixels as for ImageNet, or 1 for an input of at most 64 pixels.
        interpolation: interpolation that resizes the crop, with antialiasing: "bilinear" or "bicubic".

    Raises:
        ValueError: if a value is out of its range.
    """

    image_size: int | None
    crop_ratio: float | None = None
    interpolation: str = "bilinear"

    def __post_init__(self):
        if self.crop_ratio is None:
            object.__setattr__(self, "crop_ratio", 1.0 if self.image_size and self.image_size <= 64 else 0.875)
        if not 0 < self.crop_ratio <= 1:
            raise InputError(f"`crop_ratio` must be over 0 and at most 1. Received: crop_ratio={self.crop_ratio}")
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(f"`interpolation` must be one of {INTERPOLATIONS}. Received: {self.interpolation!r}")


def preprocessing_for(model: keras.Model) -> Preprocessing:
    """How to crop and resize an image for `model`, which normalizes the pixels itself.

    Args:
        model: network of this package with its preprocessing inside, or a model that contains one.

    Returns:
        Size, crop ratio and interpolation; for published weights, those of the published accuracy.

    Raises:
        ValueError: if the model has no layer PixelNormalization, because it was built with `include_preprocessing=False` or by
            another package.

    Example:

    >>> keras_senet.preprocessing_for(keras_senet.SEResNet20())
    Preprocessing(image_size=32, crop_ratio=1.0, interpolation='bilinear')
    """
    for layer in all_layers(model):
        if isinstance(layer, PixelNormalization):
            height, width = model.input_shape[2:] if layer.axis == (1,) else model.input_shape[1:3]
            return Preprocessing(height if height == width else None, layer.crop_ratio, layer.interpolation)
    raise InputError(
        f"{model.name} does not say how its images were made: it has no layer PixelNormalization. Build it with "
        "include_preprocessing=True, or make a keras_senet.Preprocessing of your own."
    )
