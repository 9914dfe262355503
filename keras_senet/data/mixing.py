"""MixUp and CutMix: each image of a batch mixed with its partner, the image at the same place in the reversed batch."""

import tensorflow as tf


def mixup(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, alpha: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends the images with their partners, with a share from Beta(`alpha`, `alpha`)."""
    share = _beta(key, alpha)
    return tuple(x + share * (tf.reverse(x, [0]) - x) for x in (images, labels))


def cutmix(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, alpha: float, box_key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Copies a box from the partners, with an area from Beta(`alpha`, `alpha`) before what lies outside the image is cut off."""
    size = tf.shape(images)[1:3]
    half = tf.cast(tf.cast(size, tf.float32) * tf.sqrt(_beta(key, alpha)) / 2, tf.int32)
    center = tf.cast(tf.random.stateless_uniform((2,), box_key) * tf.cast(size, tf.float32), tf.int32)
    (top, left), (bottom, right) = (tf.unstack(tf.clip_by_value(center + side, 0, size)) for side in (-half, half))
    box = tf.reverse(images[:, top:bottom, left:right], [0])
    middle = tf.concat([images[:, top:bottom, :left], box, images[:, top:bottom, right:]], axis=2)
    mixed = tf.concat([images[:, :top], middle, images[:, bottom:]], axis=1)
    share = tf.cast((bottom - top) * (right - left), tf.float32) / tf.cast(tf.reduce_prod(size), tf.float32)
    return tf.ensure_shape(mixed, images.shape), labels + share * (tf.reverse(labels, [0]) - labels)


def _beta(key: tf.Tensor, alpha: float) -> tf.Tensor:
    """A float32 from Beta(`alpha`, `alpha`)."""
    first, second = tf.unstack(tf.random.stateless_gamma((2,), key, tf.constant(alpha, tf.float64), dtype=tf.float64))
    return tf.cast(first / (first + second), tf.float32)
