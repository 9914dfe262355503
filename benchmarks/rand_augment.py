"""RandAugment of one image after another in tf.data: ours, against the layers of Keras and of keras-cv.

Photographs of 224 x 224 pixels; two operations of magnitude 7 of 10 for each, left out half of the time where that can be asked.
The processor's time is quoted, so that other programs hardly count.
"""

import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_cv
import tensorflow as tf
from comparison import Comparison, compare, show, timed
from sklearn.datasets import load_sample_images

from keras_senet.data.transforms import rand_augment

SIZE, IMAGES, ROUNDS = 224, 100, 7


def measure() -> list[Comparison]:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    photographs = tf.image.resize(load_sample_images().images, (SIZE, SIZE), antialias=True)
    images = tf.data.Dataset.from_tensor_slices(photographs).repeat().enumerate()
    of_keras = keras.layers.RandAugment(num_ops=2, factor=0.7)
    of_keras_cv = keras_cv.layers.RandAugment((0, 255), augmentations_per_image=2, magnitude=0.7, magnitude_stddev=0.05, rate=0.5)
    nothing_ahead = tf.data.Options()  # while another side is measured
    nothing_ahead.experimental_optimization.apply_default_optimizations = False

    def side(augment) -> Callable[[], float]:
        pixels = images.map(augment).map(lambda image: image[0, 0])  # of each image one, so that copying costs nothing
        batches = iter(pixels.batch(IMAGES).with_options(nothing_ahead))
        next(batches)  # which takes as long as the start does
        return timed(lambda: next(batches), pieces=IMAGES, clock=time.process_time)

    ours = side(lambda index, image: rand_augment(image, tf.stack([index, 0]), 7))
    rivals = {
        "keras.layers.RandAugment": lambda index, image: of_keras(image, training=True),
        "keras_cv.layers.RandAugment": lambda index, image: of_keras_cv(image, training=True),
    }
    return [
        compare("RandAugment of an image, processor time", name, ours, side(augment), rounds=ROUNDS, target=1)
        for name, augment in rivals.items()
    ]


if __name__ == "__main__":
    show(measure())
