"""Files of weights of every kind: what is in them, in whose layout, and how that gets into a network."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import zipfile
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np

from keras_senet.errors import InputError, existing_path, require
from keras_senet.pretrained.layouts import LAYOUTS, parameter_names
from keras_senet.pretrained.readers.caffemodel import read_caffemodel
from keras_senet.pretrained.readers.pth import read_pth

DIGEST = "sha256"  # attribute of a file in our cache: what `digest` gave when it was written
_LISTED = 5  # names in an error message
_BEFORE_CLASSIFIER = re.compile(r"fc\d+/")  # layers of the top that only our own files have
_IN_BACKBONE = re.compile(r"stem_|stage\d")


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a file says.

    Attributes:
        path: of the file.
        layout: of its parameters, a key of `LAYOUTS`.
        parameters: their values, in their publisher's arrangement of axes.
        architecture: what follows for the network: fields of its description, in place of the defaults.
        layers: names of the network's layers, in a file of Keras.
    """

    path: str
    layout: str
    parameters: dict[str, np.ndarray]
    architecture: dict[str, Any]
    layers: frozenset[str] = frozenset()

    def in_classifier(self, name: str) -> bool:
        """Whether the parameter called `name` is of the classifier."""
        return name.startswith(LAYOUTS[self.layout].classifier)

    @property
    def classes(self) -> int | None:
        """How many classes they tell apart; None without a classifier."""
        return next((len(value) for name, value in self.parameters.items() if self.in_classifier(name) and value.ndim == 1), None)


def read_weights(path: str | os.PathLike) -> Weights:
    """Reads a `.weights.h5` or `.keras` file, a `.safetensors` or `.pth` file in one of timm's layouts, or a `.caffemodel`.

    Raises:
        FileNotFoundError: if there is no such file; the message has the nearest names.
        ValueError: if it is of another kind, damaged, or would run code.
        ImportError: if a `.safetensors` file is to be read and safetensors is not installed.
    """
    path = existing_path(path)
    for suffix, read in _READERS.items():
        if path.endswith(suffix):
            return read(path)
    raise InputError(f"Weights come from a file whose name ends in one of {', '.join(_READERS)}. Received: {path}")


def _read_keras(path: str) -> Weights:
    arrays, layers = {}, {}

    def visit(name, item):
        """Takes in what Keras keeps in <class>_<n>/<attribute>/.../vars/<number>; `vars` has the name of its layer."""
        group, _, inner = name.partition("/")
        if inner == "vars":
            layers[group] = item.attrs.get("name")
        elif isinstance(item, h5py.Dataset) and "seed_generator/" not in name:
            value = item[()]
            arrays[name] = value.view(ml_dtypes.bfloat16) if value.dtype.kind == "V" else value

    architecture = {}
    try:
        with contextlib.ExitStack() as stack:
            source = path
            if path.endswith(".keras"):
                archive = stack.enter_context(zipfile.ZipFile(path))
                architecture = _preprocessing(json.loads(archive.read("config.json")))
                source = io.BytesIO(archive.read("model.weights.h5"))
            file = stack.enter_context(h5py.File(source))
            if "layers" in file:
                file["layers"].visititems(visit)
            written = file.attrs.get(DIGEST)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged, or not a weights file of Keras: {error}") from error
    names = frozenset(layers.values()) - {None}
    for layout in LAYOUTS.values():
        if layout.mark in names:
            architecture |= layout.architecture
    parameters = {}
    for name, value in arrays.items():
        group, _, inner = name.partition("/")
        parameters[f"{layers.get(group)}/{inner.replace('vars/', '')}"] = value
    if written is not None and written != digest(parameters):
        raise InputError(f"{path} is damaged: its numbers have changed since it was written.")
    return Weights(path, "keras", parameters, architecture, names)


