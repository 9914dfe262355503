"""Random resized crops of JPEG images: decoding only the window, against decoding the whole image and slicing it.

500 x 375 pixels, as in ImageNet. The two sides alternate; medians are quoted.
"""

import statistics
import time

import numpy as np
import tensorflow as tf

from keras_senet.data import pipeline

IMAGES, ROUNDS = 400, 5


def photograph() -> bytes:
    """A JPEG that is as hard to decode as a photograph: smooth shapes under noise, about 80 kB."""
    random = np.random.default_rng(0)
    shapes = tf.image.resize(random.uniform(0, 255, (24, 32, 3)), (375, 500), "bicubic")
    pixels = np.clip(shapes + random.normal(0, 12, (375, 500, 3)), 0, 255)
    return tf.io.encode_jpeg(pixels.astype(np.uint8), quality=90).numpy()


def whole(encoded: tf.Tensor, window) -> tf.Tensor:
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    top, left, height, width = tf.unstack(window(tf.shape(image)[:2]), num=4)
    return image[top : top + height, left : left + width]


def main() -> None:
    dataset = tf.data.Dataset.from_tensors(photograph()).repeat(IMAGES).enumerate()

    def side(decode):
        def crop(index, encoded):
            return decode(encoded, lambda shape: pipeline._random_window(shape, tf.stack([index, index])))

        return dataset.map(crop, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    sides = {"window": side(pipeline._decode), "whole": side(whole)}
    seconds = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, images in sides.items():
            start = time.perf_counter()
            for _ in images:
                pass
            seconds[name].append(time.perf_counter() - start)
    medians = {name: 1000 * statistics.median(times) / IMAGES for name, times in seconds.items()}
    print(f"JPEG to crop, ms an image, medians: {medians}; whole takes {medians['whole'] / medians['window']:.2f} times as long")


if __name__ == "__main__":
    main()
