"""Random resized crops of JPEG images: decoding only the window, against decoding the whole image and slicing it.

500 x 375 pixels, as in ImageNet, in two threads.
"""

import tensorflow as tf
from comparison import Comparison, compare, show, timed
from sklearn.datasets import load_sample_images

from keras_senet.data.decode import random_window
from keras_senet.data.pixels import decode_window

IMAGES, ROUNDS, THREADS = 1000, 7, 2


def photographs() -> list[bytes]:
    """The two that scikit-learn ships, in the size and with the quality that is usual in ImageNet."""
    resized = [tf.image.resize(image, (375, 500), antialias=True) for image in load_sample_images().images]
    return [tf.io.encode_jpeg(tf.cast(image, tf.uint8), quality=85).numpy() for image in resized]


def whole(encoded: tf.Tensor, window) -> tf.Tensor:
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    top, left, height, width = tf.unstack(window(tf.shape(image)[:2]), num=4)
    return image[top : top + height, left : left + width]


def measure() -> list[Comparison]:
    dataset = tf.data.Dataset.from_tensor_slices(photographs()).repeat(IMAGES // 2).enumerate()

    def side(decode):
        def crop(index, encoded):
            return decode(encoded, lambda shape: random_window(shape, tf.stack([index, index])))

        images = dataset.map(crop, THREADS).prefetch(THREADS)
        return timed(lambda: images.reduce(0, lambda count, _: count + 1).numpy(), pieces=IMAGES)

    ours, theirs = side(decode_window), side(whole)
    return [compare("decoding the window of a JPEG", "decoding all of it", ours, theirs, rounds=ROUNDS, target=1 / 2)]


if __name__ == "__main__":
    show(measure())
