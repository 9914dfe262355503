"""Random changes of images to train on: RandAugment, MixUp and CutMix, rotation, noise.

Everything random follows from a seed, two integers as the functions of `tf.random.stateless_*` take: the same seed gives the same
images bit for bit. Images are float32 RGB pixels in [0, 255].
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import tensorflow as tf

from keras_senet.settings import check, setting

CROPS = ("random", "shift", "center")

_EMPTY = 128.0  # the gray that a moved image leaves behind
_GRAY = (0.299, 0.587, 0.114)  # what red, green and blue add to gray, as in Pillow (ITU-R 601)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random; the default is that of the paper's section 6.1.

    Attributes:
        crop: "random", a window of `area_min` to 100 % of the area with aspect 3/4 to 4/3, resized; "shift", the center square
            moved by up to an eighth of its size over black (as for CIFAR); or "center", the center square.
        area_min: smallest random window, as a share of the image's area.
        flip: whether half of the images are mirrored left to right.
        rotation: largest rotation either way, degrees.
        pixel_jitter: largest change of a pixel's value either way, of 255.
        rand_augment_magnitude: magnitude of RandAugment, from 0 (without) to 10.
        mixup_alpha: parameter of MixUp's Beta distribution; 0 for no MixUp.
        cutmix_alpha: parameter of CutMix's Beta distribution; 0 for no CutMix.

    Raises:
        ValueError: for a value of the wrong type or out of its range.

    Example:

    >>> keras_senet.data.Augmentation(crop="shift", flip=False).mixup_alpha
    0.0
    """

    crop: str = setting("random", "random window of the image, shift of its center square, or the center square", choices=CROPS)
    area_min: float = setting(0.08, "smallest random window, as a share of the image's area", minimum=0.001, maximum=1)
    flip: bool = setting(True, "mirror half of the training images")
    rotation: float = setting(0.0, "largest rotation of an image either way, degrees", minimum=0, maximum=180)
    pixel_jitter: float = setting(0.0, "largest change of a pixel's value either way, of 255", minimum=0, maximum=255)
    rand_augment_magnitude: float = setting(0.0, "magnitude of RandAugment, up to 10", minimum=0, maximum=10)
    mixup_alpha: float = setting(0.0, "parameter of MixUp's Beta distribution", minimum=0)
    cutmix_alpha: float = setting(0.0, "parameter of CutMix's Beta distribution", minimum=0)

    def __post_init__(self):
        check(self)


def rand_augment(image: tf.Tensor, seed: tf.Tensor, magnitude: float) -> tf.Tensor:
    """Two operations of `OPERATIONS` after each other, each of them drawn at random and left out with probability 1/2.

    Each image has a draw of its own, and only what was drawn is computed. (`keras.layers.RandAugment` draws for the whole batch
    and computes all its operations.)

    Args:
        image: float32 of shape `(H, W, 3)`, in [0, 255].
        seed: integers of shape `(2,)`.
        magnitude: how strong the operations are, from 0 to 10: the mean of a normal distribution with deviation 0.5 from which
            the strength of each is drawn, and clipped to this range.

    Returns:
        Float32 of shape `(H, W, 3)`, in [0, 255].

    Source: E. Cubuk et al., "RandAugment" (arXiv 1909.13719), in the form of R. Wightman et al., "ResNet strikes back" (arXiv
    2110.00476), table 2: `rand-m7-mstd0.5-inc1` of timm, with bilinear interpolation.

    Example:

    >>> image = keras.random.uniform((224, 224, 3), 0, 255, seed=0)
    >>> keras_senet.data.augmentation.rand_augment(image, seed=(0, 1), magnitude=7).shape
    TensorShape([224, 224, 3])
    """
    for part in tf.unstack(tf.random.split(seed, 2)):
        which, strength, sign = tf.unstack(tf.random.split(part, 3))
        level = tf.clip_by_value(tf.random.stateless_normal((), strength, magnitude, 0.5), 0.0, 10.0) / 10.0
        level = tf.where(tf.random.stateless_uniform((), sign) < 0.5, level, -level)
        operations = [functools.partial(operation, image, level) for operation in OPERATIONS.values()]
        choice = tf.random.stateless_uniform((), which, 0, 2 * len(operations), tf.int32)
        image = tf.ensure_shape(tf.switch_case(choice, [*operations, functools.partial(tf.identity, image)]), image.shape)
    return image


