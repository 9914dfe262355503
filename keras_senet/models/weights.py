"""Weights from a file of Keras, and the refusal of those of another network."""

import contextlib
import os
import warnings
import zipfile

import h5py
import keras

from keras_senet.errors import existing_path


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads a `.weights.h5` or `.keras` file of the same architecture into `model`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its weights are not, array for array, those of `model`.
    """
    path = existing_path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each layer that does not fit, before the error that says so
            model.load_weights(path)
        # Keras passes over what is in the file and not in the model.
        found, needed = _count_weights(path), len(model.weights)
        if found != needed:
            raise ValueError(f"The file has {found} arrays, the model {needed}.")
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()).partition(" List of objects")[0]
        raise ValueError(
            f"The weights in {path} do not fit {model.name} with output shape {model.output_shape}: they must come from a "
            f".weights.h5 or .keras file of the same architecture with the same classes, attention and reduction. {reason}"
        ) from error


def _count_weights(path: str) -> int:
    """The number of a model's arrays in a file, the states of its optimizer and random generators left out."""
    names = []
    with contextlib.ExitStack() as stack:
        if path.endswith(".keras"):
            path = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open("model.weights.h5"))
        file = stack.enter_context(h5py.File(path))
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sum(not name.startswith("optimizer/") and "/seed_generator/" not in name for name in names)
