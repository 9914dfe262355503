"""Where a run is: its epoch, its step and its seconds."""

import time

import keras

from keras_senet.training.state import TrainState


class Position(keras.callbacks.Callback):
    """Counts epochs, steps and seconds in the state, and adds the seconds and the learning rate to the logs of each epoch.

    Args:
        state: the state of the run.
    """

    def __init__(self, state: TrainState):
        super().__init__()
        self.state = state

    def on_epoch_begin(self, epoch, logs=None):
        # A resumed epoch has already taken `state.seconds` when it begins.
        self.started = time.monotonic() - self.state.seconds

    def on_train_batch_end(self, batch, logs=None):
        self.state.step += 1
        self._count_seconds()

    def on_test_batch_end(self, batch, logs=None):
        self._count_seconds()

    def on_epoch_end(self, epoch, logs):
        self._count_seconds()
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = self.state.seconds
        self.state.epoch, self.state.step, self.state.seconds = epoch + 1, 0, 0.0

    def _count_seconds(self) -> None:
        self.state.seconds = time.monotonic() - self.started