def mix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, mixup: float, cutmix: float) -> tuple[tf.Tensor, tf.Tensor]:
    """MixUp or CutMix of each image with its partner, which is the batch in reverse; where both are asked for, one by chance.

    The share of the partner, and the place of CutMix's box, are drawn once for a batch. Labels get the shares of the images; a
    loss that wants every class which is present at full strength, such as the binary cross-entropy of "ResNet strikes back",
    rounds them up itself.

    Args:
        images: float32 of shape `(N, H, W, C)`.
        labels: float32 of shape `(N, classes)`, one-hot.
        seed: integers of shape `(2,)`.
        mixup: both parameters of the Beta distribution from which MixUp draws the share; 0 for no MixUp.
        cutmix: the same of CutMix.

    Returns:
        Images and labels, with the shapes and types that they had.

    Source: H. Zhang et al., "mixup" (arXiv 1710.09412); S. Yun et al., "CutMix" (arXiv 1905.04899).

    Example:

    >>> images, labels = keras.ops.ones((2, 8, 8, 3)), keras.ops.eye(2)
    >>> _, mixed = keras_senet.data.augmentation.mix(images, labels, seed=(0, 1), mixup=0.1, cutmix=1.0)
    >>> np.sum(mixed, axis=1)
    array([1., 1.], dtype=float32)
    """
    which, share, place = tf.unstack(tf.random.split(seed, 3))
    mixed = functools.partial(_mixup, images, labels, share, mixup)
    cut = functools.partial(_cutmix, images, labels, share, cutmix, place)
    if mixup and cutmix:
        return tf.cond(tf.random.stateless_uniform((), which) < 0.5, mixed, cut)
    return mixed() if mixup else cut() if cutmix else (images, labels)


def rotate(image: tf.Tensor, seed: tf.Tensor, degrees: float) -> tf.Tensor:
    """An image turned about its centre by a random angle, over gray.

    Args:
        image: float32 of shape `(H, W, 3)`, in [0, 255].
        seed: integers of shape `(2,)`.
        degrees: the largest angle, either way.

    Returns:
        Float32 of shape `(H, W, 3)`, in [0, 255].

    Source: 10 degrees for the networks that the authors of the paper released (github.com/hujie-frank/SENet).
    """
    return _turned(image, tf.random.stateless_uniform((), seed, -degrees, degrees))


def pixel_jitter(image: tf.Tensor, seed: tf.Tensor, most: float) -> tf.Tensor:
    """An image with noise: what is added to each channel of each pixel is drawn on its own, uniformly.

    Args:
        image: float32 of shape `(H, W, 3)`, in [0, 255].
        seed: integers of shape `(2,)`.
        most: the largest change, either way, in steps of 255.

    Returns:
        Float32 of shape `(H, W, 3)`, in [0, 255].

    Source: "pixel jitter" of 20 for the networks that the authors of the paper released (github.com/hujie-frank/SENet), which
    say no more about it than this.
    """
    return tf.clip_by_value(image + tf.random.stateless_uniform(tf.shape(image), seed, -most, most), 0.0, 255.0)


