"""One network whose weights are the mean of several: of the last epochs of a run, or of several runs."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_senet.data import LabelledImages, evaluation_batches, match_classes, plain_errors
from keras_senet.errors import InputError, existing_path
from keras_senet.inference.classifier import classifier_sizes
from keras_senet.inference.labels import same_names
from keras_senet.inference.runtimes import load_keras_model, open_keras_model
from keras_senet.keras_internals import all_layers
from keras_senet.rewrite.clone import rewritten
from keras_senet.training.network import normalizations
from keras_senet.training.run_folder import RunFolder
from keras_senet.training.state import read_state, restore
from keras_senet.training.statistics import renew_statistics

_STATE = ".npz"
# What the configuration of a layer says besides: what matters only in training, and the class once more.
_IRRELEVANT = ("trainable", "seed", "module", "registered_name")


def average(
    networks: Sequence[str | os.PathLike | keras.Model],
    images: LabelledImages | None = None,
    *,
    batch_size: int = 64,
) -> keras.Model:
    """A network whose weights are the mean of those of several networks.

    The mean of the last epochs of a run (stochastic weight averaging), or of several runs that fine-tune the same weights (a
    model soup), is often more accurate than each of them, at the cost of one. Averaging networks that started from different
    random weights does not work.

    Batch normalization gets new statistics from one pass over `images`, because the inputs of its layers change with the weights.

    Args:
        networks: two or more networks of one architecture, with the same preprocessing and the same classes. Each is the path of
            a `.keras` file; of the folder of a run, for its last.keras; of a file in `states` of a run, for the network that the
            run had then; or a functional model. All count alike.
        images: training images, from `keras_senet.data.load`, which the network sees without augmentation. Networks without
            batch normalization need none.
        batch_size: number of images at a time in this pass.

    Returns:
        A new network. The mean is computed in float64, and the mean of equal weights equals them to the last bit. Weights that
        are not floating-point numbers come from the first network.

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if there are fewer than two networks, or the same one twice; if they differ in more than their weights, are
            quantized, or have weights that are not finite; or if there is batch normalization and `images` are missing or do not
            fit.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407; Wortsman et
        al., "Model soups", arXiv 2203.05482, section 2, the uniform soup.

    Example:

    >>> one, other = keras_senet.SEResNet20(weights=None), keras_senet.SEResNet20(weights=None)
    >>> digits = keras_senet.data.load("digits", "train[:64]", data_dir="data")
    >>> keras_senet.training.average([one, other], digits).name
    'seresnet20'
    """
    check_networks(networks)
    opened = _opened(networks)
    first_name, first = next(opened)
    if images is None and normalizations(first):
        raise InputError(
            f"{first_name} has batch normalization, whose statistics do not fit averaged weights: name training images with "
            "`images` (--dataset) to renew them."
        )
    soup = rewritten(first)
    values = _values(first_name, first)
    # We add up differences from the first network, because those of equal weights are exactly zero.
    sums = [np.zeros(value.shape) for value in values]
    count = 1
    for name, network in opened:
        if difference := _difference(first, network, first_name, name):
            raise InputError(f"{name} cannot be averaged with {first_name}: {difference}.")
        for total, value, first_value in zip(sums, _values(name, network), values, strict=True):
            total += value - first_value
        count += 1
    for variable, value, total in zip(_averaged(soup), values, sums, strict=True):
        variable.assign(value + total / count)
    if normalizations(soup):
        _renew(soup, images, batch_size, first_name)
    return soup


def check_networks(networks: Sequence[str | os.PathLike | keras.Model], output: str | os.PathLike | None = None) -> None:
    """Checks that there are several networks, each given once.

    Args:
        networks: as for `average`.
        output: the file that the result goes to.

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if there are fewer than two networks, or the same one twice, or if `output` would replace one of them.
    """
    if len(networks) < 2:
        raise InputError(f"An average takes two or more networks. Received: {len(networks)}")
    names: dict[object, str] = {}
    for index, network in enumerate(networks):
        name = _name(network, index)
        key: object = id(network) if isinstance(network, keras.Model) else network_file(network).resolve()
        if key in names:
            raise InputError(f"{names[key]} and {name} are the same network: give each once.")
        names[key] = name
    if output is not None and pathlib.Path(output).resolve() in names:
        raise InputError(f"{output} is one of the networks to average: choose another output.")


def network_file(path: str | os.PathLike) -> pathlib.Path:
    """The file of a network to average: last.keras of a run, or else `path` itself.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another kind.
    """
    path = pathlib.Path(existing_path(path))
    if path.is_dir():
        return pathlib.Path(existing_path(RunFolder(path).last))
    if path.suffix not in (".keras", _STATE):
        raise InputError(f"{path} is neither a .keras file, nor the folder of a run, nor a {_STATE} file of its states.")
    return path


def run_of(path: str | os.PathLike) -> RunFolder:
    """The folder of the run that the network or state at `path` belongs to, if it belongs to any."""
    file = network_file(path)
    return RunFolder(file.parent.parent if file.suffix == _STATE else file.parent)


def _opened(networks: Sequence[str | os.PathLike | keras.Model]) -> Iterator[tuple[str, keras.Model]]:
    """The networks with their names for messages; only one is in memory at a time, unless it was before."""
    for index, network in enumerate(networks):
        if isinstance(network, keras.Model):
            yield _name(network, index), network
        elif (file := network_file(network)).suffix == _STATE:
            yield _name(network, index), _network_in(file)
        else:
            yield _name(network, index), load_keras_model(file)


def _network_in(state: pathlib.Path) -> keras.Model:
    """The network that a run had in a state, as it would have saved it then."""
    network = load_keras_model(run_of(state).last)
    _, values = read_state(state)
    # Where the optimizer keeps moving averages of the weights, these are the network.
    averages = {key.partition("/")[2]: value for key, value in values.items() if key.endswith("_average")}
    variables = {variable.path: variable for variable in network.weights}
    saved = {path: averages.get(f"{path.replace('/', '_')}_average", values.get(path)) for path in variables}
    restore(variables, {path: value for path, value in saved.items() if value is not None}, state)
    return network


def _name(network: str | os.PathLike | keras.Model, index: int) -> str:
    return f"networks[{index}]" if isinstance(network, keras.Model) else os.fspath(network)


def _averaged(network: keras.Model) -> list[keras.Variable]:
    """The weights that have a mean."""
    return [weight for weight in network.weights if keras.backend.is_float_dtype(weight.dtype)]


def _values(name: str, network: keras.Model) -> list[np.ndarray]:
    """These weights in float64."""
    for layer in all_layers(network):
        if (mode := getattr(layer, "quantization_mode", None)) is not None:
            raise InputError(f"{name} is quantized: its layer {layer.name} is in {mode}. Average the networks before that.")
    values = [keras.ops.convert_to_numpy(weight).astype("float64") for weight in _averaged(network)]
    for weight, value in zip(_averaged(network), values, strict=True):
        if not np.isfinite(value).all():
            raise InputError(f"{name} has weights that are not finite numbers, the first of them in {weight.path}.")
    return values


def _renew(soup: keras.Model, images: LabelledImages, batch_size: int, name: str) -> None:
    runtime = open_keras_model(soup)
    _, classes = classifier_sizes(runtime.input_shape, runtime.output_shape, name)
    match_classes(images, runtime.class_names or None, max(2, classes))  # other classes would be another dataset
    # In storage order a batch may hold a single class.
    shuffled = dataclasses.replace(images, examples=lambda _, *share: images.examples(np.int64(1), *share))
    with plain_errors():
        batches = evaluation_batches(shuffled, runtime.preprocessing, batch_size)
        renew_statistics(soup, batches.map(lambda pixels, _: pixels))


def _difference(one: keras.Model, other: keras.Model, one_name: str, other_name: str) -> str | None:
    """What two networks differ in besides the values of their weights, the first such thing; None for nothing."""
    # Keras numbers layers without a name of their own as a process makes them.
    names = {layer.name: other_layer.name for layer, other_layer in zip(all_layers(one), all_layers(other), strict=False)}
    names[one.name] = other.name

    def first_difference(left: Any, right: Any, place: str) -> str | None:
        if isinstance(left, dict) and isinstance(right, dict):
            for key in dict.fromkeys((*left, *right)):
                if key in _IRRELEVANT or key.endswith(("_initializer", "_regularizer")):
                    continue
                if found := first_difference(left.get(key), right.get(key), f"{place}{key} "):
                    return found
            return None
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            for index, (a, b) in enumerate(zip(left, right, strict=False)):
                layer = a.get("name") if isinstance(a, dict) else None
                if found := first_difference(a, b, f"layer {layer}: " if layer else f"{place.strip()}[{index}] "):
                    return found
            left, right = f"of length {len(left)}", f"of length {len(right)}"
        elif isinstance(left, str) and isinstance(right, str) and (names.get(left) == right or same_names([left], [right])):
            return None
        return None if left == right else f"{place}is {left} in {one_name} and {right} in {other_name}"

    if found := first_difference(one.get_config(), other.get_config(), ""):
        return found
    for layer, other_layer in zip(all_layers(one), all_layers(other), strict=True):
        if isinstance(layer, keras.layers.Normalization):  # its statistics are those of the pixels
            for weight, other_weight in zip(layer.weights, other_layer.weights, strict=True):
                if not np.array_equal(*map(keras.ops.convert_to_numpy, (weight, other_weight))):
                    return f"layer {layer.name}: {weight.name} has other values in {other_name}"
    return None
