"""One training run, from a recipe to a folder that holds all of it."""

import contextlib
import csv
import importlib.metadata
import io
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_senet import data
from keras_senet.analysis import profile
from keras_senet.analysis.gate_reader import has_gates
from keras_senet.errors import FileError, InputError, LostWorkerError, require
from keras_senet.files import replacing, write_text
from keras_senet.inference.classifier import open_classifier
from keras_senet.inference.labels import LABELS_FILE
from keras_senet.inference.preprocessing import preprocessing_for
from keras_senet.keras_internals import averages_of_weights, loss_metric, sync_variables
from keras_senet.plots.confusion import draw_confusion
from keras_senet.plots.learning_curve import draw_learning_curve
from keras_senet.plots.predictions import draw_predictions, most_wrong
from keras_senet.settings import flat_fields
from keras_senet.training.devices import Devices, open_devices
from keras_senet.training.evaluation import evaluate, metrics
from keras_senet.training.multi_worker import lost_worker, repaired_fit, watch
from keras_senet.training.network import build, learner, normalizations
from keras_senet.training.optimization import Plateau, loss, optimizer
from keras_senet.training.recipe import Recipe
from keras_senet.training.report import write_report
from keras_senet.training.state import named_variables, newest_state, read_state, restore, save_state
from keras_senet.training.watch import GateHistograms, Progress, Watch

_PACKAGES = ("keras-senet", "keras", "tensorflow", "tensorflow-datasets", "numpy")
_CONFIG_FILE = "config.json"
_BATCHES_OF_MISTAKES = 30  # are looked through for mistakes to draw


class DivergedError(InputError):
    """The loss of a run is no longer a number."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, as preemptible machines do.

    Attributes:
        status: with which the command then ends.
    """

    status = 128 + signal.SIGTERM


def train(
    recipe: Recipe,
    output: str | os.PathLike,
    *,
    resume: bool = False,
    save_every: int | None = None,
    keep: int = 3,
    strategy: str = "auto",
    hosts: list[str] | None = None,
    worker: int | None = None,
    data_service: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    report: bool = True,
) -> dict[str, dict[str, float]]:
    """Trains a network and keeps all that the run made in one folder.

    The folder holds config.json (the recipe, the devices and the versions: all it takes to repeat the run), history.csv and
    learning_curve.png (loss and accuracy by epoch), logs/ (for TensorBoard), labels.txt (the class names), last.keras and
    best.keras (the networks after the last epoch and after the one with the highest held-out accuracy), states/ (from which
    the run can go on), metrics.json, confusion.png and mistakes.png (of the last network, the latter where it makes any),
    damaged.txt where there are such images, and report.md, which shows all of this.

    Args:
        recipe: what to do.
        output: the folder; it must not exist yet, or be empty, or hold a run to resume. Several workers share it.
        resume: go on where the run in `output` stopped, if there is one. On one CPU the weights become those, to the last bit,
            of a run that never stopped. The number of replicas may be another one than before.
        save_every: number of steps after which the state is saved, besides after each epoch; None for epochs alone.
        keep: how many states to keep.
        strategy: on which devices, see `open_devices`; so are `hosts` and `worker`.
        hosts: "host:port" of each worker.
        worker: which of them this process is, from 0.
        data_service: address of a tf.data service that reads and augments the training images, such as "grpc://10.0.0.1:5000".
        callbacks: what else `fit` shall call. After a batch or an epoch they are called before its state is saved.
        report: whether to evaluate the last and the best network when training is over; without, there is no metrics.json,
            confusion.png, mistakes.png and report.md.

    Returns:
        What metrics.json holds: for "last" and "best" the results of `evaluate` on the held-out part, and the epoch. The
        best epoch is chosen by this same part, so its accuracy is a little too good; the last one's is not. Without a report
        it is empty, and so it is for all workers but the first.

    Raises:
        ValueError: if a name in the recipe is unknown, the data or the weights do not fit, the batch does not divide over the
            replicas, over 1 % of the images are damaged, or `output` holds another run.
        DivergedError: a ValueError, if the loss is no longer a number; the states before that are kept.
        ConnectionError: if another worker ended.
        KeyboardInterrupt: on Ctrl-C, and `Terminated` on SIGTERM, after the state was saved; the message says what is left.

    Example:

    >>> few = {"train_split": "train[:64]", "validation_split": "test[:20]", "image_size": 8, "data_dir": "data"}
    >>> recipe = keras_senet.training.Recipe.of("SEResNet20", "digits", epochs=1, batch_size=32, learning_rate=0.1, **few)
    >>> measured = keras_senet.training.train(recipe, "runs/example")
    epoch 1/1  loss ...
    >>> measured["last"]["images"], measured["last"]["epoch"]
    (20, 1)
    """
    if keras.config.image_data_format() != "channels_last":
        raise InputError('Training takes the "channels_last" image data format: call keras.config.set_image_data_format.')
    for name, value in (("save_every", save_every), ("keep", keep)):
        if value is not None and value < 1:
            raise InputError(f"`{name}` must be at least 1. Received: {name}={value}")
    require("matplotlib", "train")  # now, not after hours
    folder = pathlib.Path(output)
    state = _state_to_resume(recipe, folder) if resume else None
    if state is None and not _is_free(folder, resume):
        raise InputError(f"{folder} is not empty: it may hold another run. Choose another output folder, or remove it.")
    devices = open_devices(strategy, hosts, worker)  # TensorFlow connects workers before all else
    with _while_workers_are_there(devices):
        run, training_images, held_out_images = _learn(recipe, folder, state, devices, save_every, keep, data_service, callbacks)
    if not run.writes:
        return {}
    if damaged := training_images.damaged | held_out_images.damaged:
        write_text(folder / "damaged.txt", "".join(f"{name}\n" for name in sorted(damaged)))
    return _report(folder, run, held_out_images) if report else {}


