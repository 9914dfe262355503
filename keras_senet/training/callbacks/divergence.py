"""A run whose loss is no longer a number ends at once."""

import math

import keras

from keras_senet.errors import DivergedError
from keras_senet.training.state import TrainState


class EndOnDivergence(keras.callbacks.Callback):
    """Raises a `DivergedError` after a step whose loss is infinite or not a number.

    Args:
        state: the state of the run; the error says where it is.
    """

    def __init__(self, state: TrainState):
        super().__init__()
        self.state = state

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise DivergedError(f"The loss became {logs['loss']} at {self.state.place}")
