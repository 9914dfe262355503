"""The schedule "plateau": the learning rate follows the validation loss."""

import keras


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Divides the learning rate by 10 when the validation loss has not fallen for ten epochs.

    Attributes:
        state: what it remembers of the epochs so far, for JSON.
    """

    def __init__(self):
        super().__init__(monitor="val_loss", factor=0.1, patience=10)

    def on_train_begin(self, logs=None):
        """Does nothing: Keras forgets its epochs here, but a resumed run consists of several calls of `fit`."""

    @property
    def state(self) -> dict[str, float]:
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    @state.setter
    def state(self, state: dict[str, float]):
        self.best, self.wait, self.cooldown_counter = state["best"], state["wait"], state["cooldown_counter"]
