"""What the gates of a network do while it learns, for TensorBoard."""

import os

import keras
import numpy as np
import tensorflow as tf

from keras_senet.analysis.gate_reader import GateReader
from keras_senet.analysis.statistics import OFF, ON, STILL

# TensorFlow spends 240 bytes on each value of a histogram, and a layer without squeeze can have 25 million of them.
_VALUES_IN_A_HISTOGRAM = 2**16


class GateHistograms(keras.callbacks.Callback):
    """Shows in TensorBoard what the gates of a network do while it learns.

    After each epoch, for each layer that `keras_senet.gates` reads: a histogram of its gates; as `gates_off` and `gates_on` the
    shares of them that are saturated, below 0.01 and above 0.99; and as `gates_still` the share of its channels whose gates
    differ by less than 0.01 over all images. Where each position has gates of its own, all count. Steps are epochs, from 0.

    Args:
        folder: where TensorBoard's files go, a folder inside that of its logs to which nothing else writes:
            TensorBoard goes through the files of a folder one after the other.
        images: images to read the gates for, `(N, H, W, C)` as the network takes them; all pass through it in one batch.
        network: a functional model whose weights are the current ones whenever an epoch ends; by default the model that `fit`
            trains.

    Raises:
        ValueError: if the network has no graph or no such layer; for the model that `fit` trains, when training begins.

    Example:

    >>> images, labels = np.random.randint(0, 256, (8, 8, 8, 3)), np.eye(8)
    >>> inputs = keras.Input((8, 8, 3))
    >>> x = keras_senet.layers.SqueezeExcite(reduction=1)(inputs)
    >>> outputs = keras.layers.Dense(8, "softmax")(keras.layers.Flatten()(x))
    >>> model = keras.Model(inputs, outputs)
    >>> model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    >>> gates = keras_senet.training.GateHistograms("runs/example_logs/gates", images)
    >>> history = model.fit(images, labels, callbacks=[gates], verbose=0)
    """

    def __init__(self, folder: str | os.PathLike, images: np.ndarray, network: keras.Model | None = None):
        super().__init__()
        self.reader = None if network is None else GateReader(network)
        self.writer = tf.summary.create_file_writer(str(folder))
        self.images = images

    def on_train_begin(self, logs=None):
        if self.reader is None:
            self.reader = GateReader(self.model)

    def on_epoch_end(self, epoch, logs=None):
        random = np.random.default_rng(epoch)
        with self.writer.as_default(step=epoch):
            for name, gates in self.reader.predict_on_batch(self.images).items():
                channels = gates.reshape(-1, gates.shape[-1])
                tf.summary.scalar(f"gates_off/{name}", np.mean(gates < OFF))
                tf.summary.scalar(f"gates_on/{name}", np.mean(gates > ON))
                tf.summary.scalar(f"gates_still/{name}", np.mean(np.ptp(channels, axis=0) < STILL))
                if gates.size > _VALUES_IN_A_HISTOGRAM:
                    gates = random.choice(gates.ravel(), _VALUES_IN_A_HISTOGRAM)
                tf.summary.histogram(f"gates/{name}", gates)
        self.writer.flush()
