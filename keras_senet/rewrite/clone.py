"""The one way to rewrite a functional model: copy its layers, change some, and call the copies in the order of its graph."""

from collections.abc import Callable

import keras
import numpy as np

from keras_senet.keras_internals import all_layers, layer_behind, run_graph
from keras_senet.rewrite.graph import as_functional, has_graph


def copied(layer: keras.layers.Layer, **config) -> keras.layers.Layer:
    """A new layer with the configuration of `layer`, except for what `config` says."""
    if isinstance(layer, keras.layers.Lambda):
        return layer  # it has no weights, and Keras refuses to read its function from a configuration
    copy = layer.from_config(layer.get_config() | config)
    copy.name = layer.name  # the configuration of a user's layer may lack it
    return copy


def call_as_is(layer: keras.layers.Layer, *args, **kwargs):
    return layer(*args, **kwargs)


def own_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    return layer.get_weights()


def rewritten(
    model: keras.Model,
    *,
    copy: Callable[[keras.layers.Layer], keras.layers.Layer] = copied,
    call: Callable = call_as_is,
    weights: Callable[[keras.layers.Layer], list[np.ndarray]] = own_weights,
    nested: Callable[[keras.Model], keras.Model] | None = None,
    inputs=None,
) -> keras.Model:
    """A functional model of copies of the layers of another one, with the same name and outputs. It is not compiled.

    Unlike `keras.models.clone_model` this keeps the names of inputs, copies weights, reaches into nested models, and ignores a
    compiled loss, which may be one that cannot be copied.

    Args:
        model: a functional or sequential model; it stays as it is.
        copy: function from a layer to its copy.
        call: function `call(copy, *args, **kwargs)` to the outputs of a layer. It may call something else instead of the copy.
        weights: function from a layer to the weights of its copy, if that is called.
        nested: function from a nested model to what takes its place; by default it is rewritten by the same functions, or just
            copied if it has no graph.
        inputs: symbolic tensors to use as inputs; by default new ones like those of `model`.

    Raises:
        ValueError: if `model` is neither functional nor sequential.
    """
    model = as_functional(model)
    copies = {}

    def copy_once(layer):
        if id(layer) not in copies:
            copies[id(layer)] = layer, copy_any(layer)
        return copies[id(layer)][1]

    def copy_any(layer):
        if not isinstance(layer, keras.Model):
            return copy(layer)
        if nested is not None:
            return nested(layer)
        return rewritten(layer, copy=copy, call=call, weights=weights) if has_graph(layer) else copied(layer)

    if inputs is None:
        inputs = keras.tree.map_structure(lambda x: copied(layer_behind(x)).output, model.input)
    clone = keras.Model(inputs, run_graph(model, inputs, call, copy_once), name=model.name)
    for layer, replica in copies.values():
        if not isinstance(layer, keras.layers.Layer) or not layer.weights or not replica.built:
            continue  # an operation, nothing to copy, or a copy that `call` left out
        if isinstance(layer, keras.Model) and (nested is not None or has_graph(layer)):
            continue  # its weights are there already
        values = layer.get_weights() if isinstance(layer, keras.Model) else weights(layer)
        replica.set_weights(_in_order(values, layer, replica))
        for part in all_layers(replica):
            if isinstance(part, keras.layers.Normalization):
                part.finalize_state()  # it computes with constants that it derives from its weights
    return clone


def _in_order(values: list[np.ndarray], layer: keras.layers.Layer, replica: keras.layers.Layer) -> list[np.ndarray]:
    """Values for the weights of `layer`, in the order of the weights of `replica`.

    Keras orders the weights of a layer otherwise if it was quantized before it was built.
    """
    by_path = {weight.path: value for weight, value in zip(layer.weights, values, strict=False)}
    paths = [weight.path for weight in replica.weights]
    return [by_path[path] for path in paths] if len(values) == len(paths) and by_path.keys() == {*paths} else values
