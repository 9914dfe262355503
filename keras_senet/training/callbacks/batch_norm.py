"""Batch normalization during a run: its statistics on several replicas, and its freezing in the last epochs."""

import keras

from keras_senet.training.devices import Devices
from keras_senet.training.network import normalizations


class AverageStatistics(keras.callbacks.Callback):
    """Gives all replicas the mean of their moving statistics before they evaluate: each replica has its own.

    Args:
        model: the model that `fit` trains.
        devices: the devices of the run.

    Attributes:
        average: does the same at any other time.
    """

    def __init__(self, model: keras.Model, devices: Devices):
        super().__init__()
        self.average = devices.averaging([value for layer in normalizations(model) for value in layer.non_trainable_variables])

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
