"""Trains, as one process of several or alone, and writes down what it saw: `python observed.py FILE.npz FILE.json`.

The first file gets the loss after each step, and the weights after the last epoch; the second one says what to do: the fields
of the recipe, the folder, and what else `train` takes.
"""

import json
import sys

import numpy as np

from keras_senet.training import Recipe, train

module = sys.modules["keras_senet.training.train"]
losses, weights = [], {}
on_train_batch_end, on_epoch_end = module._Run.on_train_batch_end, module._Run.on_epoch_end


def batch(self, number, logs=None):
    losses.append(logs["loss"])
    on_train_batch_end(self, number, logs)


def epoch(self, number, logs):
    on_epoch_end(self, number, logs)
    weights.update({f"weight{index}": value for index, value in enumerate(self.network.get_weights())})


module._Run.on_train_batch_end, module._Run.on_epoch_end = batch, epoch

output, arguments = sys.argv[1:]
with open(arguments) as file:
    given = json.load(file)
if given.pop("logical_devices", 1) > 1:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
try:
    train(Recipe(**given.pop("recipe")), given.pop("output"), **given)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
np.savez(output, losses=losses, **weights)
