"""How far a run has come and how fast it is, on the terminal or in the log of a job."""

import contextlib
import datetime
import sys
import threading
import time
from typing import NamedTuple

import keras
from rich import progress

from keras_senet.training.run_folder import measure

_SECONDS_BETWEEN_LINES = 60  # at most, where there is no terminal


class _Mark(NamedTuple):
    """The number of steps done in the whole run at a time of `time.perf_counter`."""

    step: int
    seconds: float


class Progress(keras.callbacks.Callback):
    """Prints one line per epoch, and adds `images_per_second` to the logs of each epoch.

    In between a terminal shows a bar. Elsewhere a line is printed a minute after the last one, by a thread: the first step,
    which waits for images and for the compiler, may take longer than that, and so may an evaluation.

    Of the metrics it shows the first of `run_folder.MEASURES` that there is.

    `images_per_second` counts training alone: neither validation nor the first batch of `fit`, in which the graph is traced and
    compiled. The time left covers all that remains, at the average pace since that batch, validation included.

    Callbacks that need `images_per_second` come after this one. Call `fit` within `with progress:`. `fit` does not tell
    callbacks of an exception, which would leave the terminal without its cursor.

    Args:
        steps_per_epoch: batches in an epoch.
        batch_size: images in a batch, over all devices.
        epochs: epochs in the whole run, including those before it was resumed.
        first_step: batches of the first epoch that were done before the run was resumed.

    Example:

    >>> from keras_senet.training.callbacks.progress import Progress
    >>> images, labels = np.random.randint(0, 256, (8, 8, 8, 3)), np.eye(8)
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(8, "softmax")])
    >>> top1 = keras.metrics.CategoricalAccuracy(name="top1")
    >>> model.compile("sgd", "categorical_crossentropy", metrics=[top1], jit_compile=False)
    >>> progress = Progress(steps_per_epoch=2, batch_size=4, epochs=3)
    >>> with progress:
    ...     history = model.fit(images, labels, batch_size=4, epochs=3, callbacks=[progress], verbose=0)
    epoch 1/3  loss ...
    epoch 2/3  loss ...
    epoch 3/3  loss ...  0:00:00 left
    """

    def __init__(self, steps_per_epoch: int, batch_size: int, epochs: int, first_step: int = 0):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.epochs = epochs
        self.first_step = first_step
        self.started = None
        columns = (progress.BarColumn(bar_width=None), progress.TextColumn("{task.description}"))
        self.bar = progress.Progress(*columns, expand=True, disable=not sys.stdout.isatty())
        self.task = self.bar.add_task("starting", total=epochs * steps_per_epoch)
        self.now = "starting"
        self.printed = time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._print_now_and_then, daemon=True)

    def __enter__(self) -> "Progress":
        self.bar.start()
        if self.bar.disable:
            self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        self.over.set()
        if self.bar.disable:
            self.thread.join()
        with contextlib.suppress(OSError):  # the terminal may be gone, and the error that tells of that comes first
            self.bar.stop()

    def _print_now_and_then(self) -> None:
        while not self.over.wait(max(0, self.printed + _SECONDS_BETWEEN_LINES - time.monotonic())):
            if time.monotonic() - self.printed >= _SECONDS_BETWEEN_LINES:
                try:
                    self._print(self.now)
                except OSError:  # nobody reads it, and the main thread will see that, too
                    return

    def _print(self, line: str) -> None:
        self.printed = time.monotonic()
        print(line, flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.begun = self.reached = _Mark(epoch * self.steps_per_epoch + self.first_step, time.perf_counter())
        self.steps_before = self.begun.step
        self.first_step = 0
        self._now("waiting for the first step")

    def on_train_batch_end(self, batch, logs=None):
        if self.started is None and self.reached.step > self.begun.step:
            self.started = self.begun = self.reached  # the first batch is done
        self.reached = _Mark(self.steps_before + batch + 1, time.perf_counter())
        line = self._line(logs)
        self._now(line.partition("  ")[2])
        self.bar.update(self.task, completed=self.reached.step, description=line)

    def on_test_begin(self, logs=None):
        self._now("evaluating")

    def on_epoch_end(self, epoch, logs=None):
        logs["images_per_second"] = self._images_per_second()
        self._print(self._line(logs))
        self._now("saving")

    def _now(self, text: str) -> None:
        step = self.reached.step - self.epoch * self.steps_per_epoch
        self.now = f"epoch {self.epoch + 1}/{self.epochs}  step {step}/{self.steps_per_epoch}  {text}"

    def _images_per_second(self) -> float:
        return self.batch_size * (self.reached.step - self.begun.step) / (self.reached.seconds - self.begun.seconds)

    def _line(self, logs: dict[str, float]) -> str:
        since = self.started or self.begun
        pace = (time.perf_counter() - since.seconds) / (self.reached.step - since.step)
        left = datetime.timedelta(seconds=round(pace * (self.epochs * self.steps_per_epoch - self.reached.step)))
        name = measure(logs)
        parts = [f"epoch {self.epoch + 1}/{self.epochs}"]
        for title, prefix in (("", ""), ("validation: ", "val_")):
            if f"{prefix}loss" in logs:
                parts.append(f"{title}loss {logs[f'{prefix}loss']:.4f}")
            if f"{prefix}{name}" in logs:  # average precision is that of validation images alone
                parts.append(f"{name} {logs[f'{prefix}{name}']:.2%}")
        return "  ".join([*parts, f"{self._images_per_second():,.0f} images/s", f"{left} left"])
