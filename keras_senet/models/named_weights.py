"""From the argument `weights` of a constructor to the weights: a checkpoint of the catalogue, or a file of the user."""

import dataclasses
import functools
import os
import random
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_senet import pretrained
from keras_senet.errors import InputError, did_you_mean
from keras_senet.layers.attention import ATTENTIONS, AttentionConfig
from keras_senet.models.architecture import Architecture
from keras_senet.models.registry import call_of, list_families, published_for
from keras_senet.pretrained import Checkpoint, Weights, checkpoints_of
from keras_senet.pretrained.description import attention_in, difference


def find_weights(
    weights: str | os.PathLike | Weights,
    construct: Any,
    options: dict[str, Any],
    attention: AttentionConfig,
    classes: tuple[int | None, int] | None,
) -> Weights:
    """The weights that `weights` names; published ones are downloaded unless they are in the cache.

    Args:
        weights: tag of a checkpoint, path of a file, or what was read from one.
        construct: constructor of the network.
        options: values of the options that only this constructor has.
        attention: attention that it was called with.
        classes: number of classes that it was called with, and its default; None without the top.

    Returns:
        The weights, with the fields of the architecture that they imply.

    Raises:
        ValueError: if they do not fit the arguments of the constructor, as far as that shows before the network is built.
    """
    if isinstance(weights, Weights):
        return weights
    checkpoint = _find_checkpoint(weights, construct.__name__, options)
    if attention != construct.architecture.attention and (
        checkpoint is not None or not os.fspath(weights).endswith((".keras", ".weights.h5"))
    ):
        raise InputError(
            f"weights={weights!r} belongs to a network with its attention as it was published: leave `attention`, `reduction`, "
            "`squeeze`, `gate`, `use_bias`, `attention_position` and `attention_stages` as they are by default, or choose "
            "weights=None."
        )
    if checkpoint is None:
        from_file = pretrained.read_weights(weights)
        _check_options(from_file, construct.__name__, options)
        if classes is not None:
            _check_classes(from_file.path, from_file.classes, *classes)
        return from_file
    if classes is not None:
        _check_classes(checkpoint.name, checkpoint.classes, *classes)
    file = pretrained.keras_file(checkpoint, functools.partial(_convert, construct, checkpoint))
    try:
        published = pretrained.read_weights(file)
    except ValueError as error:
        raise InputError(f"{error} Remove it, and it will be made again.") from error
    facts = ("input_size", "crop_ratio", "interpolation", "test_input_size", "test_crop_ratio", "mean", "std")
    known = {fact: value for fact in facts if (value := getattr(checkpoint, fact)) is not None}
    published.architecture.update(known)
    return published


def build_for(
    weights: Weights,
    build: Callable[[AttentionConfig], keras.Model],
    given: AttentionConfig,
    net: Architecture,
    include_top: bool,
) -> keras.Model:
    """The network that `weights` are of, with these weights.

    Where the file holds the configuration of its model, and the arguments of the constructor are at their defaults, the network
    gets the attention of the file.

    Args:
        weights: the weights.
        build: function from an attention to a network with it.
        given: attention that the constructor was called with.
        net: description of the network.
        include_top: whether the network has a classifier.

    Raises:
        ValueError: if the file says something else than the arguments, or the weights do not fit.
    """
    config = _attention_in(weights, given, net.attention)
    default = net.attention.attention_position
    others = [position for position in net.positions if position != default] if given.attention_position == default else []
    model = build(config)
    reason = None if weights.config is None else difference(weights.config, model)
    if reason and config.attention is not None:
        for position in others:
            other = build(dataclasses.replace(config, attention_position=position))
            if difference(weights.config, other) is None:
                model, reason = other, None
                break
    pretrained.assign(model, weights, head=include_top and model.output_shape[-1] == weights.classes)
    if reason:
        raise InputError(f"{weights.path} is of another network, with the same shapes of weights: {reason}.")
    return model


