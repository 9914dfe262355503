"""One training run, from a recipe to a folder that holds all of it."""

import contextlib
import os
import pathlib
import warnings
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_senet import data
from keras_senet.analysis.gate_reader import has_gates
from keras_senet.errors import InputError, require
from keras_senet.inference.labels import keep_class_names
from keras_senet.inference.preprocessing import preprocessing_for
from keras_senet.keras_internals import loss_metrics
from keras_senet.plots.learning_curve import draw_learning_curves
from keras_senet.training.batches import Batches
from keras_senet.training.callbacks.augmented_images import AugmentedImages
from keras_senet.training.callbacks.batch_norm import AverageStatistics, FreezeBatchNorm
from keras_senet.training.callbacks.divergence import EndOnDivergence
from keras_senet.training.callbacks.freezing import Unfreeze
from keras_senet.training.callbacks.gate_histograms import GateHistograms
from keras_senet.training.callbacks.history_file import HistoryFile
from keras_senet.training.callbacks.moving_averages import MovingAverages
from keras_senet.training.callbacks.patience import EndWithoutProgress, is_over
from keras_senet.training.callbacks.plateau import Plateau
from keras_senet.training.callbacks.position import Position
from keras_senet.training.callbacks.progress import Progress
from keras_senet.training.callbacks.saved_networks import SaveNetworks
from keras_senet.training.callbacks.saved_states import SaveStates
from keras_senet.training.callbacks.signals import EndOnSignal
from keras_senet.training.devices import open_devices
from keras_senet.training.distillation import distilled, open_teacher
from keras_senet.training.freezing import check_stage, frozen_layers
from keras_senet.training.network import training_model
from keras_senet.training.optimizers import learning_rate, optimizer
from keras_senet.training.owner import disown, owning
from keras_senet.training.recipe import Recipe
from keras_senet.training.run_folder import RunFolder
from keras_senet.training.state import TrainState
from keras_senet.training.tasks import Task, task_of
from keras_senet.training.teacher_outputs import ask_once

_SAMPLES = 16  # images that TensorBoard shows, and whose gates it shows


