"""Where an image of any shape lies in the square that a network looks at, and its boxes and its mask with it.

A detector and a segmentation network see whole images: scaled until they fit, over gray where they do not reach. In training a
window of the image takes the place of the whole, which may also be larger than the image. Image, boxes and mask follow from one
`Place`, so they lie on each other to the pixel.

Objects are float32 of shape `(M, 6)`: left, top, right and bottom as shares of the width and height of what they lie in, first
of the upright image and then of the square; the class; and 1 for a crowd, else 0. Rows of -1 are padding. Masks are uint8 of
shape `(H, W, 1)`, class indices or `NO_CLASS`. (`keras.utils.bounding_boxes` has functions that crop and turn boxes. The first
clips them at once, so that it does not tell how much is left of each; the other takes pixels for points, not for squares.)
"""

import math
from typing import NamedTuple

import tensorflow as tf

from keras_senet.data.pixels import resized_window
from keras_senet.data.rand_augment_operations import FILL, rotated
from keras_senet.segmentation.measure import NO_CLASS

_MIN_SHARE = 0.25  # of a box, which must be left of it
_MAX_SHIFT = 1 / 8  # as in `transforms.shift`


class Place(NamedTuple):
    """Which part of an image is shown, and where in the square; each int32 of shape `(2,)`, vertical and horizontal, pixels.

    Attributes:
        begin, size: the part of the upright image.
        at, extent: where it lies in the square.
    """

    begin: tf.Tensor
    size: tf.Tensor
    at: tf.Tensor
    extent: tf.Tensor


def letterbox(shape: tf.Tensor, image_size: int) -> Place:
    """The whole image, scaled to fit, at the top left: no object is lost."""
    return _place(shape, tf.zeros(2), _side(shape) * tf.ones(2), image_size)


def shifted(shape: tf.Tensor, image_size: int, key: tf.Tensor) -> Place:
    """The letterbox moved by up to an eighth of its size in each direction."""
    shift = tf.random.stateless_uniform((2,), key, -_MAX_SHIFT, _MAX_SHIFT)
    return _place(shape, _side(shape) * shift, _side(shape) * tf.ones(2), image_size)


def jittered(shape: tf.Tensor, image_size: int, key: tf.Tensor, area_min: float) -> Place:
    """A random window, smaller or larger than the image: its scale changes either way alike.

    The area is `area_min` to 1 / `area_min` of that of the letterbox, and the aspect ratio 3/4 to 4/3, both uniform in their
    logarithms. Where the window is the larger one the image lies within it, else the window within the image.

    Source: "large scale jittering" of Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method", arXiv 2012.07177,
    section 3.1, with the aspect ratios of `Augmentation.crop`.
    """
    area_key, ratio_key, place_key = tf.unstack(tf.random.split(key, 3))
    area = tf.exp(tf.random.stateless_uniform((), area_key, math.log(area_min), -math.log(area_min)))
    root = tf.exp(tf.random.stateless_uniform((), ratio_key, -1.0, 1.0) * (math.log(4 / 3) / 2))
    size = _side(shape) * tf.sqrt(area) * tf.stack([1 / root, root])
    free = tf.cast(shape, tf.float32) - size
    return _place(shape, free * tf.random.stateless_uniform((2,), place_key), size, image_size)


def placed_image(
    encoded: tf.Tensor, place: Place, image_size: int, interpolation: str = "bilinear", *, portable: bool = False
) -> tf.Tensor:
    """The square with an encoded image in its place, over gray: float32 RGB in [0, 255], `(image_size, image_size, 3)`."""
    window = tf.concat([place.begin, place.size], 0)
    part = resized_window(encoded, lambda _: window, place.extent, interpolation, antialias=True, portable=portable)
    return _in_square(tf.clip_by_value(part, 0.0, 255.0), place, image_size, FILL)  # bicubic interpolation overshoots


def placed_mask(mask: tf.Tensor, place: Place, image_size: int) -> tf.Tensor:
    """The square with a mask in its place, uint8 `(image_size, image_size, 1)`: the nearest pixels, over `NO_CLASS`."""
    (top, left), (height, width) = tf.unstack(place.begin), tf.unstack(place.size)
    part = tf.image.resize(mask[top : top + height, left : left + width], place.extent, "nearest")
    return _in_square(part, place, image_size, NO_CLASS)


