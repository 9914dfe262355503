"""The networks that a run leaves: last.keras and best.keras."""

import shutil

import keras

from keras_senet.files import replacing
from keras_senet.training.callbacks.moving_averages import MovingAverages
from keras_senet.training.run_folder import RunFolder
from keras_senet.training.state import TrainState


class SaveNetworks(keras.callbacks.Callback):
    """Saves the network after each epoch, and after the best one a copy of it.

    Args:
        network: the network as it is saved, which gets the weights of the model that `fit` trains.
        averages: what evaluates the model; the network gets the same weights.
        state: the state of the run, which learns the best epoch.
        folder: the folder of the run.
        write: whether this process writes.
    """

    def __init__(self, network: keras.Model, averages: MovingAverages, state: TrainState, folder: RunFolder, write: bool):
        super().__init__()
        self.network = network
        self.averages = averages
        self.state = state
        self.folder = folder
        self.write = write

    def on_epoch_end(self, epoch, logs):
        with self.averages.applied():
            self.network.set_weights(self.model.get_weights())
        score = [logs["val_top1"], -logs["val_loss"]]
        is_best = score > self.state.best
        if is_best:
            self.state.best, self.state.best_epoch = score, epoch + 1
        if self.write:
            with replacing(self.folder.last) as partial:
                self.network.save(partial)
        self.state.epoch_of_network = epoch + 1
        if self.write and is_best:
            with replacing(self.folder.best) as partial:
                shutil.copyfile(self.folder.last, partial)
