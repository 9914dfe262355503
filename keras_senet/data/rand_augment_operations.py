"""The operations that RandAugment draws from: functions of an image and a level, with the results of Pillow's.

Images are float32 RGB pixels in [0, 255] of shape `(H, W, 3)`. The level, in [-1, 1], says how strong the operation is, and in
which direction if it has two.
"""

import math
from collections.abc import Callable

import tensorflow as tf

FILL = 128.0  # the gray that a moved image leaves behind
_GRAY = (0.299, 0.587, 0.114)  # weights of red, green and blue in gray, as in Pillow (ITU-R 601)


def rotated(image: tf.Tensor, degrees: tf.Tensor, fill: float = FILL, interpolation: str = "BILINEAR") -> tf.Tensor:
    """The image rotated counterclockwise about its center, over `fill`."""
    cos, sin = tf.cos(degrees * (math.pi / 180)), tf.sin(degrees * (math.pi / 180))
    y, x = tf.unstack(tf.cast(tf.shape(image)[:2] - 1, tf.float32) / 2)
    coefficients = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    return _affine(image, *coefficients, fill=fill, interpolation=interpolation)


def _affine(image: tf.Tensor, *coefficients: float | tf.Tensor, fill: float = FILL, interpolation: str = "BILINEAR") -> tf.Tensor:
    """The image whose pixel (x, y) comes from (a x + b y + c, d x + e y + f), with `coefficients` (a, b, c, d, e, f)."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.stack([*coefficients, 0.0, 0.0])[tf.newaxis],
        output_shape=tf.shape(image)[:2],
        fill_value=float(fill),
        interpolation=interpolation,
    )[0]


def _translated(image: tf.Tensor, right: float | tf.Tensor, down: float | tf.Tensor) -> tf.Tensor:
    """The image moved by shares of its width and height, by whole pixels: much faster than `_affine`."""
    size = tf.shape(image)
    pixels = tf.cast(tf.round([down, right] * tf.cast(size[:2], tf.float32)), tf.int32)
    margin = tf.pad(tf.abs(pixels), [[0, 1]])
    padded = tf.pad(image, tf.stack([margin, margin], axis=1), constant_values=FILL)
    return tf.slice(padded, margin - tf.pad(pixels, [[0, 1]]), size)


def _per_channel(function: Callable, image: tf.Tensor) -> tf.Tensor:
    # TensorFlow takes several times as long to broadcast one number per channel over the pixels.
    return tf.stack([function(channel) for channel in tf.unstack(image, axis=-1)], axis=-1)


def _stretched(channel: tf.Tensor) -> tf.Tensor:
    """The channel rescaled to the range from 0 to 255."""
    low, high = tf.reduce_min(channel), tf.reduce_max(channel)
    return tf.cond(high > low, lambda: (channel - low) * (255.0 / (high - low)), lambda: channel)


def _equalized(channel: tf.Tensor) -> tf.Tensor:
    """The channel with its histogram equalized."""
    values = tf.cast(tf.round(channel), tf.int32)
    counts = tf.math.bincount(values, minlength=256, maxlength=256)
    step = (tf.size(values) - counts[tf.reduce_max(values)]) // 255

    def equalized():
        table = tf.minimum((tf.cumsum(counts, exclusive=True) + step // 2) // step, 255)
        return tf.gather(tf.cast(table, tf.float32), values)

    return tf.cond(step > 0, equalized, lambda: channel)


def _posterized(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Keeps the highest 4 to 1 bits of each value."""
    step = 2.0 ** tf.minimum(4.0 + tf.floor(4.0 * tf.abs(level)), 7.0)
    return tf.floor(image / step) * step


def _solarized(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Inverts the bright values."""
    bright = tf.cast(image >= 256.0 * (1.0 - tf.abs(level)), tf.float32)
    return image + bright * (255.0 - 2.0 * image)


def _enhanced(image: tf.Tensor, difference: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Strengthens or weakens a quality, where `difference` is the image minus the same image without this quality."""
    return tf.clip_by_value(image + 0.9 * level * difference, 0.0, 255.0)


def _color(image: tf.Tensor) -> tf.Tensor:
    """Minus the gray image."""
    return tf.tensordot(image, tf.eye(3) - tf.constant(_GRAY)[:, tf.newaxis], 1)


def _contrast(image: tf.Tensor) -> tf.Tensor:
    """Minus its mean gray."""
    return image - tf.reduce_sum(tf.reduce_mean(image, (0, 1)) * _GRAY)


def _detail(image: tf.Tensor) -> tf.Tensor:
    """Minus the smoothed image; 0 at the border, which Pillow does not smooth."""
    kernel = tf.constant([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], tf.float32) / 13
    kernel = tf.tile(kernel[..., tf.newaxis, tf.newaxis], (1, 1, 3, 1))
    detail = tf.nn.depthwise_conv2d(image[tf.newaxis], kernel, (1, 1, 1, 1), "VALID")[0]
    return tf.pad(detail, ((1, 1), (1, 1), (0, 0)))


OPERATIONS = {
    "AutoContrast": lambda image, level: _per_channel(_stretched, image),
    "Equalize": lambda image, level: _per_channel(_equalized, image),
    "Invert": lambda image, level: 255.0 - image,
    "Rotate": lambda image, level: rotated(image, 30.0 * level),
    "Posterize": _posterized,
    "Solarize": _solarized,
    "SolarizeAdd": lambda image, level: tf.minimum(image + 110.0 * tf.abs(level) * tf.cast(image < 128.0, tf.float32), 255.0),
    "Color": lambda image, level: _enhanced(image, _color(image), level),
    "Contrast": lambda image, level: _enhanced(image, _contrast(image), level),
    "Brightness": lambda image, level: _enhanced(image, image, level),
    "Sharpness": lambda image, level: _enhanced(image, _detail(image), level),
    "ShearX": lambda image, level: _affine(image, 1.0, 0.3 * level, 0.15 * level, 0.0, 1.0, 0.0),
    "ShearY": lambda image, level: _affine(image, 1.0, 0.0, 0.0, 0.3 * level, 1.0, 0.15 * level),
    "TranslateX": lambda image, level: _translated(image, 0.45 * level, 0.0),
    "TranslateY": lambda image, level: _translated(image, 0.0, 0.45 * level),
}
