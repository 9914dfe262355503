"""Random transforms of one image: each takes the image, a random key and how strong the transform is.

Images are float32 RGB pixels in [0, 255] of shape `(H, W, 3)`, keys integers of shape `(2,)`; the shape does not change.
"""

import functools

import tensorflow as tf

from keras_senet.data.rand_augment_operations import FILL, OPERATIONS, rotated


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


def cutout(image: tf.Tensor, key: tf.Tensor, size: int) -> tf.Tensor:
    """Paints a gray square of `size` pixels over the image. Its center may be any pixel, so a part of it may lie outside.

    Source: DeVries and Taylor, "Cutout", arXiv 1708.04552, section 3.2, which takes the mean color of the dataset.
    """
    covered = []
    for axis, axis_key in enumerate(tf.unstack(tf.random.split(key, 2))):
        first = tf.random.stateless_uniform((), axis_key, 0, image.shape[axis], tf.int32) - size // 2
        positions = tf.range(image.shape[axis])
        covered.append((positions >= first) & (positions < first + size))
    rows, columns = covered
    return tf.where((rows[:, tf.newaxis] & columns)[..., tf.newaxis], FILL, image)


def random_erasing(image: tf.Tensor, key: tf.Tensor, probability: float) -> tf.Tensor:
    """Replaces a rectangle by noise, with a `probability`: 2 to 40 % of the area, of aspect ratio 0.3 to 1 / 0.3.

    Source: Zhong et al., "Random Erasing Data Augmentation", arXiv 1708.04896, section 3.2 and 4.1.
    """
    choice_key, window_key, noise_key = tf.unstack(tf.random.split(key, 3))
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image.shape,
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=window_key,
        min_object_covered=0.0,
        area_range=(0.02, 0.4),
        aspect_ratio_range=(0.3, 1 / 0.3),
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    rows, columns = (
        (tf.range(image.shape[axis]) >= begin[axis]) & (tf.range(image.shape[axis]) < begin[axis] + size[axis]) for axis in (0, 1)
    )
    erased = tf.random.stateless_uniform((), choice_key) < probability
    noise = tf.random.stateless_uniform(image.shape, noise_key, 0.0, 255.0)
    return tf.where((rows[:, tf.newaxis] & columns & erased)[..., tf.newaxis], noise, image)
