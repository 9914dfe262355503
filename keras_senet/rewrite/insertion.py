"""Attention in a network of keras.applications while it is built, where the constructors of this package say."""

import collections
import functools
import re
from collections.abc import Callable

import keras

from keras_senet.keras_internals import run_graph
from keras_senet.layers.attention import Attention


def attend_after(
    model: keras.Model,
    x,
    places: dict[str, tuple[int, str]],
    attention: Attention,
    config: Callable[[keras.Layer], dict],
):
    """Calls copies of the layers of `model` on `x`, with attention after some of them.

    Args:
        model: a functional Keras model with one input; it stays as it is.
        x: feature map or image, a Keras tensor, in place of the model's input.
        places: by the name of a layer, the stage and the block whose attention follows it.
        attention: what to insert.
        config: function from a layer to the config of its copy.

    Returns:
        The output, a Keras tensor. The copies have weights of their own, newly initialized.
    """
    names = _names_in_a_fresh_process(model)

    def copy(layer):
        return type(layer).from_config(config(layer) | {"name": names[layer.name]})

    def call(layer, *args, **kwargs):
        y = layer(*args, **kwargs)
        return attention.in_block(*places[layer.name])(y) if layer.name in places else y

    # Not `rewritten`, which makes a model of its own, cut off from what comes before `x`.
    return run_graph(model, x, call, functools.cache(copy))


def _names_in_a_fresh_process(model: keras.Model) -> dict[str, str]:
    """From the names of its layers to names that do not depend on what the process has built before.

    Keras numbers unnamed layers of a class through the whole process: conv2d, conv2d_1 and so on.
    """
    names = {layer.name: layer.name for layer in model.layers}
    numbered = collections.defaultdict(list)
    for layer in model.layers:
        stem, number = re.fullmatch(r"(\w+?)(?:_(\d+))?", layer.name).groups()
        if stem.replace("_", "") == type(layer).__name__.lower():
            numbered[stem].append((int(number or 0), layer.name))
    for stem, layers in numbered.items():
        for index, (_, name) in enumerate(sorted(layers)):
            names[name] = f"{stem}_{index}" if index else stem
    return names