def _learn(recipe, folder, state, devices, save_every, keep, data_service, callbacks):
    """Builds what there is to train, and trains it."""
    if recipe.batch_size % devices.replicas:
        nearest = recipe.batch_size // devices.replicas * devices.replicas
        fits = " or ".join(str(size) for size in (nearest, nearest + devices.replicas) if size)
        raise InputError(f"A batch of {recipe.batch_size} does not divide over {devices.replicas} replicas: make it {fits}.")

    if devices.worker:
        devices.any(False)  # the first one prepares the data, where that is to be done
    training_images = data.load(recipe.dataset, recipe.train_split, recipe.data_dir)
    held_out_images = data.load(recipe.dataset, recipe.validation_split, recipe.data_dir)
    if not devices.worker:
        devices.any(False)
    # Not before: where the data is still to be prepared, that draws random numbers too.
    keras.utils.set_random_seed(recipe.seed)
    network = build(recipe, len(training_images.class_names))
    recipe = recipe.replace(image_size=network.input_shape[-2])
    batches = _Batches(recipe, devices, training_images, held_out_images, preprocessing_for(network), data_service)

    with devices.scope():
        model = learner(network, recipe)
        measures = metrics(len(training_images.class_names))
        model.compile(
            optimizer(recipe, batches.steps_per_epoch),
            loss(recipe),
            weighted_metrics=measures,
            # XLA makes training on TensorFlow's CPU device slower.
            jit_compile=False if _tensorflow_on_cpu() else "auto",
        )
        model.optimizer.build(model.trainable_variables)
    writes = devices.worker == 0
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "recipe": recipe.flat(),
            "parameters": profile(network).total.parameters,
            "replicas": devices.replicas,
            "batch_size_per_replica": recipe.batch_size // devices.replicas,
            "versions": _versions(),
        }
        write_text(folder / _CONFIG_FILE, json.dumps(config, indent=2) + "\n")
        write_text(folder / LABELS_FILE, "".join(f"{name}\n" for name in training_images.class_names))

    steps, damaged = batches.steps_per_epoch, training_images.damaged
    run = _Run(recipe, network, model, measures, folder, devices, steps, save_every, keep, damaged, callbacks)
    if state is not None:
        run.resume(state)
    try:
        with _signals_between_batches(run), data.plain_errors():
            _fit(model, run, batches, network)
        devices.any(False)  # none ends before all are here
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)(f"Stopped. {run.where()}") from None
    except OSError as error:
        raise FileError(f"{error}. {run.where()}") from error
    finally:
        if writes:
            with contextlib.suppress(OSError):  # a disk that is full was said to be so above
                draw_learning_curve(folder / "history.csv", folder / "learning_curve.png")
    return run, training_images, held_out_images