def _attention_in(weights: Weights, given: AttentionConfig, default: AttentionConfig) -> AttentionConfig:
    """The attention that the file says, where the arguments are at their defaults.

    Raises:
        ValueError: if the file says something else than the arguments.
    """
    said = None if weights.config is None or callable(given.attention) else attention_in(weights.config)
    if said is None:
        return given
    fields = {}
    for name, theirs in said.items():
        ours = getattr(given, name)
        if _is_the_same(name, ours, theirs):
            continue
        if ours != getattr(default, name):
            raise InputError(
                f"{weights.path} is of a network with {name}={theirs!r}, and {name}={ours!r} was given: leave that out to build "
                "the network of the file, or choose other weights."
            )
        fields[name] = theirs
    return dataclasses.replace(given, **fields)


def _is_the_same(field: str, ours: Any, theirs: Any) -> bool:
    if field == "attention":
        return ATTENTIONS.get(ours) is ATTENTIONS.get(theirs)
    if field == "gate":
        return keras.activations.serialize(keras.activations.get(ours)) == theirs
    return ours == theirs


def _find_checkpoint(weights: str | os.PathLike, model: str, options: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint for a network with these options that `weights` names; None if `weights` is a path."""
    published = published_for(model, options)
    by_tag = {"imagenet": published[0]} if published else {}
    by_tag |= {tag: checkpoint for checkpoint in published for tag in (checkpoint.tag, checkpoint.name)}
    if weights in by_tag:
        return by_tag[weights]
    if not isinstance(weights, str) or weights.endswith(pretrained.SUFFIXES) or os.path.exists(weights):
        return None
    other = next((checkpoint for checkpoint in checkpoints_of(None) if checkpoint.name == weights), None)
    near = f" They are for {call_of(other.model, other.options)}." if other else _nearest(weights, by_tag)
    accepted = ", ".join(map(repr, [None, *(tag for tag in by_tag if "." not in tag)]))
    raise InputError(
        f"There are no weights {weights!r} for {call_of(model, options)}.{near} It takes {accepted}, or the path of a file of "
        "weights."
    )


def _nearest(weights: str, tags: Iterable[str]) -> str:
    """The tags nearest to `weights`; or that there is no such network, where it is a name of timm's for another."""
    network, _, tag = weights.partition(".")
    known = {checkpoint.name.partition(".")[0] for checkpoint in checkpoints_of(None)}
    if re.search(r"in\d+k", tag) and not did_you_mean(network, known):
        return f" {network!r} is not here: the families are {', '.join(list_families())}."
    return did_you_mean(weights, tags)


def _check_options(weights: Weights, model: str, options: dict[str, Any]) -> None:
    """Raises if the file shows that an option of its network has another value."""
    for name in options.keys() & weights.architecture.keys():
        if (theirs := weights.architecture[name]) != options[name]:
            raise InputError(
                f"{weights.path} is of a {model} with {name}={theirs!r}: pass {name}={theirs!r}, or choose other weights. "
                f"Received: {name}={options[name]!r}"
            )


def _convert(construct: Callable[..., keras.Model], checkpoint: Checkpoint, file: os.PathLike) -> keras.Model:
    """The network with the weights of a published file, in float32 whatever the dtype policy is.

    Keras draws the seeds of initializers from Python's random generator. We restore its state, so that the caller's random
    numbers do not depend on whether the file was in the cache.
    """
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy("float32")
    try:
        weights: Any = pretrained.read_weights(file)
        weights.architecture.update(checkpoint.architecture)
        top = {"classes": checkpoint.classes} if checkpoint.classes else {"include_top": False}
        return construct(weights=weights, name=checkpoint.tag, **top, **checkpoint.options)
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def check_activation(include_top: bool, classifier_activation: str | Callable | None) -> None:
    """Checks that the classifier's activation is one that the weights were trained for.

    Raises:
        ValueError: if it is neither softmax nor None.
    """
    activations = (keras.activations.get(None), keras.activations.softmax)
    if include_top and keras.activations.get(classifier_activation) not in activations:
        raise InputError(
            "With trained `weights` and `include_top=True`, `classifier_activation` must be None or 'softmax'. "
            f"Received: classifier_activation={classifier_activation!r}"
        )


def _check_classes(weights: str, theirs: int | None, classes: int | None, default: int) -> None:
    """Warns if the caller's number of classes needs a new classifier; raises if only the default differs."""
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
