"""Trains as one process of several, or on two devices, and writes down what it saw: `python observed.py JOBS.json SEEN.pickle`.

A job is what `train` takes, and `signal`, see `SignalAt`. All jobs of a file are done one after another. Of each the second file
gets the loss after each step, the weights after the last epoch, how it ended, and whether it returned the folder.
"""

import json
import os
import pathlib
import pickle
import signal
import sys

import keras
import tensorflow as tf
import tiny_network

from keras_senet.training import Recipe, report, train


class SignalAt(keras.callbacks.Callback):
    """Sends a signal to its own process when a method of it, such as "on_train_batch_end", is called for the n-th time."""

    def __init__(self, method: str, n: int, number: int = signal.SIGTERM):
        super().__init__()
        self.calls = 0

        def call(*_, **__):
            self.calls += 1
            if self.calls == n:
                os.kill(os.getpid(), number)

        setattr(self, method, call)


class Observer(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.weights = self.model.get_weights()


def observe(job: dict) -> dict:
    """Does a job, and returns what is written of it. With "report" it also makes the report."""
    observer = Observer()
    callbacks = [observer, *([SignalAt(*job.pop("signal"))] if "signal" in job else [])]
    error = folder = None
    try:
        with_report = job.pop("report", False)
        folder = train(Recipe.of(**job.pop("recipe")), job.pop("output"), callbacks=callbacks, **job)
        if with_report and folder:
            report(folder)
    except (Exception, KeyboardInterrupt) as raised:
        error = f"{type(raised).__name__}: {raised}"
    return {"losses": observer.losses, "weights": observer.weights, "error": error, "writes": folder is not None}


def main(jobs: str, seen: str) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    observed = []
    with tiny_network.registered(), tiny_network.narrow_registered():
        for job in json.loads(pathlib.Path(jobs).read_text()):
            observed.append(observe(job))
            pathlib.Path(seen).write_bytes(pickle.dumps(observed))


if __name__ == "__main__":
    main(*sys.argv[1:])
