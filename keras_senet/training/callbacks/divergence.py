"""A run whose loss is no longer a number ends at once."""

import math

import keras

from keras_senet.errors import DivergedError
from keras_senet.training.state import TrainState


class EndOnDivergence(keras.callbacks.Callback):
    """Raises a `DivergedError` after a step whose loss is infinite or not a number.

    In mixed_float16 a step whose gradients are not finite is skipped, with a lower scale of the loss for the next. An epoch that
    ends with a scale below 1 skipped so many that the network no longer learns, so it raises the same error.

    Args:
        state: the state of the run; the error says where it is.
    """

    def __init__(self, state: TrainState):
        super().__init__()
        self.state = state

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise DivergedError(f"The loss became {logs['loss']} at {self.state.place}")

    def on_epoch_end(self, epoch, logs=None):
        scale = getattr(self.model.optimizer, "dynamic_scale", None)
        if scale is not None and keras.ops.convert_to_numpy(scale) < 1:
            raise DivergedError(f"The gradients of most steps were not finite at the end of epoch {epoch + 1}")
