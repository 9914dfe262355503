"""The graph of a functional Keras model: what made what another layer reads, a walk through it, and copies that differ."""

import collections
import functools
from collections.abc import Callable

import keras

from keras_senet.errors import InputError


class Graph:
    """Which layer made what another one reads.

    Attributes:
        inputs: by the name of a layer, the tensors that it reads.
    """

    def __init__(self, model: keras.Model):
        nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes if not node.is_input]
        self._calls = collections.Counter(node.operation.name for node in nodes)
        self.inputs = {node.operation.name: node.input_tensors for node in nodes}
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
        made_by = self._made_by.get(id(self.inputs[layer.name][index]))
        return made_by if made_by is not None and self.is_called_once(made_by) and self.is_called_once(layer) else None

    def sole_producer(self, layer: keras.layers.Layer, index: int = 0) -> keras.layers.Layer | None:
        """The same, but only if nothing else reads that output."""
        return self.producer(layer, index) if len(self._readers[id(self.inputs[layer.name][index])]) == 1 else None

    def readers(self, layer: keras.layers.Layer) -> list[keras.layers.Layer] | None:
        """The layers that read the output of `layer`; None if any is called more than once, or if the model's user reads it."""
        readers = [reader for tensor in self._outputs[layer.name] for reader in self._readers[id(tensor)]]
        called_once = self.is_called_once(layer) and all(reader and self.is_called_once(reader) for reader in readers)
        return readers if called_once else None


def has_graph(layer) -> bool:
    """Whether it is a functional or sequential model that is built, and computes nothing but its graph."""
    if isinstance(layer, keras.Sequential):
        return layer.built
    return isinstance(layer, keras.Model) and layer.call.__qualname__ == "Functional.call"


def check_graph(model: keras.Model) -> None:
    """Raises a ValueError if `model` has no graph."""
    if not has_graph(model):
        received = f"{type(model).__name__} {getattr(model, 'name', '')!r}"
        raise InputError(
            "Only a functional or sequential model that is built, without a `call` of its own, has a graph: make one by "
            f"`keras.Model(inputs, outputs)`. Received: {received}"
        )


def as_functional(model: keras.Model) -> keras.Model:
    """The same model as one with a graph of its own, made of the same layers.

    Raises:
        ValueError: if it is neither functional nor sequential.
    """
    check_graph(model)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name) if isinstance(model, keras.Sequential) else model


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
        if has_graph(layer):
            return run_through(layer, inputs_of(*args, **kwargs), call, f"{name}/")
        return call(name, layer, *args, **kwargs)

    return as_functional(model)._run_through_graph(inputs, call_fn=run)


def inputs_of(inputs, *args, **kwargs):
    """What a layer reads whose `call` begins with `inputs`, given by place or by name."""
    return inputs


def copied(layer: keras.layers.Layer, **config) -> keras.layers.Layer:
    """A layer with the configuration of another one, but for what `config` says."""
    if isinstance(layer, keras.layers.Lambda):
        return layer  # it has no weights, and its function no configuration that Keras would read
    copy = layer.from_config(layer.get_config() | config)
    copy.name = layer.name  # by which it is found; the configuration of a layer of the user's own may lack it
    return copy


def rewritten(model: keras.Model, copy: Callable, call: Callable, weights: Callable) -> keras.Model:
    """A model of the same name, inputs and outputs, of copies of the layers, which is not compiled.

    Args:
        model: a functional model.
        copy: function from a layer to its copy.
        call: function `call(copy, *args, **kwargs)` to the outputs of a layer.
        weights: function from a layer to the weights of its copy.
    """
    # What keras.models.clone_model does; but that names inputs anew, and fails if it cannot copy the loss that is compiled in.
    inputs = keras.tree.map_structure(lambda x: copied(x._keras_history.operation).output, model.input)
    outputs = model._run_through_graph(inputs, functools.cache(copy), call)
    clone = keras.Model(inputs, outputs, name=model.name)
    copies = {layer.name: layer for layer in clone.layers}
    for layer in model.layers:
        replaced = layer.name not in copies or type(layer) is not type(copies[layer.name])
        if layer.weights and not replaced and not isinstance(layer, keras.Model):
            copies[layer.name].set_weights(weights(layer))
            for part in copies[layer.name]._flatten_layers():
                if isinstance(part, keras.layers.Normalization):
                    part.finalize_state()  # it computes with what it made of its weights
    return clone
