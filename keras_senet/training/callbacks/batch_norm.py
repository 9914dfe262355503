"""Batch normalization during a run: its statistics on several replicas, and its freezing in the last epochs."""

import keras

from keras_senet.training.devices import Devices
from keras_senet.training.network import normalizations


class AverageStatistics(keras.callbacks.Callback):
    """Gives all replicas the mean of their moving statistics before they evaluate: each replica has its own.

    Args:
        model: the model that `fit` trains.
        devices: the devices of the run.
    """

    def __init__(self, model: keras.Model, devices: Devices):
        super().__init__()
        self.normalizations = normalizations(model)
        self.devices = devices
        self.averaged: list[keras.Variable] = []

    def average(self) -> None:
        """Does so now."""
        # The statistics of frozen layers are the same everywhere, and must stay so: a mean could round them.
        trained = [layer for layer in self.normalizations if layer.trainable]
        variables = [value for layer in trained for value in (layer.moving_mean, layer.moving_variance)]
        if len(variables) != len(self.averaged):
            self.averaged, self._average = variables, self.devices.averaging(variables)
        if variables:
            self._average()

    def on_test_begin(self, logs=None):
        self.average()


class FreezeBatchNorm(keras.callbacks.Callback):
    """Lets batch normalization compute as in evaluation from an epoch on.

    Args:
        epoch: the first epoch with frozen normalization, from 0.
    """

    def __init__(self, epoch: int):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        layers = normalizations(self.model)
        if epoch >= self.epoch and any(layer.trainable for layer in layers):
            for layer in layers:
                layer.trainable = False
            self.model.make_train_function(force=True)
