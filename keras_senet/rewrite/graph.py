"""The graph of a functional Keras model: what made what another layer reads, a walk through it, and copies that differ."""

import collections
import functools
from collections.abc import Callable

import keras

from keras_senet.errors import InputError
from keras_senet.keras_internals import all_layers, computes_its_graph, layer_behind, layer_calls, run_graph


class Graph:
    """Which layer made what another one reads.

    Attributes:
        inputs: by the name of a layer, the tensors that it reads.
    """

    def __init__(self, model: keras.Model):
        calls = layer_calls(model)
        self._calls = collections.Counter(call.layer.name for call in calls)
        self.inputs = {call.layer.name: call.inputs for call in calls}
        self._outputs = {call.layer.name: call.outputs for call in calls}
        self._made_by = {id(tensor): call.layer for call in calls for tensor in call.outputs}
        self._readers = collections.defaultdict(list, {id(tensor): [None] for tensor in model.outputs})
        for call in calls:
            for tensor in call.inputs:
                self._readers[id(tensor)].append(call.layer)

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
    return isinstance(layer, keras.Model) and computes_its_graph(layer)


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

    return run_graph(as_functional(model), inputs, run)


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
    inputs = keras.tree.map_structure(lambda x: copied(layer_behind(x)).output, model.input)
    outputs = run_graph(model, inputs, call, functools.cache(copy))
    clone = keras.Model(inputs, outputs, name=model.name)
    copies = {layer.name: layer for layer in clone.layers}
    for layer in model.layers:
        replaced = layer.name not in copies or type(layer) is not type(copies[layer.name])
        if layer.weights and not replaced and not isinstance(layer, keras.Model):
            copies[layer.name].set_weights(weights(layer))
            for part in all_layers(copies[layer.name]):
                if isinstance(part, keras.layers.Normalization):
                    part.finalize_state()  # it computes with what it made of its weights
    return clone
