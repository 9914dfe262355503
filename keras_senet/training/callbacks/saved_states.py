"""The states from which a run can go on."""

import keras

from keras_senet.errors import DivergedError
from keras_senet.keras_internals import sync_variables
from keras_senet.training.callbacks.batch_norm import AverageStatistics
from keras_senet.training.devices import Devices
from keras_senet.training.run_folder import RunFolder
from keras_senet.training.state import TrainState


class SaveStates(keras.callbacks.Callback):
    """Saves the state after each epoch, and every so many steps. In a resumed epoch it first puts the metrics back.

    Args:
        state: the state of the run.
        folder: the folder of the run.
        statistics: averages the statistics of batch normalization, which each replica has for itself.
        devices: the devices of the run.
        steps_per_epoch: number of steps in an epoch.
        every: number of steps after which to save; None for epochs alone.
        keep: how many states to keep.
    """

    def __init__(
        self,
        state: TrainState,
        folder: RunFolder,
        statistics: AverageStatistics,
        devices: Devices,
        steps_per_epoch: int,
        every: int | None,
        keep: int,
    ):
        super().__init__()
        self.state = state
        self.folder = folder
        self.statistics = statistics
        self.devices = devices
        self.steps_per_epoch = steps_per_epoch
        self.every = every
        self.keep = keep

    def save(self) -> None:
        """Saves the state. All workers must call it at the same step.

        Raises:
            DivergedError: if a value is infinite or not a number.
        """
        sync_variables(self.model)
        self.statistics.average()
        try:
            self.state.save(self.folder.states, self.keep, write=self.devices.writes)
        except FloatingPointError as error:
            raise DivergedError(f"{error} became infinite or no number at {self.state.place}") from error
        self.devices.barrier()  # no worker may name this state before the first one has written it

    def on_epoch_begin(self, epoch, logs=None):
        if self.state.step:  # `fit` has just reset the metrics
            self.state.restore_metrics()

    def on_train_batch_end(self, batch, logs=None):
        if self.every and self.state.step % self.every == 0 and self.state.step < self.steps_per_epoch:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.save()
