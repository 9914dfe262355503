"""Photographs of 12 and 48 megapixels as a network of 224 pixels sees them: decoding at 1/4 and 1/8, against decoding all pixels.

Both sides decode only the center square of a JPEG file, 7/8 of the shorter side, and resize it with antialiasing, in two threads.
"""

import functools
from collections.abc import Callable

import tensorflow as tf
from comparison import Comparison, compare, show, timed
from sklearn.datasets import load_sample_images

from keras_senet import Preprocessing
from keras_senet.data import evaluation_image

SIZE, IMAGES, ROUNDS, THREADS = 224, 16, 7, 2


def photographs(height: int, width: int) -> list[bytes]:
    """The two that scikit-learn ships, enlarged."""
    enlarged = [tf.image.resize(image, (height, width), "bicubic") for image in load_sample_images().images]
    return [tf.io.encode_jpeg(tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8), quality=90).numpy() for image in enlarged]


def whole(encoded: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(encoded)[:2]
    side = tf.cast(tf.round(tf.cast(tf.reduce_min(shape), tf.float32) * Preprocessing(SIZE).crop_ratio), tf.int32)
    window = tf.concat([(shape - side) // 2, [side, side]], 0)
    image = tf.io.decode_and_crop_jpeg(encoded, window, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.image.resize(tf.cast(image, tf.float32), (SIZE, SIZE), antialias=True)


def measure() -> list[Comparison]:
    def side(files: list[bytes], read: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[], float]:
        def seconds() -> float:
            images = iter(tf.data.Dataset.from_tensor_slices(files).repeat().map(read, THREADS))
            next(images)  # which takes as long as the start does
            return timed(lambda: [next(images) for _ in range(IMAGES)], pieces=IMAGES)()

        return seconds

    comparisons = []
    for megapixels, height, width in ((12, 3000, 4000), (48, 6000, 8000)):
        files = photographs(height, width)
        ours, theirs = side(files, functools.partial(evaluation_image, preprocessing=Preprocessing(SIZE))), side(files, whole)
        name = f"reading a photograph of {megapixels} megapixels"
        comparisons.append(compare(name, "decoding all its pixels", ours, theirs, rounds=ROUNDS, target=1 / 2))
    return comparisons


if __name__ == "__main__":
    show(measure())
