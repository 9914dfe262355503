"""Random resized crops of JPEG images: decoding only the window, against decoding the whole image and slicing it.

500 x 375 pixels, as in ImageNet. The two sides alternate; medians are quoted.
"""

import statistics
import time

import tensorflow as tf
from sklearn.datasets import load_sample_images

from keras_senet.data import pipeline

IMAGES, ROUNDS, THREADS = 1000, 7, 2


def photographs() -> list[bytes]:
    """The two that scikit-learn ships, in the size and with the quality that is usual in ImageNet."""
    resized = [tf.image.resize(image, (375, 500), antialias=True) for image in load_sample_images().images]
    return [tf.io.encode_jpeg(tf.cast(image, tf.uint8), quality=85).numpy() for image in resized]


def whole(encoded: tf.Tensor, window) -> tf.Tensor:
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    top, left, height, width = tf.unstack(window(tf.shape(image)[:2]), num=4)
    return image[top : top + height, left : left + width]


def main() -> None:
    dataset = tf.data.Dataset.from_tensor_slices(photographs()).repeat(IMAGES // 2).enumerate()

    def side(decode):
        def crop(index, encoded):
            return decode(encoded, lambda shape: pipeline._random_window(shape, tf.stack([index, index])))

        return dataset.map(crop, THREADS).prefetch(THREADS)

    sides = {"window": side(pipeline._decode), "whole": side(whole)}
    seconds = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, images in sides.items():
            start = time.perf_counter()
            images.reduce(0, lambda count, _: count + 1).numpy()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: 1000 * statistics.median(times) / IMAGES for name, times in seconds.items()}
    print(f"JPEG to crop, ms an image, medians: {medians}; whole takes {medians['whole'] / medians['window']:.2f} times as long")


if __name__ == "__main__":
    main()
