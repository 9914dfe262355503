"""RandAugment of one image after another in tf.data: ours, against the layers of Keras and of keras-cv.

Photographs of 224 x 224 pixels; two operations of magnitude 7 of 10 for each, left out half of the time where that can be asked.
The three sides take turns; medians of the processor's time are quoted, so that other programs hardly count.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_cv
import tensorflow as tf
from sklearn.datasets import load_sample_images

from keras_senet.data import augmentation

SIZE, IMAGES, ROUNDS = 224, 100, 7


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    photographs = tf.image.resize(load_sample_images().images, (SIZE, SIZE), antialias=True)
    images = tf.data.Dataset.from_tensor_slices(photographs).repeat().enumerate()
    of_keras = keras.layers.RandAugment(num_ops=2, factor=0.7)
    of_keras_cv = keras_cv.layers.RandAugment((0, 255), augmentations_per_image=2, magnitude=0.7, magnitude_stddev=0.05, rate=0.5)
    sides = {
        "keras_senet": lambda index, image: augmentation.rand_augment(image, tf.stack([index, 0]), 7),
        "keras.layers": lambda index, image: of_keras(image, training=True),
        "keras_cv.layers": lambda index, image: of_keras_cv(image, training=True),
    }
    nothing_ahead = tf.data.Options()  # while another side is measured
    nothing_ahead.experimental_optimization.apply_default_optimizations = False
    batches = {}
    for name, side in sides.items():
        pixels = images.map(side).map(lambda image: image[0, 0])  # of each image one, so that copying costs nothing
        batches[name] = iter(pixels.batch(IMAGES).with_options(nothing_ahead))
    milliseconds = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name in sides:
            start = time.process_time()
            next(batches[name])
            if turn:  # the first time is that of the start
                milliseconds[name].append(1000 * (time.process_time() - start) / IMAGES)
    medians = {name: round(statistics.median(side), 2) for name, side in milliseconds.items()}
    print(f"RandAugment, ms of one core an image, medians: {medians}")


if __name__ == "__main__":
    main()
