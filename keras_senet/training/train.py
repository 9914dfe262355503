"""One training run, from a recipe to a folder that holds all of it."""

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator

import keras
import tensorflow as tf

from keras_senet import data
from keras_senet.analysis import profile
from keras_senet.errors import require
from keras_senet.export.classifier import LABELS_FILE, open_classifier
from keras_senet.files import replacing, write_text
from keras_senet.models.constructor import find_model, image_shape
from keras_senet.preprocessing import preprocessing_for
from keras_senet.training.evaluate import evaluate, metrics
from keras_senet.training.optimization import optimizer
from keras_senet.training.pictures import draw_learning_curve
from keras_senet.training.recipe import EXCITATION, Recipe

_PACKAGES = ("keras-senet", "keras", "tensorflow", "tensorflow-datasets", "numpy")


class DivergedError(ValueError):
    """The loss of a run is no longer a number."""


def train(recipe: Recipe, output: str | os.PathLike) -> dict[str, dict[str, float]]:
    """Trains a network and keeps all that the run made in one folder.

    The folder holds config.json (the recipe and the versions: all it takes to repeat the run), history.csv and
    learning_curve.png (loss and accuracy by epoch), logs/ (for TensorBoard), labels.txt (the class names), last.keras and
    best.keras (the networks after the last epoch and after the one with the highest held-out accuracy) and metrics.json.

    Args:
        recipe: what to do.
        output: the folder; it must not exist yet, or be empty.

    Returns:
        What metrics.json holds: for "last" and "best" the results of `evaluate` on the held-out part, and the epoch. The
        best epoch is chosen by this same part, so its accuracy is a little too good; the last one's is not.

    Raises:
        ValueError: if a name in the recipe is unknown, the data or the weights do not fit, or `output` holds another run.
        DivergedError: a ValueError, if the loss is no longer a number.
        KeyboardInterrupt: on Ctrl-C; the message says where the network of the last finished epoch is.

    Example:

    >>> recipe = keras_senet.training.Recipe("SEResNet20", "digits", epochs=2, batch_size=64, learning_rate=0.1)
    >>> sorted(keras_senet.training.train(recipe, "runs/example"))
    ['best', 'last']
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError('Training takes the "channels_last" image data format: call keras.config.set_image_data_format.')
    folder = pathlib.Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: it may hold another run. Choose another output folder, or remove it.")
    training_images = data.load(recipe.dataset, recipe.train_split, recipe.data_dir)
    held_out_images = data.load(recipe.dataset, recipe.held_out_split, recipe.data_dir)
    # Not before: where the data is still to be prepared, that draws random numbers too.
    keras.utils.set_random_seed(recipe.seed)
    model = build(recipe, len(training_images.class_names))
    recipe = dataclasses.replace(recipe, image_size=model.input_shape[-2])
    training_batches = data.training_batches(
        training_images,
        recipe.image_size,
        recipe.batch_size,
        augmentation=recipe.augmentation,
        flip=recipe.flip,
        seed=recipe.seed,
    )
    steps_per_epoch = training_images.size // recipe.batch_size

    require("matplotlib", "train")  # now, not after hours
    folder.mkdir(parents=True, exist_ok=True)
    config = {"recipe": dataclasses.asdict(recipe), "parameters": profile(model).total.parameters, "versions": _versions()}
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / LABELS_FILE, "".join(f"{name}\n" for name in training_images.class_names))

    # Compiled is a second model on the same layers, so that the one that is saved carries no optimizer.
    trainer = keras.Model(model.inputs, model.outputs)
    trainer.compile(
        optimizer(recipe, steps_per_epoch),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=metrics(len(training_images.class_names)),
        # XLA makes training on TensorFlow's CPU device slower.
        jit_compile=False if _tensorflow_on_cpu() else "auto",
    )
    keep = _KeepModels(model, folder)
    try:
        with warnings.catch_warnings(), data.plain_errors(), _interrupt_between_batches() as interrupt:
            # How many held-out images there are is known only when all are decoded; Keras warns when they end.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            trainer.fit(
                training_batches,
                epochs=recipe.epochs,
                steps_per_epoch=steps_per_epoch,
                validation_data=data.evaluation_batches(held_out_images, preprocessing_for(model), recipe.batch_size),
                callbacks=[
                    keep,
                    interrupt,
                    keras.callbacks.CSVLogger(folder / "history.csv"),
                    keras.callbacks.TensorBoard(folder / "logs"),
                ],
                shuffle=False,  # done already
                verbose=1 if sys.stdout.isatty() else 2,
            )
        measured = {
            name: evaluate(open_classifier(folder / f"{name}.keras"), held_out_images) | {"epoch": epoch}
            for name, epoch in (("last", keep.last_epoch), ("best", keep.best_epoch))
        }
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Stopped. {keep.where()}") from None
    except OSError as error:
        raise OSError(f"{error}. {keep.where()}") from error
    finally:
        with contextlib.suppress(OSError):  # a disk that is full was said to be so above
            draw_learning_curve(folder / "history.csv", folder / "learning_curve.png")
    write_text(folder / "metrics.json", json.dumps(measured, indent=2) + "\n")
    return measured


class _Interrupt(keras.callbacks.Callback):
    """Ends `fit` with KeyboardInterrupt after the batch in which `asked` was set."""

    asked = False

    def on_train_batch_end(self, batch, logs=None):
        if self.asked:
            raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end


@contextlib.contextmanager
def _interrupt_between_batches() -> Iterator[_Interrupt]:
    """Lets Ctrl-C act between batches, and a second one at once: where it falls into a library's code, that may swallow it."""
    interrupt = _Interrupt()
    python_handles_it = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores it
    if threading.current_thread() is not threading.main_thread() or not python_handles_it:
        yield interrupt
        return

    def ask(*_):
        interrupt.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupt.asked:  # after the last batch
        raise KeyboardInterrupt


