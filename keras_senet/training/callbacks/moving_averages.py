"""Training with the weights, evaluating and saving with their moving averages."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_senet.keras_internals import averages_of_weights


class MovingAverages(keras.callbacks.Callback):
    """Puts the moving averages of the weights, which the optimizer keeps, in the place of the weights for each evaluation.

    `keras.callbacks.SwapEMAWeights` does not do. On TensorFlow it swaps by adding and subtracting, which rounds: each
    evaluation would change the weights a little, and a run that is stopped in the midst of one and resumed would no longer
    equal one that was not. And it cannot take the averages out again in the midst of an evaluation, where a state may be saved.

    Without moving averages this does nothing.

    Args:
        model: the model that `fit` trains, with a built optimizer.
    """

    def __init__(self, model: keras.Model):
        super().__init__()
        self.weights = model.trainable_variables
        self.averages = averages_of_weights(model.optimizer)
        self.replaced: list[np.ndarray] = []  # the values of the weights when averages last took their place

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model computes with the moving averages."""
        self.apply()
        try:
            yield
        finally:
            self.put_back()

    def apply(self) -> None:
        if self.averages:
            self.replaced = _values(self.weights)
            _assign(self.weights, _values(self.averages))

    def put_back(self) -> None:
        """Gives the weights the values that `apply` replaced."""
        if self.replaced:
            _assign(self.weights, self.replaced)

    def on_epoch_begin(self, epoch, logs=None):
        # `fit` ends by overwriting the weights with the averages. A resumed run calls it more than once.
        self.put_back()

    def on_test_begin(self, logs=None):
        self.apply()

    def on_test_end(self, logs=None):
        self.put_back()


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