@contextlib.contextmanager
def _while_workers_are_there(devices: Devices) -> Iterator[None]:
    """Within it several workers train together; when one of them ends, so do the others."""
    if devices.workers == 1:
        yield
        return
    advice = "Start all workers again, with --resume, to go on from the last state."
    with repaired_fit(), watch(devices.hosts, devices.worker, advice):
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            raise LostWorkerError(f"{lost_worker('Another worker')} {advice}") from error


def read_recipe(config: str | os.PathLike) -> Recipe:
    """The recipe in the config.json of a run.

    Raises:
        ValueError: if it is none, or has settings that this version does not know.
    """
    try:
        fields = json.loads(pathlib.Path(config).read_text(encoding="utf-8"))["recipe"]
        unknown = sorted(fields.keys() - {field.name for field in flat_fields(Recipe)})
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{config} is not the config.json of a run.") from error
    if unknown:
        raise InputError(f"{config} has settings that this version does not know: {', '.join(unknown)}.")
    return Recipe.of(**fields)


def _is_free(folder: pathlib.Path, resume: bool) -> bool:
    """Whether a run may begin there; one that ended before its first state may begin anew."""
    if not folder.exists():
        return True
    return folder.is_dir() and (not any(folder.iterdir()) or (resume and (folder / _CONFIG_FILE).exists()))


def _state_to_resume(recipe: Recipe, folder: pathlib.Path) -> pathlib.Path | None:
    if not (folder / _CONFIG_FILE).exists():
        return None
    was = read_recipe(folder / _CONFIG_FILE)
    now = recipe.replace(image_size=recipe.image_size or was.image_size)
    for (name, before), after in zip(was.flat().items(), now.flat().values(), strict=True):
        if before != after and name != "data_dir":
            raise InputError(
                f"The run in {folder} has {name}={before!r}, so it cannot go on with {name}={after!r}. Leave that "
                "as it was, or choose another output folder."
            )
    return newest_state(folder / "states")


