"""What a saved model says about itself: which attention it has, and whether another model computes the same with its weights."""

import json
import re
from collections.abc import Iterator
from typing import Any

import keras

from keras_senet.layers.attention import ATTENTIONS

# What changes neither the function of a trained layer nor the meaning of its weights.
_IRRELEVANT = re.compile(
    r".*(initializer|regularizer|constraint)|name|trainable|dtype|momentum|synchronized|renorm.*|seed|data_format|axis|parts|lora_.*"
)
_HEAD = ("predictions", "dropout", "flatten", "avg_pool", "max_pool")


def attention_in(config: dict[str, Any]) -> dict[str, Any] | None:
    """The attention of a network of this package, but for its position, from the configuration of its `.keras` file.

    Returns:
        Those fields of `AttentionConfig` that the file says; None if it has a layer in the place of attention that is none of
        `ATTENTIONS`.
    """
    found = [layer for layer in _layers(config) if layer["config"]["name"].endswith("_se")]
    if not found:
        return {"attention": None}
    names = {kind.__name__: name for name, kind in reversed(ATTENTIONS.items())}
    attention = names.get(found[0]["class_name"])
    if attention is None:
        return None
    own = found[0]["config"]
    fields = {name: own[name] for name in ("reduction", "squeeze", "gate", "use_bias") if name in own}
    stages = {int(match[1]) for layer in found if (match := re.match(r"stage(\d)_", layer["config"]["name"]))}
    return {"attention": attention, **fields, "attention_stages": tuple(sorted(stages)) or None}


def class_names_in(config: dict[str, Any]) -> list[str]:
    """The class names that a network of this package keeps, from the configuration of its `.keras` file; [] for none."""
    kept = (layer["config"].get("class_names") for layer in _layers(config) if layer["class_name"] == "PixelNormalization")
    return list(next(kept, None) or [])


def difference(config: dict[str, Any], model: keras.Model) -> str | None:
    """The first difference, in words, between what a saved model computes and what `model` does, but for the classifier.

    Args:
        config: the configuration in a `.keras` file, whose weights fit into `model`.
        model: functional model.
    """
    theirs, ours = (dict(_graph(saved)) for saved in (config, json.loads(model.to_json())))
    for name, (kind, settings, sources) in ours.items():
        if name not in theirs:
            return f"there is no layer {name!r} in the file"
        their_kind, their_settings, their_sources = theirs[name]
        if kind != their_kind:
            return f"{name!r} is a {their_kind} in the file, and a {kind} here"
        for setting, value in settings.items():
            if setting in their_settings and their_settings[setting] != value:
                return f"{name!r} has {setting}={their_settings[setting]!r} in the file, and {value!r} here"
        if sources != their_sources:
            return f"{name!r} follows {', '.join(their_sources)} in the file, and {', '.join(sources)} here"
    if foreign := sorted(theirs.keys() - ours.keys()):
        return f"there is no layer {foreign[0]!r} here"
    return None


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    return config["config"].get("layers", [])


def _graph(config: dict[str, Any]) -> Iterator[tuple[str, tuple[str, dict[str, Any], list[str]]]]:
    """Each layer's class, settings and sources, by its name."""
    images = {layer["config"]["name"] for layer in _layers(config) if layer["class_name"] == "InputLayer"} | {"preprocessing"}
    for layer in _layers(config):
        name = layer["config"]["name"]
        if name in images or name in _HEAD or name.startswith("fc"):
            continue
        settings = {key: value for key, value in layer["config"].items() if not _IRRELEVANT.fullmatch(key)}
        sources = ["images" if source in images else source for source in _sources(layer.get("inbound_nodes", []))]
        yield name, (layer["class_name"], settings, sources)


def _sources(value: Any) -> Iterator[str]:
    """The names of the layers whose outputs are among the arguments of a call."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"][0]
            return
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _sources(part)
