"""The networks by name, and the published weights that there are for each."""

import inspect
from collections.abc import Mapping
from typing import Any

from keras_senet.errors import InputError, did_you_mean
from keras_senet.pretrained import Checkpoint, checkpoints_of

MODELS: dict[str, Any] = {}  # functions with attributes, see `keras_senet.models.build.constructor`


def register(construct: Any) -> None:
    """Adds a constructor, under its own name."""
    MODELS[construct.__name__] = construct


def list_models(family: str | None = None) -> list[str]:
    """The names of networks, each a constructor `keras_senet.<name>`.

    Args:
        family: one of `list_families()`, in any case; None for all networks.

    Returns:
        Their names, one family after the other.

    Raises:
        ValueError: if there is no such family; the message says which there are.

    Example:

    >>> keras_senet.list_models("SE-ResNet")[:3]
    ['SEResNet18', 'SEResNet34', 'SEResNet50']
    """
    if family is None:
        return list(MODELS)
    found = [name for name, model in MODELS.items() if model.architecture.family.casefold() == family.casefold()]
    if not found:
        raise InputError(f"`family` must be one of {', '.join(list_families())}. Received: {family}")
    return found


def list_families() -> list[str]:
    """The families of networks: those of one paper, or of one library that changed it.

    Returns:
        Their names, in the order of `list_models()`.

    Example:

    >>> keras_senet.list_families()[:3]
    ['SE-ResNet', 'SE-ResNeXt', 'SENet']
    """
    return list(dict.fromkeys(model.architecture.family for model in MODELS.values()))


def find_model(name: str) -> Any:
    """The constructor called `name`, ignoring case.

    Raises:
        ValueError: if there is none; the message suggests the nearest names.
    """
    by_folded = {model.casefold(): model for model in MODELS}
    if name.casefold() not in by_folded:
        near = did_you_mean(name, MODELS) or f" There are {len(MODELS)}: `keras-senet models` or keras_senet.list_models()."
        raise InputError(f"There is no model {name!r}.{near}")
    return MODELS[by_folded[name.casefold()]]


def call_of(model: str, options: Mapping[str, Any]) -> str:
    """A network as a user writes it: the name of its constructor, with those of its own options that are not at their defaults.

    Example:

    >>> from keras_senet.models.registry import call_of
    >>> call_of("MobileNetV3Large", {"width_multiplier": 0.75, "minimalistic": False})
    'MobileNetV3Large(width_multiplier=0.75)'
    """
    parameters = inspect.signature(MODELS[model]).parameters
    changed = [f"{name}={value!r}" for name, value in options.items() if value != parameters[name].default]
    return f"{model}({', '.join(changed)})" if changed else model


def published_for(model: str, options: Mapping[str, Any]) -> list[Checkpoint]:
    """The checkpoints for a network with these of its own options, that of weights="imagenet" first.

    Args:
        model: the exact name of the network.
        options: those of its own options that are not at their defaults, or all of them.
    """
    construct = MODELS[model]
    parameters = inspect.signature(construct).parameters
    chosen = {name: parameters[name].default for name in construct.options} | {**options}
    return [checkpoint for checkpoint in checkpoints_of(model) if chosen.items() >= checkpoint.options.items()]


def list_checkpoints(model: str | None = None) -> list[Checkpoint]:
    """Published weights, each with what it takes to use them as their authors did.

    Args:
        model: name of the network that they are for, in any case; None for all.

    Returns:
        Their descriptions. The `tag` of each is what the network's constructor takes as `weights`; the first is also its
        `weights="imagenet"`.

    Raises:
        ValueError: if there is no such network; the message suggests the nearest names.

    Example:

    >>> [checkpoint.tag for checkpoint in keras_senet.list_checkpoints("SEResNeXt50")]
    ['in1k', 'racm_in1k', 'gluon_in1k']
    """
    return checkpoints_of(None if model is None else find_model(model).__name__)
