"""Random transforms of one image: each takes the image, a random key and how strong the transform is.

Images are float32 RGB pixels in [0, 255] of shape `(H, W, 3)`, keys integers of shape `(2,)`; the shape does not change.
"""

import functools

import tensorflow as tf

from keras_senet.data.rand_augment_operations import OPERATIONS, rotated


def shift(image: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Moves the image over black by up to an eighth of its size in each direction, as is usual for CIFAR."""
    height, width, channels = image.shape
    padded = tf.image.resize_with_crop_or_pad(image, height + 2 * (height // 8), width + 2 * (width // 8))
    return tf.image.stateless_random_crop(padded, (height, width, channels), key)


def flip(image: tf.Tensor, key: tf.Tensor, strength: bool = True) -> tf.Tensor:
    """Mirrors every second image left to right; `strength` is there as in all transforms."""
    return tf.image.stateless_random_flip_left_right(image, key)


def rotate(image: tf.Tensor, key: tf.Tensor, degrees: float) -> tf.Tensor:
    """Rotates the image about its center, over gray, by an angle drawn uniformly from -`degrees` to `degrees`.

    Source: 10 degrees for the networks that the authors of the paper released (github.com/hujie-frank/SENet).
    """
    return rotated(image, tf.random.stateless_uniform((), key, -degrees, degrees))


def pixel_jitter(image: tf.Tensor, key: tf.Tensor, max_change: float) -> tf.Tensor:
    """Adds noise drawn uniformly from -`max_change` to `max_change`, independently for each channel of each pixel.

    Source: "pixel jitter" of 20 for the networks that the authors of the paper released (github.com/hujie-frank/SENet), which
    do not define it any further.
    """
    return tf.clip_by_value(image + tf.random.stateless_uniform(tf.shape(image), key, -max_change, max_change), 0.0, 255.0)


def rand_augment(image: tf.Tensor, key: tf.Tensor, magnitude: float) -> tf.Tensor:
    """Two operations in a row, each drawn at random from `OPERATIONS` and skipped with probability 1/2.

    Each image draws for itself, and only the drawn operations are computed. (`keras.layers.RandAugment` draws once for the whole
    batch and computes all operations.)

    Args:
        image: float32 of shape `(H, W, 3)`, in [0, 255].
        key: integers of shape `(2,)`.
        magnitude: how strong the operations are, from 0 to 10. Each draws its level from a normal distribution with this mean and
            standard deviation 0.5, clipped to this range.

    Returns:
        Float32 of shape `(H, W, 3)`, in [0, 255].

    Source: E. Cubuk et al., "RandAugment" (arXiv 1909.13719), in the form of R. Wightman et al., "ResNet strikes back" (arXiv
    2110.00476), table 2: `rand-m7-mstd0.5-inc1` of timm, with bilinear interpolation.

    Example:

    >>> image = keras.random.uniform((224, 224, 3), 0, 255, seed=0)
    >>> keras_senet.data.transforms.rand_augment(image, key=(0, 1), magnitude=7).shape
    TensorShape([224, 224, 3])
    """
    for operation_key in tf.unstack(tf.random.split(key, 2)):
        choice_key, level_key, sign_key = tf.unstack(tf.random.split(operation_key, 3))
        level = tf.clip_by_value(tf.random.stateless_normal((), level_key, magnitude, 0.5), 0.0, 10.0) / 10.0
        level = tf.where(tf.random.stateless_uniform((), sign_key) < 0.5, level, -level)
        operations = [functools.partial(operation, image, level) for operation in OPERATIONS.values()]
        choice = tf.random.stateless_uniform((), choice_key, 0, 2 * len(operations), tf.int32)
        image = tf.ensure_shape(tf.switch_case(choice, [*operations, functools.partial(tf.identity, image)]), image.shape)
    return image
