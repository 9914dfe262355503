"""The networks that a run leaves: last.keras and best.keras."""

import shutil

import keras

from keras_senet.files import replacing
from keras_senet.inference.labels import keep_thresholds
from keras_senet.training.callbacks.moving_averages import MovingAverages
from keras_senet.training.multi_label import MeanAveragePrecision
from keras_senet.training.run_folder import RunFolder, score
from keras_senet.training.state import TrainState


class SaveNetworks(keras.callbacks.Callback):
    """Saves the network after each epoch, and after the best one a copy of it.

    With several labels an image, the network keeps the thresholds that suit the validation images best.

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
        for metric in self.state.metrics:
            if isinstance(metric, MeanAveragePrecision):  # of the validation images, which `fit` has just evaluated
                keep_thresholds(self.network, metric.thresholds())
        is_best = score(logs) > self.state.best
        if is_best:
            self.state.best, self.state.best_epoch = score(logs), epoch + 1
        if self.write:
            with replacing(self.folder.last) as partial:
                self.network.save(partial)
        self.state.epoch_of_network = epoch + 1
        if self.write and is_best:
            with replacing(self.folder.best) as partial:
                shutil.copyfile(self.folder.last, partial)