class _Batches:
    """The images of a run, as `fit` takes them."""

    def __init__(self, recipe, devices, training_images, held_out_images, preprocessing, data_service):
        self.recipe = recipe
        self.devices = devices
        self.training_images = training_images
        self.held_out_images = held_out_images
        self.preprocessing = preprocessing
        self.data_service = data_service
        self.per_replica = recipe.batch_size // devices.replicas
        self.steps_per_epoch = training_images.size // recipe.batch_size
        if not self.steps_per_epoch:
            raise InputError(
                f"A batch of {recipe.batch_size} needs more images than the {training_images.size} there are: use a smaller one."
            )
        self.shard = data.Shard(devices.workers, devices.worker)

    def training(self, epoch: int, step: int):
        local_replicas = self.devices.replicas // self.devices.workers
        return self.devices.distribute(
            lambda: data.training_batches(
                self.training_images,
                self.recipe.image_size,
                self.per_replica,
                self.recipe.augmentation,
                aug_repeats=self.recipe.aug_repeats,
                balanced=self.recipe.balanced,
                start=data.Place(self.recipe.seed, epoch, step * local_replicas),
                shard=self.shard,
                batches_per_epoch=self.steps_per_epoch * local_replicas,
                data_service=self.data_service,
            )
        )

    def held_out(self):
        return self.devices.distribute(self._held_out)

    def _held_out(self) -> tf.data.Dataset:
        batches = data.evaluation_batches(self.held_out_images, self.preprocessing, self.per_replica, shard=self.shard)
        if self.devices.strategy is None:
            return batches
        # Replicas that wait for each other need as many batches, all of one size: images of weight 0 fill them up.

        def fill(images, labels):
            missing = self.per_replica - tf.shape(images)[0]
            weights = tf.pad(tf.ones(tf.shape(images)[:1]), [[0, missing]])
            images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
            labels = tf.pad(labels, [[0, missing], [0, 0]])
            size = self.recipe.image_size
            return tf.ensure_shape(images, (self.per_replica, size, size, 3)), labels, weights

        shape = (self.per_replica, self.recipe.image_size, self.recipe.image_size, 3)
        labels = (self.per_replica, len(self.held_out_images.class_names))
        empty = tf.data.Dataset.from_tensors((tf.zeros(shape), tf.zeros(labels), tf.zeros(self.per_replica))).repeat()
        steps = math.ceil(self.held_out_images.size / self.recipe.batch_size)
        return batches.map(fill).concatenate(empty).take(steps * self.devices.replicas // self.devices.workers)

    def a_few(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Some training images as augmented, and some held-out ones."""
        augmented = data.training_batches(
            self.training_images,
            self.recipe.image_size,
            min(count, self.training_images.size),
            self.recipe.augmentation,
            aug_repeats=self.recipe.aug_repeats,
            balanced=self.recipe.balanced,
            start=data.Place(self.recipe.seed),
        )
        held_out = data.evaluation_batches(self.held_out_images, self.preprocessing, count)
        return tuple(next(iter(batches))[0].numpy() for batches in (augmented, held_out))


def _fit(model: keras.Model, run: "_Run", batches: _Batches, network: keras.Model) -> None:
    recipe = run.recipe
    progress = Progress(batches.steps_per_epoch, recipe.batch_size, recipe.epochs, run.step % batches.steps_per_epoch)
    callbacks = [*([progress] if run.writes else []), *run.plateau, *run.callbacks, run]
    if run.writes:
        augmented, held_out = batches.a_few(16)
        callbacks.append(Watch(run.folder, augmented))
        if has_gates(network):
            callbacks.append(GateHistograms(run.folder / "logs" / "gates", held_out, network))
    with warnings.catch_warnings(), progress.bar if run.writes else contextlib.nullcontext():
        # How many held-out images there are is known only when all are decoded; Keras warns when they end.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        if run.step == batches.steps_per_epoch:
            run.finish_epoch(model, batches.held_out())
        while run.epoch < recipe.epochs:
            model.fit(
                batches.training(run.epoch, run.step),
                initial_epoch=run.epoch,
                # An epoch that is resumed in its midst is shorter than the others.
                epochs=run.epoch + 1 if run.step else recipe.epochs,
                steps_per_epoch=batches.steps_per_epoch - run.step,
                validation_data=batches.held_out(),
                callbacks=callbacks,
                shuffle=False,  # done already
                verbose=0,
            )


def _report(folder: pathlib.Path, run: "_Run", held_out_images: data.LabelledImages) -> dict[str, dict[str, float]]:
    """Measures the networks that are left, and draws what the last one takes for what."""
    class_names = held_out_images.class_names
    classifier = open_classifier(folder / "last.keras")
    evaluation = evaluate(classifier, held_out_images)
    best = evaluation
    if run.best_epoch != run.epoch:
        best = evaluate(open_classifier(folder / "best.keras"), held_out_images)
    measured = {
        name: one.summary() | {"epoch": epoch}
        for name, one, epoch in (("last", evaluation, run.epoch), ("best", best, run.best_epoch))
    }
    draw_confusion(evaluation.confusion, class_names, folder / "confusion.png")
    mistakes = []
    for images, labels in data.evaluation_batches(held_out_images, classifier.preprocessing, 64).take(_BATCHES_OF_MISTAKES):
        mistakes = most_wrong(images.numpy(), classifier.probabilities(images.numpy()), labels.numpy(), class_names, mistakes)
    if mistakes:
        _, pictures, captions = zip(*mistakes, strict=True)
        draw_predictions(pictures, captions, folder / "mistakes.png")
    write_text(folder / "metrics.json", json.dumps(measured, indent=2) + "\n")
    write_report(folder)
    return measured


class _Run(keras.callbacks.Callback):
    """Where a run is, what it keeps of each epoch, and how it ends early.

    Attributes:
        epoch: number of epochs that are done.
        step: number of steps of the next one that are done.
        epoch_of_network: number of the epoch after which last.keras was written; 0 before.
        asked: the error with which to end after the next batch, when a signal asked for it.
    """

    def __init__(
        self, recipe, network, model, measures, folder, devices: Devices, steps_per_epoch, save_every, keep, damaged, callbacks
    ):
        super().__init__()
        self.recipe = recipe
        self.network = network
        self.folder = folder
        self.devices = devices
        self.writes = devices.worker == 0
        self.steps_per_epoch = steps_per_epoch
        self.save_every = save_every
        self.keep = keep
        self.damaged = damaged
        self.callbacks = callbacks
        self.plateau = [Plateau()] if recipe.schedule == "plateau" else []
        self.metrics = [loss_metric(model), *measures]
        self.measured = [variable for metric in self.metrics for variable in metric.variables]
        self.variables = named_variables(model, self.metrics)
        self.trained = model.trainable_variables
        self.averages = averages_of_weights(model.optimizer)
        self.normalizations = normalizations(model)
        # Each replica has moving statistics of its own.
        statistics = [variable for layer in self.normalizations for variable in layer.non_trainable_variables]
        self.average_statistics = devices.averaging(statistics)
        self.epoch = self.step = self.epoch_of_network = 0
        self.best, self.best_epoch = [-math.inf, -math.inf], 0
        self.history = []
        self.seconds = 0.0
        self.resumed = None
        self.kept = []
        self.asked = None

    def resume(self, path: pathlib.Path) -> None:
        """Goes back to a state."""
        progress, values = read_state(path)
        restore(self.variables, values, path)
        for name in ("epoch", "step", "best", "best_epoch", "history", "seconds"):
            setattr(self, name, progress[name])
        self.epoch_of_network = self.epoch
        if self.step:  # `fit` sets metrics to zero at first, those that it knows by then
            self.resumed = [keras.ops.convert_to_numpy(variable) for variable in self.measured]
        else:
            for metric in self.metrics:
                metric.reset_state()
        self.damaged.update(progress["damaged"])
        for plateau, state in zip(self.plateau, progress["plateau"], strict=True):
            plateau.state = state

    def finish_epoch(self, model: keras.Model, held_out) -> None:
        """Does what is left of an epoch that was stopped while it was evaluated."""
        callbacks = (*self.plateau, *self.callbacks, self)
        for callback in callbacks:
            callback.set_model(model)
        self.on_epoch_begin(self.epoch)
        logs = {metric.name: float(metric.result()) for metric in self.metrics}
        for metric in self.metrics:  # `fit` does not know them yet
            metric.reset_state()
        measured = model.evaluate(held_out, callbacks=[*self.callbacks, self], return_dict=True, verbose=0)
        logs |= {f"val_{name}": value for name, value in measured.items()}
        logs["images_per_second"] = self.recipe.batch_size * self.steps_per_epoch / self._seconds_of_epoch()
        for callback in callbacks:
            callback.on_epoch_end(self.epoch, logs)

    def save(self) -> None:
        sync_variables(self.model)
        self.average_statistics()
        progress = {name: getattr(self, name) for name in ("epoch", "step", "best", "best_epoch", "history")}
        progress |= {"damaged": sorted(self.damaged), "seconds": self._seconds_of_epoch()}
        progress["plateau"] = [plateau.state for plateau in self.plateau]
        try:
            save_state(self.folder / "states", self.variables, progress, self.keep, self.writes)
        except FloatingPointError as error:
            raise self._diverged(f"{error} became infinite or no number") from error
        self.devices.any(False)  # no worker says where the run can go on before the first one has written it

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        self._put_back(self.kept)  # the end of `fit` leaves the averages in their place
        if self.resumed is not None:
            for variable, value in zip(self.measured, self.resumed, strict=True):
                variable.assign(value)
            self.resumed = None
        frozen = epoch >= self.recipe.epochs - self.recipe.freeze_bn_epochs
        if frozen and any(layer.trainable for layer in self.normalizations):
            for layer in self.normalizations:
                layer.trainable = False
            self.model.make_train_function(force=True)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if not math.isfinite(logs["loss"]):
            raise self._diverged(f"The loss became {logs['loss']}")
        stop = self.devices.any(self.asked is not None)
        if stop or (self.save_every and self.step % self.save_every == 0 and self.step < self.steps_per_epoch):
            self.save()
        if stop:
            raise self.asked or Terminated

    def on_test_begin(self, logs=None):
        self.average_statistics()
        self.before_test = [keras.ops.convert_to_numpy(variable) for variable in self.measured]
        self.kept = self._average()

    def on_test_batch_end(self, batch, logs=None):
        if self.devices.any(self.asked is not None):
            self._put_back(self.kept)
            for variable, value in zip(self.measured, self.before_test, strict=True):
                variable.assign(value)
            self.save()
            raise self.asked or Terminated

    def on_test_end(self, logs=None):
        self._put_back(self.kept)

    def on_epoch_end(self, epoch, logs):
        self.kept = self._average()
        self.network.set_weights(self.model.get_weights())
        self._put_back(self.kept)
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["seconds"] = self._seconds_of_epoch()
        self.epoch, self.step, self.seconds, self.started = epoch + 1, 0, 0.0, time.monotonic()
        score = [logs["val_top1"], -logs["val_loss"]]
        best = score > self.best
        if best:
            self.best, self.best_epoch = score, self.epoch
        self.history.append({"epoch": epoch} | logs)
        if self.writes:
            with replacing(self.folder / "last.keras") as partial:
                self.network.save(partial)
        self.epoch_of_network = self.epoch
        if self.writes:
            if best:
                with replacing(self.folder / "best.keras") as partial:
                    shutil.copyfile(self.folder / "last.keras", partial)
            self._write_history()
        self.save()
        if self.devices.any(self.asked is not None):
            raise self.asked or Terminated

    def where(self) -> str:
        """What is left of the run, and what the user can do."""
        state = newest_state(self.folder / "states")
        network = f"The network after epoch {self.epoch_of_network} is {self.folder / 'last.keras'}."
        if state is not None:
            return f"{network if self.epoch_of_network else ''} --resume goes on from {state}.".lstrip()
        if not self.epoch_of_network:
            network = f"{self.folder} holds no network of this run."
        return f"{network} No state was saved, so --resume begins the run anew."

    def _average(self) -> list[np.ndarray]:
        """Puts the moving averages in the place of the weights, and returns these."""
        if not self.averages:
            return []
        kept = [keras.ops.convert_to_numpy(variable) for variable in self.trained]
        self._put_back([keras.ops.convert_to_numpy(variable) for variable in self.averages])
        return kept

    def _put_back(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.trained, values, strict=bool(values)):
            variable.assign(value)

    def _diverged(self, what: str) -> DivergedError:
        place = f"step {self.step} of epoch {self.epoch + 1}"
        return DivergedError(f"{what} at {place}: lower the learning rate, or lengthen the warm-up. {self.where()}")

    def _seconds_of_epoch(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def _write_history(self) -> None:
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self.history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self.folder / "history.csv", table.getvalue())


@contextlib.contextmanager
def _signals_between_batches(run: _Run) -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM act between batches, and a second one at once.

    Where one falls into a library's code, that may swallow it; and a state can only be saved between two batches.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    errors = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a job in the background ignores it
        del errors[signal.SIGINT]

    def ask(number, _):
        if run.asked is not None:
            raise errors[number]
        run.asked = errors[number]

    before = {number: signal.signal(number, ask) for number in errors}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if run.asked is not None:  # after the last batch
        raise run.asked


def _tensorflow_on_cpu() -> bool:
    return keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")


def _versions() -> dict[str, str]:
    installed = {package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()}
    versions = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), "backend": keras.backend.backend(), **versions}
