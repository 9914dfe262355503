"""Ctrl-C, SIGTERM and SIGHUP end a run between two batches, with its state saved."""

import signal
import threading

import keras

from keras_senet.errors import HungUp, Terminated
from keras_senet.keras_internals import sync_variables
from keras_senet.training.callbacks.moving_averages import MovingAverages
from keras_senet.training.callbacks.saved_states import SaveStates
from keras_senet.training.devices import Devices
from keras_senet.training.state import TrainState


class EndOnSignal(keras.callbacks.Callback):
    """Saves the state and ends the run after the batch in which a signal came; a second signal ends it at once.

    Library code may swallow an exception that a signal raises within it, and a state can only be saved between two batches.

    Within `with` it takes the place of the process' own signal handlers. Only the main thread can do that; in another thread
    signals are left alone.

    Args:
        state: the state of the run.
        saver: saves it.
        averages: what may stand in the place of the weights in an evaluation.
        devices: the devices of the run; a signal to one worker ends all.
    """

    def __init__(self, state: TrainState, saver: SaveStates, averages: MovingAverages, devices: Devices):
        super().__init__()
        self.state = state
        self.saver = saver
        self.averages = averages
        self.devices = devices
        self.received = None  # the error with which to end
        self.previous_handlers: dict = {}

    def __enter__(self) -> "EndOnSignal":
        if threading.current_thread() is threading.main_thread():
            errors: dict[int, type[KeyboardInterrupt]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job ignores Ctrl-C
                del errors[signal.SIGINT]
            hangup = getattr(signal, "SIGHUP", None)  # Windows has none
            if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # nohup ignores it, and the run goes on
                errors[hangup] = HungUp

            def handle(number, _):
                if self.received is not None:
                    raise errors[number]
                self.received = errors[number]

            self.previous_handlers = {number: signal.signal(number, handle) for number in errors}
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)
        if kind is None and self.received is not None:  # it came after the last batch
            raise self.received

    def on_train_batch_end(self, batch, logs=None):
        if self._is_due():
            self.saver.save()
            self._end()

    def on_test_begin(self, logs=None):
        self.metrics_of_training = self.state.metric_values()  # before `evaluate` resets them

    def on_test_batch_end(self, batch, logs=None):
        if self._is_due():  # the state to save is that from before the evaluation, which a resumed run does again
            sync_variables(self.model)  # saving syncs them, too: what is put back now must come after that
            self.averages.put_back()
            self.state.assign_metrics(self.metrics_of_training)
            self.saver.save()
            self._end()

    def on_epoch_end(self, epoch, logs=None):
        if self._is_due():  # the state was just saved
            self._end()

    def _is_due(self) -> bool:
        return self.devices.any(self.received is not None)

    def _end(self) -> None:
        raise self.received or Terminated  # another worker got the signal
