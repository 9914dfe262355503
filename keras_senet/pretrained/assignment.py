"""How the parameters of a weights file get into a network: every one of them, or none."""

import re

import keras
import numpy as np

from keras_senet.errors import InputError
from keras_senet.pretrained.layouts import parameter_names
from keras_senet.pretrained.weights import Weights

_LISTED = 5  # names in an error message
_BEFORE_CLASSIFIER = re.compile(r"fc\d+/")  # layers of the top that only our own files have
_IN_BACKBONE = re.compile(r"stem_|stage\d")


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
