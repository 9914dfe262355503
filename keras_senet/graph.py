"""The graph of a functional Keras model: what made what another layer reads, a walk through it, and copies that differ."""

import collections
from collections.abc import Callable

import keras


class Graph:
    """Which layer made what another one reads."""

    def __init__(self, model: keras.Model):
        nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes if not node.is_input]
        self._calls = collections.Counter(node.operation.name for node in nodes)
        self._inputs = {node.operation.name: node.input_tensors for node in nodes}
        self._made_by = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
        self._readers = collections.Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
        self._readers.update(map(id, model.outputs))

    def producer(self, layer: keras.layers.Layer) -> keras.layers.Layer | None:
        """The layer whose output `layer` reads; None if either is called more than once."""
        made_by = self._made_by.get(id(self._inputs[layer.name][0]))
        return made_by if made_by is not None and self._calls[made_by.name] == self._calls[layer.name] == 1 else None

    def sole_producer(self, layer: keras.layers.Layer) -> keras.layers.Layer | None:
        """The same, but only if nothing else reads that output."""
        return self.producer(layer) if self._readers[id(self._inputs[layer.name][0])] == 1 else None


def has_graph(layer) -> bool:
    """Whether it is a functional or sequential model that is built."""
    if isinstance(layer, keras.Sequential):
        return layer.built
    return isinstance(layer, keras.Model) and hasattr(layer, "_run_through_graph")


def check_graph(model: keras.Model) -> None:
    """Raises a ValueError if `model` has no graph."""
    if not has_graph(model):
        received = f"{type(model).__name__} {getattr(model, 'name', '')!r}"
        raise ValueError(f"Only a functional or sequential model that is built has a graph to read. Received: {received}")


def run_through(model: keras.Model, inputs, call: Callable, prefix: str = ""):
    """Runs `model`, one layer after the other, those of nested models too.

    Args:
        model: a model with a graph.
        inputs: its inputs: values, or whatever `call` takes.
        call: function `call(name, layer, *args, **kwargs)` to the outputs of a layer. The name of one in a nested model comes
            after that model's name and a slash.
        prefix: what comes before all names.

    Returns:
        The outputs of the model.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)

    def run(layer, *args, **kwargs):
        name = prefix + layer.name
        return run_through(layer, args[0], call, f"{name}/") if has_graph(layer) else call(name, layer, *args, **kwargs)

    return model._run_through_graph(inputs, call_fn=run)


def as_functional(model: keras.Model) -> keras.Model:
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs[0], name=model.name)
    if not hasattr(model, "_nodes_by_depth"):
        raise ValueError(f"Only a functional or sequential Keras model can be rewritten. Received: {model}")
    return model


def rewritten(model: keras.Model, copy: Callable, call: Callable, weights: Callable) -> keras.Model:
    """A clone of `model`, by `copy` and `call` as for `keras.models.clone_model`, with what `weights` says of its layers."""
    clone = keras.models.clone_model(model, clone_function=copy, call_function=call)
    copies = {layer.name: layer for layer in clone.layers}
    for layer in model.layers:
        replaced = layer.name not in copies or type(layer) is not type(copies[layer.name])
        if layer.weights and not replaced and not isinstance(layer, keras.Model):
            copies[layer.name].set_weights(weights(layer))
    return clone
