"""Preprocessing: how an image of any size becomes the input of a network."""

import dataclasses

import keras
import numpy as np
from keras.applications.imagenet_utils import decode_predictions

from keras_senet.errors import InputError
from keras_senet.inference.tasks import shapes_of
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

    Example:

    >>> keras_senet.Preprocessing(image_size=224)
    Preprocessing(image_size=224, crop_ratio=0.875, interpolation='bilinear')
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
            height, width = image_shape_of(model)[1:] if layer.axis == (1,) else image_shape_of(model)[:2]
            return Preprocessing(height if height == width else None, layer.crop_ratio, layer.interpolation)
    raise InputError(
        f"{model.name} does not say how its images were made: it has no layer PixelNormalization. Build it with "
        "include_preprocessing=True, or make a keras_senet.Preprocessing of your own."
    )


def image_shape_of(model: keras.Model) -> tuple:
    """The shape of one image that `model` takes, also where it takes other inputs beside the images."""
    shape, _ = shapes_of(model)
    return tuple((shape["images"] if isinstance(shape, dict) else shape)[1:])


@dataclasses.dataclass(frozen=True)
class Letterbox:
    """How an image of any shape becomes the input of a detector or a segmenter: scaled until it fits, and nothing is cut off.

    Attributes:
        height, width: sides of the network's input, pixels. What the image leaves free, on the right or at the bottom, is gray.
        interpolation: interpolation that resizes the image, with antialiasing: "bilinear" or "bicubic".

    Example:

    >>> from keras_senet.inference.preprocessing import Letterbox
    >>> Letterbox(96, 96).content(height=300, width=400)
    (72, 96)
    """

    height: int
    width: int
    interpolation: str = "bilinear"

    def content(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what shows an image of these sides."""
        scale = min(self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def in_image(self, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
        """Boxes `(M, 4)` in pixels of an image of these sides, clipped to it, from those in pixels of the input."""
        rows, columns = self.content(height, width)
        scale = np.array([width / columns, height / rows] * 2)
        return np.clip(boxes * scale, 0, [width, height] * 2)

    def shows(self, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
        """Which boxes `(M, 4)`, in pixels of the input, have their centers on an image of these sides; others are of the gray."""
        rows, columns = self.content(height, width)
        return (boxes[:, 0] + boxes[:, 2] < 2 * columns) & (boxes[:, 1] + boxes[:, 3] < 2 * rows)