def _moved(image: tf.Tensor, *source: float | tf.Tensor) -> tf.Tensor:
    """An image whose pixel (x, y) comes from (a x + b y + c, d x + e y + f), where `source` is (a, b, c, d, e, f)."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.stack([*source, 0.0, 0.0])[tf.newaxis],
        output_shape=tf.shape(image)[:2],
        fill_value=_EMPTY,
        interpolation="BILINEAR",
    )[0]


def _turned(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """An image turned about its centre, counterclockwise."""
    cos, sin = tf.cos(degrees * (math.pi / 180)), tf.sin(degrees * (math.pi / 180))
    y, x = tf.unstack(tf.cast(tf.shape(image)[:2] - 1, tf.float32) / 2)
    return _moved(image, cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def _translated(image: tf.Tensor, right: float | tf.Tensor, down: float | tf.Tensor) -> tf.Tensor:
    """An image moved by shares of its width and of its height, by whole pixels: much faster than `_moved`."""
    size = tf.shape(image)
    pixels = tf.cast(tf.round([down, right] * tf.cast(size[:2], tf.float32)), tf.int32)
    room = tf.pad(tf.abs(pixels), [[0, 1]])
    padded = tf.pad(image, tf.stack([room, room], axis=1), constant_values=_EMPTY)
    return tf.slice(padded, room - tf.pad(pixels, [[0, 1]]), size)


def _of_channels(function: Callable, image: tf.Tensor) -> tf.Tensor:
    # TensorFlow is several times slower at one number a channel, which it spreads over the pixels.
    return tf.stack([function(channel) for channel in tf.unstack(image, axis=-1)], axis=-1)


def _stretched(channel: tf.Tensor) -> tf.Tensor:
    """A channel that goes from 0 to 255."""
    low, high = tf.reduce_min(channel), tf.reduce_max(channel)
    return tf.cond(high > low, lambda: (channel - low) * (255.0 / (high - low)), lambda: channel)


def _equalized(channel: tf.Tensor) -> tf.Tensor:
    """A channel whose values are equally frequent, as far as that goes."""
    values = tf.cast(tf.round(channel), tf.int32)
    counts = tf.math.bincount(values, minlength=256, maxlength=256)
    step = (tf.size(values) - counts[tf.reduce_max(values)]) // 255

    def equalized():
        table = tf.minimum((tf.cumsum(counts, exclusive=True) + step // 2) // step, 255)
        return tf.gather(tf.cast(table, tf.float32), values)

    return tf.cond(step > 0, equalized, lambda: channel)


def _posterized(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """With the highest 4 to 1 bits of each value."""
    step = 2.0 ** tf.minimum(4.0 + tf.floor(4.0 * tf.abs(level)), 7.0)
    return tf.floor(image / step) * step


def _solarized(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """With the bright values inverted."""
    bright = tf.cast(image >= 256.0 * (1.0 - tf.abs(level)), tf.float32)
    return image + bright * (255.0 - 2.0 * image)


def _enhanced(image: tf.Tensor, quality: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """With more or less of a quality, which is what sets an image apart from one that is without it."""
    return tf.clip_by_value(image + 0.9 * level * quality, 0.0, 255.0)


def _color(image: tf.Tensor) -> tf.Tensor:
    return tf.tensordot(image, tf.eye(3) - tf.constant(_GRAY)[:, tf.newaxis], 1)


def _contrast(image: tf.Tensor) -> tf.Tensor:
    return image - tf.reduce_sum(tf.reduce_mean(image, (0, 1)) * _GRAY)


def _detail(image: tf.Tensor) -> tf.Tensor:
    """What a smooth image is without; nothing at the border."""
    kernel = tf.constant([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], tf.float32) / 13
    kernel = tf.tile(kernel[..., tf.newaxis, tf.newaxis], (1, 1, 3, 1))
    detail = tf.nn.depthwise_conv2d(image[tf.newaxis], kernel, (1, 1, 1, 1), "VALID")[0]
    return tf.pad(detail, ((1, 1), (1, 1), (0, 0)))


# Functions of an image and of a level in [-1, 1]: how strong, and which way where there are two.
OPERATIONS = {
    "AutoContrast": lambda image, level: _of_channels(_stretched, image),
    "Equalize": lambda image, level: _of_channels(_equalized, image),
    "Invert": lambda image, level: 255.0 - image,
    "Rotate": lambda image, level: _turned(image, 30.0 * level),
    "Posterize": _posterized,
    "Solarize": _solarized,
    "SolarizeAdd": lambda image, level: tf.minimum(image + 110.0 * tf.abs(level) * tf.cast(image < 128.0, tf.float32), 255.0),
    "Color": lambda image, level: _enhanced(image, _color(image), level),
    "Contrast": lambda image, level: _enhanced(image, _contrast(image), level),
    "Brightness": lambda image, level: _enhanced(image, image, level),
    "Sharpness": lambda image, level: _enhanced(image, _detail(image), level),
    "ShearX": lambda image, level: _moved(image, 1.0, 0.3 * level, 0.15 * level, 0.0, 1.0, 0.0),
    "ShearY": lambda image, level: _moved(image, 1.0, 0.0, 0.0, 0.3 * level, 1.0, 0.15 * level),
    "TranslateX": lambda image, level: _translated(image, 0.45 * level, 0.0),
    "TranslateY": lambda image, level: _translated(image, 0.0, 0.45 * level),
}


def _beta(seed: tf.Tensor, parameter: float) -> tf.Tensor:
    """A float32 from the Beta distribution with this value for both of its parameters."""
    one, other = tf.unstack(tf.random.stateless_gamma((2,), seed, tf.constant(parameter, tf.float64), dtype=tf.float64))
    return tf.cast(one / (one + other), tf.float32)


def _mixup(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, parameter: float) -> tuple[tf.Tensor, tf.Tensor]:
    share = _beta(seed, parameter)
    return tuple(x + share * (tf.reverse(x, [0]) - x) for x in (images, labels))


def _cutmix(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, parameter: float, place: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """A box of the partner, in its place; what of the box would lie outside the image is cut off."""
    size = tf.shape(images)[1:3]
    half = tf.cast(tf.cast(size, tf.float32) * tf.sqrt(_beta(seed, parameter)) / 2, tf.int32)
    centre = tf.cast(tf.random.stateless_uniform((2,), place) * tf.cast(size, tf.float32), tf.int32)
    (top, left), (bottom, right) = (tf.unstack(tf.clip_by_value(centre + side, 0, size)) for side in (-half, half))
    box = tf.reverse(images[:, top:bottom, left:right], [0])
    middle = tf.concat([images[:, top:bottom, :left], box, images[:, top:bottom, right:]], axis=2)
    mixed = tf.concat([images[:, :top], middle, images[:, bottom:]], axis=1)
    share = tf.cast((bottom - top) * (right - left), tf.float32) / tf.cast(tf.reduce_prod(size), tf.float32)
    return tf.ensure_shape(mixed, images.shape), labels + share * (tf.reverse(labels, [0]) - labels)