class _KeepModels(keras.callbacks.Callback):
    """Saves `model` after each epoch as last.keras and, where its held-out accuracy is the highest so far, as best.keras."""

    def __init__(self, model: keras.Model, folder: pathlib.Path):
        super().__init__()
        self.saved = model
        self.folder = folder
        self.best = (-math.inf, -math.inf)
        self.last_epoch = self.best_epoch = 0

    def on_epoch_end(self, epoch, logs):
        if not math.isfinite(logs["loss"]):
            raise DivergedError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}: lower the learning rate, or lengthen the warm-up. "
                f"{self.where()}"
            )
        with replacing(self.folder / "last.keras") as partial:
            self.saved.save(partial)
        self.last_epoch = epoch + 1
        score = (logs["val_top1"], -logs["val_loss"])
        if score > self.best:
            with replacing(self.folder / "best.keras") as partial:
                shutil.copyfile(self.folder / "last.keras", partial)
            self.best, self.best_epoch = score, epoch + 1

    def where(self) -> str:
        if not self.last_epoch:
            return f"No epoch was finished, so {self.folder} holds no network."
        return f"The network after epoch {self.last_epoch} is {self.folder / 'last.keras'}."


def build(recipe: Recipe, classes: int) -> keras.Model:
    """The network of a recipe.

    Args:
        recipe: says which network, for images of which size.
        classes: number of classes.

    Returns:
        The network, with the weights that the recipe names or random ones.

    Raises:
        ValueError: if the network cannot be as the recipe has it.

    Example:

    >>> keras_senet.training.build(keras_senet.training.Recipe("SEResNet20", "digits"), classes=10).name
    'seresnet20'
    """
    return find_model(recipe.model)(
        weights=recipe.weights,
        input_shape=None if recipe.image_size is None else image_shape(recipe.image_size),
        classes=classes,
        **{name: getattr(recipe, name) for name in EXCITATION},
    )


def _tensorflow_on_cpu() -> bool:
    return keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")


def _versions() -> dict[str, str]:
    installed = {package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()}
    versions = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), "backend": keras.backend.backend(), **versions}
