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
        self._outputs = {node.operation.name: node.outputs for node in nodes}
        self._made_by = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
        self._readers = collections.defaultdict(list, {id(tensor): [None] for tensor in model.outputs})
        for node in nodes:
            for tensor in node.input_tensors:
                self._readers[id(tensor)].append(node.operation)

    def is_called_once(self, layer: keras.layers.Layer) -> bool:
        return self._calls[layer.name] == 1

    def producer(self, layer: keras.layers.Layer, index: int = 0) -> keras.layers.Layer | None:
        """The layer whose output `layer` reads as its input number `index`; None if either is called more than once."""
        made_by = self._made_by.get(id(self._inputs[layer.name][index]))
        return made_by if made_by is not None and self.is_called_once(made_by) and self.is_called_once(layer) else None

    def sole_producer(self, layer: keras.layers.Layer, index: int = 0) -> keras.layers.Layer | None:
        """The same, but only if nothing else reads that output."""
        return self.producer(layer, index) if len(self._readers[id(self._inputs[layer.name][index])]) == 1 else None

    def readers(self, layer: keras.layers.Layer) -> list[keras.layers.Layer] | None:
        """The layers that read the output of `layer`; None if any is called more than once, or if the model's user reads it."""
        readers = [reader for tensor in self._outputs[layer.name] for reader in self._readers[id(tensor)]]
        called_once = self.is_called_once(layer) and all(reader and self.is_called_once(reader) for reader in readers)
        return readers if called_once else None


def has_graph(layer) -> bool:
    """Whether it is a functional or sequential model that is built."""
    if isinstance(layer, keras.Sequential):
        return layer.built
    return isinstance(layer, keras.Model) and hasattr(layer, "_run_through_graph")


def check_graph(model: keras.Model) -> None:
    """Raises a ValueError if `model` has no graph."""
    if not has_graph(model):
        received = f"{type(model).__name__} {getattr(model, 'name', '')!r}"
        raise ValueError(f"Only a functional or sequential model that is built has a graph. Received: {received}")


def as_functional(model: keras.Model) -> keras.Model:
    """The same model as one with a graph of its own, made of the same layers.

    Raises:
        ValueError: if it is neither functional nor sequential.
    """
    check_graph(model)
    return keras.Model(model.inputs, model.outputs[0], name=model.name) if isinstance(model, keras.Sequential) else model


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

    def run(layer, *args, **kwargs):
        name = prefix + layer.name
        return run_through(layer, args[0], call, f"{name}/") if has_graph(layer) else call(name, layer, *args, **kwargs)

    return as_functional(model)._run_through_graph(inputs, call_fn=run)


def rewritten(model: keras.Model, copy: Callable, call: Callable, weights: Callable) -> keras.Model:
    """A clone of `model`, by `copy` and `call` as for `keras.models.clone_model`, with what `weights` says of its layers."""
    # Keras would name the inputs anew.
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x._keras_history.operation.name), model.input
    )
    clone = keras.models.clone_model(model, inputs, copy, call)
    copies = {layer.name: layer for layer in clone.layers}
    for layer in model.layers:
        replaced = layer.name not in copies or type(layer) is not type(copies[layer.name])
        if layer.weights and not replaced and not isinstance(layer, keras.Model):
            copies[layer.name].set_weights(weights(layer))
    return clone
