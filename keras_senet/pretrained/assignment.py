"""Assignment of weights to a network: all of them, or none."""

import re

import keras
import numpy as np

from keras_senet.errors import InputError
from keras_senet.pretrained.layouts import parameter_names
from keras_senet.pretrained.weights import Weights

_LISTED = 5  # names in an error message
_BEFORE_CLASSIFIER = re.compile(r"fc\d+/|conv_head\.|classifier\.0\.")  # other layers of the top
_IN_BACKBONE = re.compile(r"stem_|stage\d")


def assign(model: keras.Model, weights: Weights, head: bool = True) -> None:
    """Assigns all parameters of `weights` to `model`.

    If the model has one input channel and the file has three, the kernels of the three are summed.

    Args:
        model: network of the architecture that the weights are for.
        weights: result of `read_weights`.
        head: False to ignore the classifiers of both.

    Raises:
        ValueError: if a parameter is missing, unexpected or has another shape; the message lists them, and nothing is assigned.

    Example:

    >>> weights = keras_senet.pretrained.read_weights("saved_models/seresnet20_digits/model.keras")
    >>> network = keras_senet.SEResNet20(weights=None)
    >>> keras_senet.pretrained.assign(network, weights)
    >>> bool(np.all(network.get_layer("predictions").kernel == weights.parameters["predictions/0"]))
    True
    """
    variables = {weight.path: weight for weight in model.weights}
    needed, given = parameter_names(model, weights.layout), weights.parameters
    if not head:
        needed = {name: path for name, path in needed.items() if not weights.in_classifier(name)}
        # The layers before the classifier belong to the top, too.
        in_top = {name for name in given if weights.in_classifier(name) or _BEFORE_CLASSIFIER.match(name)}
        given = {name: value for name, value in given.items() if name in needed or name not in in_top}
    foreign_layers = sorted(weights.layers - {layer.name for layer in model.layers})
    if foreign_layers := [name for name in foreign_layers if _IN_BACKBONE.match(name)]:
        raise InputError(
            f"The weights in {weights.path} are not those of {model.name}, which does not have the layers "
            f"{_some(foreign_layers)}. They must come from the same network, with the same attention and other options."
        )
    problems = {
        "missing": sorted(needed.keys() - given.keys()),
        "unexpected": sorted(given.keys() - needed.keys()),
        "misshapen": [],
    }
    values = {}
    for name in sorted(needed.keys() & given.keys()):
        variable = variables[needed[name]]
        value = given[name] if weights.layout == "keras" else _to_keras(given[name], tuple(variable.shape))
        if value.ndim == 4 and value.shape[2] == 3 and variable.shape == (*value.shape[:2], 1, value.shape[3]):
            value = value.sum(axis=2, keepdims=True)  # the same result as for the gray image in three channels
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


def _to_keras(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Transposes (output, input, height, width) to Keras' order of axes.

    Args:
        value: the parameter of another library.
        shape: that of ours. A 1x1 kernel may be that of a dense layer, and one with a single input that of a depthwise
            convolution, whose channels are the inputs.
    """
    if value.ndim == 4 and len(shape) == 2 and value.shape[2:] == (1, 1):
        value = value[:, :, 0, 0]
    if value.ndim == 4 and value.shape[1] == shape[-1] == 1:
        return value.transpose(2, 3, 0, 1)
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
