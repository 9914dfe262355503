"""The schedule "plateau": the learning rate follows the validation loss."""

import keras


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Lets the learning rate drop when the validation loss has not fallen for ten epochs, three times (paper, section 7).

    Args:
        highest: the learning rate at first.
        factor: factor of each drop.

    Attributes:
        state: what it remembers of the epochs so far, for JSON.
    """

    def __init__(self, highest: float, factor: float = 0.1):
        super().__init__(monitor="val_loss", factor=factor, patience=10, min_lr=highest * factor**3)

    def on_train_begin(self, logs=None):
        """Does nothing: Keras forgets its epochs here, but a resumed run consists of several calls of `fit`."""

    @property
    def state(self) -> dict[str, float]:
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    @state.setter
    def state(self, state: dict[str, float]):
        self.best, self.wait, self.cooldown_counter = state["best"], state["wait"], state["cooldown_counter"]
