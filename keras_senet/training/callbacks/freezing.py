"""Freezing of layers in the first epochs of a run, or in all."""

from collections.abc import Sequence

import keras


class Unfreeze(keras.callbacks.Callback):
    """Lets frozen layers be trained from an epoch on.

    Args:
        layers: the frozen layers.
        epoch: the first epoch in which they are trained, from 0; None for never.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], epoch: int | None):
        super().__init__()
        self.layers = layers
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if self.layers and self.epoch is not None and epoch >= self.epoch:
            for layer in self.layers:
                layer.trainable = True
            self.layers = []  # `FreezeBatchNorm` may freeze some of them again
            self.model.make_train_function(force=True)