def digest(parameters: dict[str, np.ndarray]) -> str:
    """The SHA-256 of all numbers, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(parameters):
        total.update(np.ascontiguousarray(parameters[name]).reshape(-1).view(np.uint8))
    return total.hexdigest()


def _preprocessing(model_config: dict) -> dict[str, Any]:
    """What a saved model says of the images that it takes."""
    for layer in model_config["config"].get("layers", ()):
        config = layer["config"]
        if config.get("name") == "preprocessing":
            mean, std = (np.ravel(config["mean"]) / 255, np.sqrt(np.ravel(config["variance"])) / 255)
            known = {key: config[key] for key in ("crop_ratio", "interpolation") if key in config}
            return {"mean": tuple(mean.tolist()), "std": tuple(std.tolist())} | known
    return {}


def _read_safetensors(path: str) -> Weights:
    safetensors = require("safetensors", "checkpoints")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return _of_timm(path, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (safetensors.SafetensorError, AttributeError, TypeError) as error:  # the last two for numbers that NumPy lacks
        raise InputError(f"{path} is damaged, or not a .safetensors file: {error}") from error


def _of_timm(path: str, parameters: dict[str, np.ndarray]) -> Weights:
    # PyTorch counts batches in each normalization; nothing that it computes depends on them.
    parameters = {name: value for name, value in parameters.items() if not name.endswith(".num_batches_tracked")}
    layout = "timm legacy" if any(name.startswith(("layer0.", "last_linear.")) for name in parameters) else "timm"
    return Weights(path, layout, parameters, dict(LAYOUTS[layout].architecture))


_READERS = {
    ".weights.h5": _read_keras,
    ".keras": _read_keras,
    ".safetensors": _read_safetensors,
    ".pth": lambda path: _of_timm(path, read_pth(path)),
    ".caffemodel": lambda path: Weights(path, "caffe", read_caffemodel(path), dict(LAYOUTS["caffe"].architecture)),
}
SUFFIXES = tuple(_READERS)


def assign(model: keras.Model, weights: Weights, head: bool = True) -> None:
    """Puts all parameters of `weights` into `model`, or none.

    Where the model takes one channel and the file three, the kernels of the three are summed.

    Args:
        model: a network of the architecture that the weights are for.
        weights: from `read_weights`.
        head: False to leave the classifier out, of both.

    Raises:
        ValueError: if a parameter is missing, unexpected or of another shape; the message lists them.
    """
    variables = {weight.path: weight for weight in model.weights}
    needed, given = parameter_names(model, weights.layout), weights.parameters
    if not head:
        needed = {name: path for name, path in needed.items() if not weights.in_classifier(name)}
        # Without the top, a network has none of the layers before its classifier either.
        of_top = {name for name in given if weights.in_classifier(name) or _BEFORE_CLASSIFIER.match(name)}
        given = {name: value for name, value in given.items() if name in needed or name not in of_top}
    if other := [name for name in sorted(weights.layers - {layer.name for layer in model.layers}) if _IN_BACKBONE.match(name)]:
        raise InputError(
            f"The weights in {weights.path} are not those of {model.name}, which does not have the layers {_some(other)}. They "
            "must come from the same network, with the same attention and other options."
        )
    problems = {
        "missing": sorted(needed.keys() - given.keys()),
        "unexpected": sorted(given.keys() - needed.keys()),
        "misshapen": [],
    }
    values = {}
    for name in sorted(needed.keys() & given.keys()):
        variable = variables[needed[name]]
        value = given[name] if weights.layout == "keras" else _to_keras(given[name], len(variable.shape))
        if value.ndim == 4 and value.shape[2] == 3 and variable.shape == (*value.shape[:2], 1, value.shape[3]):
            value = value.sum(axis=2, keepdims=True)  # a normalized gray image gives what it gave in three channels
        if value.shape != variable.shape:
            problems["misshapen"].append(f"{name}, {value.shape} in place of {tuple(variable.shape)}")
        values[variable.path] = value
    if any(problems.values()):
        raise InputError(
            f"The weights in {weights.path} are not those of {model.name}, with output shape {model.output_shape}: "
            + "; ".join(f"{len(names)} {problem} ({_some(names)})" for problem, names in problems.items() if names)
            + ". They must come from the same network, with the same attention, reduction and other options."
        )
    for path, value in values.items():
        variables[path].assign(value)


def _to_keras(value: np.ndarray, rank: int) -> np.ndarray:
    """From (output, input, height, width) to Keras' order of axes; a 1x1 convolution may stand for a dense layer."""
    if value.ndim == 4 and rank == 2 and value.shape[2:] == (1, 1):
        value = value[:, :, 0, 0]
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
