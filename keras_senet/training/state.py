"""The state of a run, in one file, from which it can go on as if it had never stopped."""

import contextlib
import json
import math
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_senet.errors import InputError, existing_path
from keras_senet.files import replacing
from keras_senet.keras_internals import random_states
from keras_senet.training.callbacks.plateau import Plateau

_PROGRESS = "progress"  # the entry of a file that holds all but the variables


class TrainState:
    """Where a run is, and every variable that its next step depends on.

    Args:
        model: a compiled model whose optimizer is built, and was given its name.
        metrics: the metrics that `fit` measures, those of the loss among them.
        damaged: the names of training images that could not be decoded, a set that grows while they are read.
        class_names: the names of the classes.
        recipe: what the run does, `Recipe.flat`. The copy in config.json may be edited by hand.
        plateau: the callback of the schedule "plateau", which remembers the epochs before; None for other schedules.

    Attributes:
        epoch: number of epochs that are done.
        step: number of steps of the next epoch that are done.
        seconds: which these steps took.
        best: `run_folder.score` of the best epoch.
        best_epoch: its number, from 1.
        history: the logs of each epoch.
        epoch_of_network: number of the epoch after which last.keras was saved; 0 before.
    """

    def __init__(
        self,
        model: keras.Model,
        metrics: list[keras.metrics.Metric],
        damaged: set[str],
        class_names: list[str],
        recipe: dict[str, Any],
        plateau: Plateau | None = None,
    ):
        self.metrics = metrics
        self.damaged = damaged
        self.class_names = class_names
        self.recipe = recipe
        self.plateau = plateau
        self.variables = named_variables(model, metrics)
        self.epoch = self.step = self.epoch_of_network = 0
        self.seconds = 0.0
        self.best, self.best_epoch = [-math.inf, -math.inf], 0
        self.history: list[dict] = []

    @property
    def place(self) -> str:
        return f"step {self.step} of epoch {self.epoch + 1}"

    def save(self, folder: pathlib.Path, keep: int, write: bool) -> None:
        """Saves the state, see `save_state`."""
        progress = {name: getattr(self, name) for name in ("epoch", "step", "best", "best_epoch", "history", "seconds")}
        progress["class_names"] = self.class_names
        progress["recipe"] = self.recipe
        progress["damaged"] = sorted(self.damaged)
        progress["plateau"] = [] if self.plateau is None else [self.plateau.state]
        save_state(folder, self.variables, progress, keep, write)

    def restore(self, path: str | os.PathLike) -> None:
        """Goes back to a state.

        Raises:
            ValueError: if its file is damaged, or the state is that of another network or optimizer.
        """
        progress, values = read_state(path)
        restore(self.variables, values, path)
        for name in ("epoch", "step", "best", "best_epoch", "history", "seconds"):
            setattr(self, name, progress[name])
        self.epoch_of_network = self.epoch
        self.damaged.update(progress["damaged"])
        if self.plateau is not None:
            (self.plateau.state,) = progress["plateau"]
        if not self.step:
            for metric in self.metrics:
                metric.reset_state()
        self.restored_metrics = self.metric_values()

    def metric_values(self) -> list[np.ndarray]:
        """The values of all variables of the metrics, for `assign_metrics`."""
        return [keras.ops.convert_to_numpy(variable) for metric in self.metrics for variable in metric.variables]

    def assign_metrics(self, values: list[np.ndarray]) -> None:
        variables = [variable for metric in self.metrics for variable in metric.variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def restore_metrics(self) -> None:
        """Gives the metrics the values that they had in the state which the run was resumed from."""
        self.assign_metrics(self.restored_metrics)


def named_variables(model: keras.Model, metrics: Iterable[keras.metrics.Metric]) -> dict[str, keras.Variable]:
    """All variables of a run, each by a name that is the same in every process.

    Args:
        model: a compiled model whose optimizer is built, and has a name that was given to it.
        metrics: the metrics to include.

    Returns:
        The variables of the model, its random generators, its optimizer and the metrics.

    Raises:
        ValueError: if two have the same name.
    """
    # A variable's path is such a name, but for random generators, which Keras numbers as a process makes them.
    generators = random_states(model)
    variables = {}
    for variable in (
        *model.variables,
        *model.optimizer.variables,
        *(variable for metric in metrics for variable in metric.variables),
    ):
        name = generators.get(id(variable), variable.path)
        if name in variables:
            raise InputError(f"Two variables are named {name}, so a state could confuse them: give their layers different names.")
        variables[name] = variable
    return variables


def save_state(folder: pathlib.Path, variables: dict[str, keras.Variable], progress: dict, keep: int, write: bool = True) -> None:
    """Writes a state, and removes all but the newest.

    Args:
        folder: where the states of the run are.
        variables: whose values to keep, by name, from `named_variables`.
        progress: what else there is to know, for JSON; with "epoch" and "step", which name the file.
        keep: how many states to leave.
        write: whether this process is the one that writes. Several read together what is spread over them.

    Raises:
        FloatingPointError: if a value is not a number; nothing is written.
        OSError: if writing fails; the states before this one are as they were.
    """
    values = {name: keras.ops.convert_to_numpy(variable) for name, variable in variables.items()}
    for name, value in values.items():
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise FloatingPointError(name)
    if not write:
        return
    folder.mkdir(exist_ok=True)
    with replacing(folder / f"epoch{progress['epoch']:05}-step{progress['step']:07}.npz") as partial:
        content: dict[str, Any] = {_PROGRESS: json.dumps(progress), **values}
        np.savez(partial, **content)
    for old in _states(folder)[:-keep]:
        old.unlink()


def newest_state(folder: pathlib.Path) -> pathlib.Path | None:
    """The file of the latest state in `folder`; None where there is none."""
    return max(_states(folder), default=None)


def read_state(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """The progress and the values, by the names of their variables, in a state's file.

    Raises:
        ValueError: if it is damaged, or of a version that numbered the variables.
    """
    with _damage_named(path):
        with open(existing_path(path), "rb") as file, np.load(file) as archive:  # which leaves a damaged file open
            values = dict(archive)
        progress = json.loads(str(values.pop(_PROGRESS)))
    if "0" in values:
        raise InputError(
            f"{path} was saved by an older version of keras-senet, which numbered the variables. This version needs their names, "
            "so finish the run with the version that config.json names, or train anew in another output folder."
        )
    return progress, values


def read_progress(path: str | os.PathLike) -> dict:
    """The progress in a state's file, without the values. States of older versions lack `class_names` or `recipe`.

    Raises:
        ValueError: if it is damaged.
    """
    with _damage_named(path), open(path, "rb") as file, np.load(file) as archive:  # which reads nothing else of it
        return json.loads(str(archive[_PROGRESS]))


def restore(variables: dict[str, keras.Variable], values: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Gives `variables` the values that `save_state` found in those of the same names.

    Raises:
        ValueError: if the names or shapes are others.
    """
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    saved = {name: value.shape for name, value in values.items()}
    if differing := sorted(name for name in shapes.keys() | saved.keys() if shapes.get(name) != saved.get(name)):
        had, has = (named.get(differing[0], "none") for named in (saved, shapes))
        raise InputError(
            f"{path} is the state of another network or optimizer: {len(differing)} of its variables do not fit this run. The "
            f"first one, {differing[0]}, has the shape {had} there and {has} here."
        )
    for name, variable in variables.items():
        variable.assign(values[name])


@contextlib.contextmanager
def _damage_named(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except (EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged: remove it, and --resume goes on from the state before it.") from error


def _states(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("epoch*-step*.npz"))
