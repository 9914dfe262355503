"""All that a run is at one moment, in one file, so that it can go on from there as if nothing had happened."""

import json
import math
import os
import pathlib
import zipfile

import keras
import numpy as np

from keras_senet.errors import existing_path
from keras_senet.files import replacing

_PROGRESS = "progress"


def save_state(folder: pathlib.Path, variables: list[keras.Variable], progress: dict, keep: int, write: bool = True) -> None:
    """Writes a state, and removes all but the newest.

    Args:
        folder: where the states of the run are.
        variables: whose values to keep: weights, statistics, the optimizer's, metrics', the random generators'.
        progress: what else there is to know, for JSON; with "epoch" and "step", which name the file.
        keep: how many states to leave.
        write: whether this process is the one that writes. Several read together what is spread over them.

    Raises:
        FloatingPointError: if a value is not a number; nothing is written.
        OSError: if writing fails; the states before this one are as they were.
    """
    values = [keras.ops.convert_to_numpy(variable) for variable in variables]
    for variable, value in zip(variables, values, strict=True):
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise FloatingPointError(variable.path)
    if not write:
        return
    folder.mkdir(exist_ok=True)
    with replacing(folder / f"epoch{progress['epoch']:05}-step{progress['step']:07}.npz") as partial:
        np.savez(partial, **{_PROGRESS: json.dumps(progress)}, **{str(index): value for index, value in enumerate(values)})
    for old in _states(folder)[:-keep]:
        old.unlink()


def newest_state(folder: pathlib.Path) -> pathlib.Path | None:
    """The file of the latest state in `folder`; None where there is none."""
    return max(_states(folder), default=None)


def read_state(path: str | os.PathLike) -> tuple[dict, list[np.ndarray]]:
    """The progress and the values in a state's file.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        with np.load(existing_path(path)) as archive:
            progress = json.loads(str(archive[_PROGRESS]))
            return progress, [archive[str(index)] for index in range(len(archive.files) - 1)]
    except (EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: remove it, and --resume goes on from the state before it.") from error


def restore(variables: list[keras.Variable], values: list[np.ndarray], path: str | os.PathLike) -> None:
    """Gives `variables` the values that `save_state` found in them.

    Raises:
        ValueError: if they are others.
    """
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        had, have = (
            f"{len(shapes)} variables of {sum(map(math.prod, shapes)):,} numbers"
            for shapes in ([value.shape for value in values], [tuple(variable.shape) for variable in variables])
        )
        raise ValueError(f"{path} is the state of another network or optimizer: it has {had}, and this run {have}.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _states(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("epoch*-step*.npz"))