def placed_objects(objects: tf.Tensor, shape: tf.Tensor, place: Place, image_size: int) -> tf.Tensor:
    """The objects of an image in the square, as far as they are shown."""
    shape, begin, size, at, extent = (
        tf.tile(tf.cast(numbers[::-1], tf.float32), (2,))  # of left, top, right and bottom
        for numbers in (shape, *place)
    )
    boxes = at + (objects[:, :4] * shape - begin) * (extent / size)
    return _within(objects, boxes / image_size, at / image_size, (at + extent) / image_size)


def flip(objects: tf.Tensor, key: tf.Tensor, strength: bool = True) -> tf.Tensor:
    """Objects in a square that `transforms.flip` mirrors."""
    left, top, right, bottom = tf.unstack(objects[:, :4], axis=1)
    # An image of two pixels shows whether it is mirrored.
    is_mirrored = tf.image.stateless_random_flip_left_right(tf.constant([[[0.0], [1.0]]]), key)[0, 0, 0] > 0
    boxes = tf.where(is_mirrored, tf.stack([1 - right, top, 1 - left, bottom], axis=1), objects[:, :4])
    return _within(objects, boxes, 0.0, 1.0)


def rotate(objects: tf.Tensor, key: tf.Tensor, degrees: float) -> tf.Tensor:
    """Objects in a square that `transforms.rotate` turns: the upright boxes around the corners of the turned ones."""
    angle = tf.random.stateless_uniform((), key, -degrees, degrees) * (math.pi / 180)
    left, top, right, bottom = tf.unstack(objects[:, :4] - 0.5, axis=1)
    x, y = tf.stack([left, right, right, left], axis=1), tf.stack([top, top, bottom, bottom], axis=1)
    corners = tf.stack([tf.cos(angle) * x + tf.sin(angle) * y, tf.cos(angle) * y - tf.sin(angle) * x], axis=-1) + 0.5
    boxes = tf.concat([tf.reduce_min(corners, axis=1), tf.reduce_max(corners, axis=1)], axis=1)
    return _within(objects, boxes, 0.0, 1.0)


def rotate_mask(mask: tf.Tensor, key: tf.Tensor, degrees: float) -> tf.Tensor:
    """The mask of a square that `transforms.rotate` turns."""
    return rotated(mask, tf.random.stateless_uniform((), key, -degrees, degrees), NO_CLASS, "NEAREST")


def _side(shape: tf.Tensor) -> tf.Tensor:
    """The longer side of an image, float32."""
    return tf.cast(tf.reduce_max(shape), tf.float32)


def _place(shape: tf.Tensor, begin: tf.Tensor, size: tf.Tensor, image_size: int) -> Place:
    """The place of what a window, float32, shows of an image; on whole pixels both of the image and of the square."""
    # What the window touches, so that no gray shows where there is image.
    first = tf.clip_by_value(tf.cast(tf.floor(begin), tf.int32), 0, shape - 1)
    end = tf.clip_by_value(tf.cast(tf.math.ceil(begin + size), tf.int32), first + 1, shape)

    def in_square(place):
        return tf.cast(tf.round((tf.cast(place, tf.float32) - begin) * (image_size / size)), tf.int32)

    at = tf.clip_by_value(in_square(first), 0, image_size - 1)
    return Place(first, end - first, at, tf.clip_by_value(in_square(end), at + 1, image_size) - at)


def _in_square(part: tf.Tensor, place: Place, image_size: int, fill: float) -> tf.Tensor:
    rest = image_size - place.at - place.extent
    margins = tf.pad(tf.stack([place.at, rest], axis=1), [[0, 1], [0, 0]])
    return tf.ensure_shape(tf.pad(part, margins, constant_values=fill), (image_size, image_size, part.shape[-1]))


def _within(objects: tf.Tensor, boxes: tf.Tensor, low: tf.Tensor | float, high: tf.Tensor | float) -> tf.Tensor:
    """The objects with other boxes, clipped. Those of which less than a quarter is left become padding."""

    def area(boxes):
        return tf.reduce_prod(tf.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)

    clipped = tf.maximum(tf.minimum(boxes, high), low)
    is_left = (objects[:, 4] >= 0) & (area(clipped) > 0) & (area(clipped) >= _MIN_SHARE * area(boxes))
    return tf.where(is_left[:, tf.newaxis], tf.concat([clipped, objects[:, 4:]], axis=1), -1.0)
