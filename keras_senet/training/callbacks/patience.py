"""The end of a run that no longer gets better."""

import keras

from keras_senet.training.recipe import Recipe
from keras_senet.training.state import TrainState


def is_over(recipe: Recipe, state: TrainState) -> bool:
    """Whether a run has done all its epochs, or so many without a better one that its patience is at an end."""
    without_better = state.epoch - state.best_epoch
    return state.epoch >= recipe.epochs or (recipe.patience is not None and without_better >= recipe.patience)


class EndWithoutProgress(keras.callbacks.Callback):
    """Ends the run when its patience is at an end; best.keras is the network after its best epoch.

    `keras.callbacks.EarlyStopping` will not do: it forgets the epochs before a resumption.

    Args:
        recipe: has the patience.
        state: the state of the run, which knows the best epoch.
        write: whether this process says so.
    """

    def __init__(self, recipe: Recipe, state: TrainState, write: bool):
        super().__init__()
        self.recipe = recipe
        self.state = state
        self.write = write

    def on_epoch_end(self, epoch, logs=None):
        if is_over(self.recipe, self.state):
            self.model.stop_training = True
            if self.write and self.state.epoch < self.recipe.epochs:
                print(
                    f"No epoch of the last {self.recipe.patience} was better than epoch {self.state.best_epoch}, so the run ends."
                )
