"""All that a run is at one moment, in one file, so that it can go on from there as if nothing had happened."""

import json
import os
import pathlib
import zipfile
from collections.abc import Iterable

import keras
import numpy as np

from keras_senet.errors import InputError, existing_path
from keras_senet.files import replacing
from keras_senet.keras_internals import random_states

_PROGRESS = "progress"


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
    for variable in (*model.variables, *model.optimizer.variables, *(one for metric in metrics for one in metric.variables)):
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
        np.savez(partial, **{_PROGRESS: json.dumps(progress)}, **values)
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
    try:
        with open(existing_path(path), "rb") as file, np.load(file) as archive:  # which leaves a damaged file open
            values = dict(archive)
        progress = json.loads(str(values.pop(_PROGRESS)))
    except (EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged: remove it, and --resume goes on from the state before it.") from error
    if "0" in values:
        raise InputError(
            f"{path} was saved by an older version of keras-senet, which numbered the variables. This version needs their names, "
            "so finish the run with the version that config.json names, or train anew in another output folder."
        )
    return progress, values


def restore(variables: dict[str, keras.Variable], values: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Gives `variables` the values that `save_state` found in those of the same names.

    Raises:
        ValueError: if the names or shapes are others.
    """
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    saved = {name: value.shape for name, value in values.items()}
    if differing := sorted(name for name in shapes.keys() | saved.keys() if shapes.get(name) != saved.get(name)):
        had, has = (found.get(differing[0], "none") for found in (saved, shapes))
        raise InputError(
            f"{path} is the state of another network or optimizer: {len(differing)} of its variables do not fit this run. The "
            f"first one, {differing[0]}, has the shape {had} there and {has} here."
        )
    for name, variable in variables.items():
        variable.assign(values[name])


def _states(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("epoch*-step*.npz"))
