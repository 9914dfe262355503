"""What the argument `weights` of a constructor names."""

import functools
import os
import random
import warnings
from collections.abc import Callable

import keras

from keras_senet import pretrained
from keras_senet.errors import InputError, did_you_mean
from keras_senet.pretrained import Checkpoint, Weights, checkpoints_of

# The attention of published weights.
_AS_PUBLISHED = ("se", 16, "avg", "sigmoid", "standard", None)


def find_weights(
    weights: str | os.PathLike, construct: Callable[..., keras.Model], attention: tuple, classes: tuple[int | None, int] | None
) -> Weights:
    """What `weights` names, downloaded if need be.

    Args:
        weights: a tag of published ones, or a path.
        construct: the network's constructor.
        attention: what it was called with, in the order of `_AS_PUBLISHED`.
        classes: the number of classes that it was called with, and that by default; None without the top.

    Returns:
        The weights, with what follows from them for the network.

    Raises:
        ValueError: if they do not fit what was asked for, as far as can be told before there is a network.
    """
    checkpoint = _find_checkpoint(weights, construct.__name__)
    if attention != _AS_PUBLISHED and (checkpoint is not None or not os.fspath(weights).endswith((".keras", ".weights.h5"))):
        raise InputError(
            f"weights={weights!r} belongs to a network with SE as it was published: leave `attention`, `reduction`, `squeeze`, "
            "`gate`, `attention_position` and `attention_stages` as they are by default, or choose weights=None."
        )
    if checkpoint is None:
        found = pretrained.read_weights(weights)
        if classes is not None:
            _check_classes(found.path, found.classes, *classes)
        return found
    if classes is not None:
        _check_classes(checkpoint.name, checkpoint.classes, *classes)
    file = pretrained.keras_file(checkpoint, functools.partial(_convert, construct, checkpoint))
    try:
        found = pretrained.read_weights(file)
    except ValueError as error:
        raise InputError(f"{error} Remove it, and it will be made again.") from error
    facts = ("input_size", "crop_ratio", "interpolation", "larger", "mean", "std")
    found.architecture.update({fact: getattr(checkpoint, fact) for fact in facts})
    return found


def _find_checkpoint(weights: str | os.PathLike, model: str) -> Checkpoint | None:
    """The published weights that `weights` names; None if it is a path."""
    published = checkpoints_of(model)
    by_tag = {"imagenet": published[0]} if published else {}
    by_tag |= {tag: checkpoint for checkpoint in published for tag in (checkpoint.tag, checkpoint.name)}
    if weights in by_tag:
        return by_tag[weights]
    if not isinstance(weights, str) or weights.endswith(pretrained.SUFFIXES) or os.path.exists(weights):
        return None
    other = next((checkpoint.model for checkpoint in checkpoints_of(None) if checkpoint.name == weights), None)
    near = f" They are for {other}." if other else did_you_mean(weights, by_tag)
    accepted = ", ".join(map(repr, [None, *(tag for tag in by_tag if "." not in tag)]))
    raise InputError(
        f"There are no weights {weights!r} for {model}.{near} It takes {accepted}, or the path of a file of weights."
    )


def _convert(construct: Callable[..., keras.Model], checkpoint: Checkpoint, file: os.PathLike) -> keras.Model:
    """The network of a published file, in float32 whatever this program's networks are in.

    Keras draws the seeds of initial values from Python's generator. It is put back, so that what the program draws next does not
    depend on whether there was something to convert.
    """
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy("float32")
    try:
        return construct(weights=file, classes=checkpoint.classes, name=checkpoint.tag)
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def check_activation(include_top, classifier_activation):
    activations = (keras.activations.get(None), keras.activations.softmax)
    if include_top and keras.activations.get(classifier_activation) not in activations:
        raise InputError(
            "With trained `weights` and `include_top=True`, `classifier_activation` must be None or 'softmax'. "
            f"Received: classifier_activation={classifier_activation!r}"
        )


def _check_classes(weights: str, theirs: int | None, classes: int | None, default: int) -> None:
    """Says that the classifier will be a fresh one, if that was asked for, and else refuses one that does not fit."""
    have = "no classifier" if theirs is None else f"{theirs} classes"
    if classes is None and theirs != default:
        keep = "" if theirs is None else f"classes={theirs} to keep their classifier, or "
        raise InputError(
            f"The weights {weights} have {have}, and this network has {default} by default: pass {keep}the number of your own "
            "classes for a fresh classifier."
        )
    if classes not in (None, theirs):
        message = f"The weights {weights} have {have}: the classifier of {classes} classes starts at random."
        warnings.warn(message, stacklevel=4)
