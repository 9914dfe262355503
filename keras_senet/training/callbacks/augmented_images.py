"""What training images look like after augmentation, for TensorBoard."""

import os

import keras
import numpy as np
import tensorflow as tf


class AugmentedImages(keras.callbacks.Callback):
    """Shows augmented images in TensorBoard, at the first epoch of the first `fit`. Steps are epochs, from 0.

    Args:
        folder: where TensorBoard's files go, a folder inside its logs to which nothing else writes: TensorBoard reads the files
            of a folder one after the other, so it would miss some of two that grow at the same time.
        images: training images as the network sees them, RGB pixels in [0, 255] of shape `(N, H, W, 3)`; at most 16 are drawn.

    Example:

    >>> from keras_senet.training.callbacks.augmented_images import AugmentedImages
    >>> images, labels = np.random.randint(0, 256, (8, 8, 8, 3)), np.eye(8)
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(8, "softmax")])
    >>> model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    >>> history = model.fit(images, labels, callbacks=[AugmentedImages("runs/example/logs/images", images)], verbose=0)
    """

    def __init__(self, folder: str | os.PathLike, images: np.ndarray):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(folder))
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        if self.images is not None:
            with self.writer.as_default(step=epoch):
                tf.summary.image("augmented_images", np.asarray(self.images) / 255, max_outputs=16)
            self.writer.flush()
            self.images = None
