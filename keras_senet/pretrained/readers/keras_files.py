"""Files of Keras: `.weights.h5`, among them those in our own cache, and whole models as `.keras`."""

import contextlib
import hashlib
import io
import json
import zipfile
from typing import Any

import h5py
import ml_dtypes
import numpy as np

from keras_senet.errors import InputError, one_line
from keras_senet.pretrained.layouts import LAYOUTS
from keras_senet.pretrained.weights import Weights

CONFIG = "model_config"  # dataset of a file in our cache: the configuration of its model as JSON
DIGEST = "sha256"  # attribute of a file in our cache: the `digest` of its parameters when it was written


def read_keras_file(path: str) -> Weights:
    """Reads a `.weights.h5` or `.keras` file.

    Raises:
        ValueError: if the file is damaged, or not one of Keras.
    """
    arrays, layers = {}, {}

    def visit(name, item):
        """Keras stores weights as <class>_<n>/<attribute>/.../vars/<number>; the attributes of `vars` have the layer's name."""
        group, _, inner = name.partition("/")
        if inner == "vars":
            layers[group] = item.attrs.get("name")
        elif isinstance(item, h5py.Dataset) and "seed_generator/" not in name:
            value = item[()]
            arrays[name] = value.view(ml_dtypes.bfloat16) if value.dtype.kind == "V" else value

    architecture: dict[str, Any] = {}
    config = None
    try:
        with contextlib.ExitStack() as stack:
            source: str | io.BytesIO = path
            if path.endswith(".keras"):
                archive = stack.enter_context(zipfile.ZipFile(path))
                config = json.loads(archive.read("config.json"))
                architecture = _preprocessing(config)
                source = io.BytesIO(archive.read("model.weights.h5"))
            file = stack.enter_context(h5py.File(source))
            if "layers" in file:
                file["layers"].visititems(visit)
            written = file.attrs.get(DIGEST)
            if CONFIG in file:
                config = json.loads(file[CONFIG][()])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged, or not a weights file of Keras: {one_line(error)}") from error
    names = frozenset(layers.values()) - {None}
    for layout in LAYOUTS.values():
        if layout.mark in names:
            architecture |= layout.architecture
    architecture |= LAYOUTS["keras"].shown(names)
    parameters = {}
    for name, value in arrays.items():
        group, _, inner = name.partition("/")
        parameters[f"{layers.get(group)}/{inner.replace('vars/', '')}"] = value
    if written is not None and written != digest(parameters):
        raise InputError(f"{path} is damaged: its numbers have changed since it was written.")
    return Weights(path, "keras", parameters, architecture, names, config)


def digest(parameters: dict[str, np.ndarray]) -> str:
    """The SHA-256 of all parameters, sorted by name."""
    total = hashlib.sha256()
    for name in sorted(parameters):
        total.update(np.ascontiguousarray(parameters[name]).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _preprocessing(model_config: dict) -> dict[str, Any]:
    """The fields of the architecture that describe the images, from the configuration of a saved model."""
    for layer in model_config["config"].get("layers", ()):
        config = layer["config"]
        if config.get("name") == "preprocessing":
            mean, std = (np.ravel(config["mean"]) / 255, np.sqrt(np.ravel(config["variance"])) / 255)
            known = {key: config[key] for key in ("crop_ratio", "interpolation") if key in config}
            return {"mean": tuple(mean.tolist()), "std": tuple(std.tolist())} | known
    return {}
