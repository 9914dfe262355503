"""Looking on at a training run: what TensorBoard shows of it, and how far it has come."""

import datetime
import os
import pathlib
import sys
import time
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from rich import progress

from keras_senet.analysis.gate_reader import GateReader
from keras_senet.analysis.statistics import OFF, ON, STILL

# TensorFlow spends 240 bytes on each value of a histogram: without squeeze there can be 25 million of them in a layer.
_VALUES_IN_A_HISTOGRAM = 2**16


class Watch(keras.callbacks.TensorBoard):
    """Keras' TensorBoard callback, which also shows augmented images.

    In the folder logs, `train` and `validation` hold the numbers of each epoch, and `images` the images at the first epoch of
    `fit`. Steps are epochs, from 0; a run that is resumed goes on.

    Args:
        folder: the folder of the run, in which the folder logs goes.
        augmented: training images as the network is shown them, RGB pixels in [0, 255] of shape `(N, H, W, 3)`; at most 16
            are drawn.

    Example:

    >>> images, labels = np.random.randint(0, 256, (8, 8, 8, 3)), np.eye(8)
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(8, "softmax")])
    >>> model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    >>> watch = keras_senet.training.watch.Watch("runs/example", augmented=images)
    >>> history = model.fit(images, labels, callbacks=[watch], verbose=0)
    """

    def __init__(self, folder: str | os.PathLike, augmented: np.ndarray):
        logs = pathlib.Path(folder) / "logs"
        super().__init__(logs)
        # Not `train`: TensorBoard goes through the files of a folder one after the other, and these two are written at once.
        self.writer = tf.summary.create_file_writer(str(logs / "images"))
        self.augmented = augmented

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self.augmented is not None:
            with self.writer.as_default(step=epoch):
                tf.summary.image("augmented_images", np.asarray(self.augmented) / 255, max_outputs=16)
            self.writer.flush()
            self.augmented = None


class GateHistograms(keras.callbacks.Callback):
    """Shows TensorBoard what the gates of a network do while it learns.

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


class _Mark(NamedTuple):
    """When so many steps of the whole run were done, in seconds of `time.perf_counter`."""

    step: int
    seconds: float


class Progress(keras.callbacks.Callback):
    """One line an epoch, on a terminal also a bar for the whole run, and `images_per_second` in the logs of each epoch.

    The model must have a metric named `top1`.

    Images a second are those of training alone, without validation and without the first batch of `fit`, in which the graph
    is traced and compiled. The time left is that of all that remains, at the pace of all since that batch, validation included.

    Callbacks that shall see `images_per_second` come after this one. `fit` does not tell callbacks of an exception, which
    would leave the terminal without its cursor: call `fit` within `with progress.bar:`.

    Args:
        steps_per_epoch: batches in a whole epoch.
        batch_size: images in a batch, on all devices together.
        epochs: epochs in the whole run, those before it was resumed too.
        first_step: batches that were already done of the first epoch of `fit`, in a run that is resumed within an epoch.

    Example:

    >>> images, labels = np.random.randint(0, 256, (8, 8, 8, 3)), np.eye(8)
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(8, "softmax")])
    >>> top1 = keras.metrics.CategoricalAccuracy(name="top1")
    >>> model.compile("sgd", "categorical_crossentropy", metrics=[top1], jit_compile=False)
    >>> progress = keras_senet.training.watch.Progress(steps_per_epoch=2, batch_size=4, epochs=3)
    >>> with progress.bar:
    ...     history = model.fit(images, labels, batch_size=4, epochs=3, callbacks=[progress], verbose=0)
    epoch 1/3  loss ...
    epoch 2/3  loss ...
    epoch 3/3  loss ...  0:00:00 left
    """

    def __init__(self, steps_per_epoch: int, batch_size: int, epochs: int, first_step: int = 0):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.epochs = epochs
        self.first_step = first_step
        self.started = None
        columns = (progress.BarColumn(bar_width=None), progress.TextColumn("{task.description}"))
        self.bar = progress.Progress(*columns, expand=True, disable=not sys.stdout.isatty())
        self.task = self.bar.add_task("starting", total=epochs * steps_per_epoch)

    def on_train_begin(self, logs=None):
        self.bar.start()

    def on_train_end(self, logs=None):
        self.bar.stop()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.begun = self.reached = _Mark(epoch * self.steps_per_epoch + self.first_step, time.perf_counter())
        self.steps_before = self.begun.step
        self.first_step = 0

    def on_train_batch_end(self, batch, logs=None):
        if self.started is None and self.reached.step > self.begun.step:
            self.started = self.begun = self.reached  # the first batch is behind us
        self.reached = _Mark(self.steps_before + batch + 1, time.perf_counter())
        self.bar.update(self.task, completed=self.reached.step, description=self._line(logs))

    def on_epoch_end(self, epoch, logs=None):
        logs["images_per_second"] = self._images_per_second()
        print(self._line(logs), flush=True)

    def _images_per_second(self) -> float:
        return self.batch_size * (self.reached.step - self.begun.step) / (self.reached.seconds - self.begun.seconds)

    def _line(self, logs: dict[str, float]) -> str:
        since = self.started or self.begun
        pace = (time.perf_counter() - since.seconds) / (self.reached.step - since.step)
        left = datetime.timedelta(seconds=round(pace * (self.epochs * self.steps_per_epoch - self.reached.step)))
        parts = [f"epoch {self.epoch + 1}/{self.epochs}", f"loss {logs['loss']:.4f}  top1 {logs['top1']:.2%}"]
        if "val_loss" in logs:
            parts.append(f"held out: loss {logs['val_loss']:.4f}  top1 {logs['val_top1']:.2%}")
        return "  ".join([*parts, f"{self._images_per_second():,.0f} images/s", f"{left} left"])