def train(
    recipe: Recipe,
    output: str | os.PathLike,
    *,
    resume: bool = False,
    save_every: int | None = None,
    keep_states: int = 3,
    strategy: str = "auto",
    hosts: list[str] | None = None,
    worker: int | None = None,
    data_service: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> RunFolder | None:
    """Trains a network and keeps all that the run made in one folder. `report` then says how good the network is.

    Before it begins, it prints what the dataset holds, see `keras_senet.data.contents`, and a line on what it computes where.

    Args:
        recipe: what to do.
        output: the folder; it must not exist yet, or be empty, or hold a run to resume. Several workers share it.
        resume: go on where the run in `output` stopped, if there is one. `epochs` may be more than it had, where no other
            setting depends on their number: schedule="plateau", or "step" with `decay_boundaries`, without `freeze_bn_epochs`.
            On one CPU the weights become those, to the last bit, of a run that never stopped. The number of replicas may differ
            from before.
        save_every: number of steps after which the state is saved, besides after each epoch; None for epochs alone.
        keep_states: how many states to keep.
        strategy: which devices to train on, see `open_devices`; so are `hosts` and `worker`.
        hosts: "host:port" of each worker.
        worker: which of them this process is, from 0.
        data_service: address of a tf.data service that reads and augments the training images, such as "grpc://10.0.0.1:5000".
        callbacks: what else `fit` shall call. After a batch or an epoch they are called before its state is saved.

    Returns:
        The folder, a `RunFolder`, which says what its files are; None for all workers but the first, which writes them.

    Raises:
        ValueError: if a name in the recipe is unknown, the data, the weights or the teacher do not fit, the batch does not
            divide over the replicas, over 1 % of the images are damaged, or `output` is within the dataset or holds another run,
            perhaps one that began with other classes or that another process trains.
        DivergedError: a ValueError, if the loss is no longer a number; the states before that are kept.
        ConnectionError: if another worker ended.
        KeyboardInterrupt: on Ctrl-C, `Terminated` on SIGTERM and `HungUp` on SIGHUP, after the state was saved; the message says
            what is left.

    Example:

    >>> few = {"train_split": "train[:64]", "validation_split": "test[:20]", "image_size": 8, "data_dir": "data"}
    >>> recipe = keras_senet.training.Recipe.of("SEResNet20", "digits", epochs=1, batch_size=32, learning_rate=0.1, **few)
    >>> folder = keras_senet.training.train(recipe, "runs/example")
    class       training  validation
    10 classes        64          20
    SEResNet20 on digits: 8 x 8 pixels, images in a step 32, steps in an epoch 2, epochs 1, on 1 ...
    epoch 1/1  loss ...
    >>> measured = keras_senet.training.report(folder)
    >>> measured["last"]["images"], measured["last"]["epoch"]
    (20, 1)
    """
    _check_options(save_every, keep_states)
    _check_place(output, recipe)
    check_stage(recipe)
    folder = RunFolder.open(output, recipe, resume)
    devices = open_devices(strategy, hosts, worker)  # before TensorFlow does anything else: it connects the workers
    # Other workers write nothing, and share the folder of the first one.
    owner = owning(folder.path, resume) if devices.writes else contextlib.nullcontext()
    with devices.ending_together(lambda: disown(folder.path)), owner:
        # These raise before a dataset is prepared, which takes long.
        devices.batch_size_per_replica(recipe.batch_size)
        if recipe.gradient_accumulation > 1 and devices.replicas > 1:
            raise InputError(
                f"`gradient_accumulation` is for one device: in its branch TensorFlow cannot sum {devices.replicas} replicas. "
                "Raise the batch size, which they share, or choose strategy='single'."
            )
        with devices.first_worker_first():  # because it prepares the dataset
            training_images, validation_images = (
                load_images(recipe, split) for split in (recipe.train_split, recipe.validation_split)
            )
            test_images = load_test_images(recipe)
        class_names = training_images.class_names
        task = task_of(recipe, training_images)
        folder.check_class_names(class_names)
        keras.utils.set_random_seed(recipe.seed)  # only after loading: preparing a dataset consumes random numbers
        network = task.network()
        keep_class_names(network, class_names)
        preprocessing = preprocessing_for(network)
        recipe = recipe.replace(image_size=preprocessing.image_size)
        taught = None
        with devices.scope():
            model = training_model(network, recipe, task.exact_layers)
            if recipe.teacher is not None:
                model = distilled(model, open_teacher(recipe, class_names), recipe)
                if data_service is None:  # whose workers could not look up what the teacher says
                    with devices.first_worker_first():  # because it keeps that in a file
                        taught = ask_once(model.teacher, recipe, training_images)
            images = training_images, validation_images
            batches = Batches(recipe, devices, *images, preprocessing, data_service, task.targets(network), taught)
            measured = task.metrics()
            # XLA makes training on TensorFlow's CPU device slower.
            jit = False if _tensorflow_on_cpu() else "auto"
            frozen = frozen_layers(model, recipe)
            if recipe.unfreeze_epoch is None:  # and the optimizer needs to know nothing of what is frozen
                _freeze(frozen)
            model.compile(
                optimizer(recipe, batches.steps_per_epoch, model),
                task.losses(),
                **{task.argument_of_metrics: measured},
                jit_compile=jit,
            )
            model.optimizer.build(model.trainable_variables)
            metrics = [*loss_metrics(model, batches.symbolic_targets()), *measured]
            _freeze(frozen)
        if devices.writes:
            parts = {"training": training_images, "validation": validation_images, "test": test_images}
            print(data.contents({name: images for name, images in parts.items() if images is not None}))
            print(
                f"{recipe.model} on {recipe.dataset}: {recipe.image_size} x {recipe.image_size} pixels, images in a step "
                f"{recipe.batch_size:,}, steps in an epoch {batches.steps_per_epoch:,}, epochs {recipe.epochs:,}, "
                f"on {devices.description}, {recipe.dtype_policy}",
                flush=True,
            )
            saving = {"save_every": save_every, "keep_states": keep_states}
            folder.write_config(recipe, network, class_names, devices, saving)
        plateau = None
        if recipe.schedule == "plateau":
            plateau = Plateau(learning_rate(recipe, batches.steps_per_epoch), recipe.decay_factor)
        state = TrainState(model, metrics, training_images.damaged, class_names, recipe.flat(), plateau)
        if newest := folder.newest_state():
            state.restore(newest)
        try:
            with folder.telling_what_is_left(state), data.plain_errors():
                called, lasting = _callbacks(
                    task, network, model, frozen, batches, state, folder, save_every, keep_states, callbacks
                )
                _fit(model, batches, state, called, lasting)
                devices.barrier()  # no worker ends before all are done
        finally:
            if devices.writes:
                with contextlib.suppress(OSError):  # a full disk has raised its error already
                    if folder.epochs():
                        draw_learning_curves({folder.path.name: folder.history}, folder.learning_curve)
    if not devices.writes:
        return None
    folder.write_damaged(training_images.damaged | validation_images.damaged)
    return folder


def load_images(recipe: Recipe, split: str) -> data.LabelledImages:
    """The images of one part of a recipe's dataset."""
    return data.load(recipe.dataset, split, recipe.data_dir, recipe.labels_csv, recipe.task)


def load_test_images(recipe: Recipe) -> data.LabelledImages | None:
    """The images on which the finished network is measured: those of the test part, if the best epoch is chosen on others."""
    if recipe.validation_split != "validation":
        return None
    return data.load_test(recipe.dataset, recipe.data_dir, recipe.labels_csv, recipe.task)


def _check_place(output: str | os.PathLike, recipe: Recipe) -> None:
    """Refuses an output folder within a folder of images, whose next listing would take the run's pictures for images."""
    dataset = pathlib.Path(recipe.dataset).expanduser()
    if recipe.labels_csv is None and dataset.is_dir() and pathlib.Path(output).resolve().is_relative_to(dataset.resolve()):
        raise InputError(f"The output folder {output} is within the dataset {recipe.dataset}: choose one outside of it.")


def _check_options(save_every: int | None, keep_states: int) -> None:
    """Refuses now what would otherwise fail after hours."""
    if keras.config.image_data_format() != "channels_last":
        raise InputError('Training takes the "channels_last" image data format: call keras.config.set_image_data_format.')
    for name, value in (("save_every", save_every), ("keep_states", keep_states)):
        if value is not None and value < 1:
            raise InputError(f"`{name}` must be at least 1. Received: {name}={value}")
    require("matplotlib", "train")


def _freeze(layers: Sequence[keras.layers.Layer]) -> None:
    for layer in layers:
        layer.trainable = False


def _tensorflow_on_cpu() -> bool:
    return keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")


def _callbacks(
    task: Task,
    network: keras.Model,
    model: keras.Model,
    frozen: Sequence[keras.layers.Layer],
    batches: Batches,
    state: TrainState,
    folder: RunFolder,
    save_every: int | None,
    keep_states: int,
    users: Sequence[keras.callbacks.Callback],
) -> tuple[list[keras.callbacks.Callback], list[keras.callbacks.Callback]]:
    """The callbacks of a run in the order in which `fit` calls them, and those of them that leave a trace in what it saves.

    The order matters, because some add to the logs, which all share, and some raise an error, after which no other is called:

    1. What measures the network on the validation images beside the metrics adds to the logs, and `Progress` adds
       `images_per_second`. It prints its line before the run can end.
    2. `Plateau` and the user's callbacks may change the learning rate and the weights, so they come before these are saved.
    3. `Position` counts the step or epoch that is done, and adds its seconds and the learning rate to the logs.
    4. `EndOnDivergence` comes before all that saves.
    5. `AverageStatistics`, `MovingAverages`, `Unfreeze` and `FreezeBatchNorm` act when an evaluation or an epoch begins.
    6. `SaveNetworks`, `HistoryFile` and `SaveStates` save, the state last: it says that the other files are complete.
    7. `EndWithoutProgress` and `EndOnSignal` end the run after all is saved.
    8. `TensorBoard` shows the complete logs, `GateHistograms` the network that was saved.
    """
    recipe, devices = batches.recipe, batches.devices
    statistics = AverageStatistics(model, devices)
    averages = MovingAverages(model)
    saver = SaveStates(state, folder, statistics, devices, batches.steps_per_epoch, save_every, keep_states)
    measuring = task.measuring(network, averages, batches.validation_images)
    lasting = [
        *([] if state.plateau is None else [state.plateau]),
        *users,
        Position(state),
        EndOnDivergence(state),
        statistics,
        averages,
        Unfreeze(frozen, recipe.unfreeze_epoch),
        FreezeBatchNorm(recipe.epochs - recipe.freeze_bn_epochs),
        SaveNetworks(network, averages, state, folder, devices.writes),
        HistoryFile(state, folder, devices.writes),
        saver,
        EndWithoutProgress(recipe, state, devices.writes),
        EndOnSignal(state, saver, averages, devices),
    ]
    if not devices.writes:
        return [*measuring, *lasting], [*measuring, *lasting]
    augmented, validation = batches.samples(_SAMPLES)
    tensorboard = [keras.callbacks.TensorBoard(folder.logs), AugmentedImages(folder.logs / "images", augmented)]
    if has_gates(network):
        tensorboard.append(GateHistograms(folder.logs / "gates", validation, task.of_images(network)))
    progress = Progress(batches.steps_per_epoch, recipe.batch_size, recipe.epochs, state.step % batches.steps_per_epoch)
    return [*measuring, progress, *lasting, *tensorboard], [*measuring, *lasting]


def _fit(
    model: keras.Model,
    batches: Batches,
    state: TrainState,
    callbacks: list[keras.callbacks.Callback],
    lasting: list[keras.callbacks.Callback],
) -> None:
    """Trains from the state on until all epochs are done."""
    recipe = batches.recipe
    with contextlib.ExitStack() as stack:
        for callback in callbacks:  # `fit` does not tell callbacks of an exception, but some have to tidy up
            if isinstance(callback, contextlib.AbstractContextManager):
                stack.enter_context(callback)
        stack.enter_context(warnings.catch_warnings())
        # The number of validation images is known only when all are decoded, and Keras warns when they end.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        if state.step == batches.steps_per_epoch:
            _finish_epoch(model, batches, state, lasting)
        while not is_over(recipe, state):
            model.fit(
                batches.training(state.epoch, state.step),
                initial_epoch=state.epoch,
                # An epoch that is resumed in its midst is shorter than the others.
                epochs=state.epoch + 1 if state.step else recipe.epochs,
                steps_per_epoch=batches.steps_per_epoch - state.step,
                validation_data=batches.validation(),
                callbacks=callbacks,
                shuffle=False,  # the batches are shuffled already
                verbose=0,
            )


def _finish_epoch(model: keras.Model, batches: Batches, state: TrainState, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Does the rest of an epoch that was stopped during its evaluation."""
    together = keras.callbacks.CallbackList(callbacks, model=model)
    together.on_epoch_begin(state.epoch)
    logs = {metric.name: float(metric.result()) for metric in state.metrics}
    for metric in state.metrics:  # `evaluate` does not know all of them yet
        metric.reset_state()
    measured = model.evaluate(batches.validation(), callbacks=together, return_dict=True, verbose=0)
    logs |= {f"val_{name}": value for name, value in measured.items()}
    logs["images_per_second"] = batches.recipe.batch_size * batches.steps_per_epoch / state.seconds
    together.on_epoch_end(state.epoch, logs)
