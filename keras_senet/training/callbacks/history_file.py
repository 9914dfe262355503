"""history.csv: the logs of all epochs."""

import keras

from keras_senet.files import write_csv
from keras_senet.training.run_folder import RunFolder
from keras_senet.training.state import TrainState


class HistoryFile(keras.callbacks.Callback):
    """Adds the logs of each epoch to the state, and writes them all to history.csv.

    `keras.callbacks.CSVLogger` appends to its file: after a resumption that would repeat epochs whose state was lost.

    Args:
        state: the state of the run.
        folder: the folder of the run.
        write: whether this process writes.
    """

    def __init__(self, state: TrainState, folder: RunFolder, write: bool):
        super().__init__()
        self.state = state
        self.folder = folder
        self.write = write

    def on_epoch_end(self, epoch, logs):
        self.state.history.append({"epoch": epoch} | logs)
        if self.write:
            columns = list(self.state.history[0])
            write_csv(self.folder.history, columns, ([row[name] for name in columns] for row in self.state.history))
