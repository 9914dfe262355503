"""The graph of a functional Keras model: which layer produces what another one consumes, and all layers of models within it."""

import collections
from collections.abc import Callable, Iterator

import keras

from keras_senet.errors import InputError
from keras_senet.keras_internals import all_layers, computes_its_graph, layer_calls, run_graph


class Graph:
    """Which layer produces what another one consumes.

    Attributes:
        inputs: by the name of a layer, the tensors that it consumes.
    """

    def __init__(self, model: keras.Model):
        calls = layer_calls(model)
        self._calls = collections.Counter(call.layer.name for call in calls)
        self.inputs = {call.layer.name: call.inputs for call in calls}
        self._outputs = {call.layer.name: call.outputs for call in calls}
        self._producers = {id(tensor): call.layer for call in calls for tensor in call.outputs}
        self._consumers = collections.defaultdict(list, {id(tensor): [None] for tensor in model.outputs})
        for call in calls:
            for tensor in call.inputs:
                self._consumers[id(tensor)].append(call.layer)

    def is_called_once(self, layer: keras.layers.Layer) -> bool:
        return self._calls[layer.name] == 1

    def producer(self, layer: keras.layers.Layer, index: int = 0) -> keras.layers.Layer | None:
        """The layer that produces input number `index` of `layer`; None if either is called more than once."""
        producer = self._producers.get(id(self.inputs[layer.name][index]))
        return producer if producer is not None and self.is_called_once(producer) and self.is_called_once(layer) else None

    def sole_producer(self, layer: keras.layers.Layer, index: int = 0) -> keras.layers.Layer | None:
        """The same, but None also if anything else consumes that input."""
        return self.producer(layer, index) if len(self._consumers[id(self.inputs[layer.name][index])]) == 1 else None

    def consumers(self, layer: keras.layers.Layer) -> list[keras.layers.Layer] | None:
        """The layers that consume the output of `layer`; None if any is called more than once, or the model outputs it."""
        consumers = [consumer for tensor in self._outputs[layer.name] for consumer in self._consumers[id(tensor)]]
        called_once = self.is_called_once(layer) and all(consumer and self.is_called_once(consumer) for consumer in consumers)
        return consumers if called_once else None


def has_graph(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a functional or sequential model that is built and computes nothing but its graph."""
    if isinstance(layer, keras.Sequential):
        return layer.built
    return isinstance(layer, keras.Model) and computes_its_graph(layer)


def check_graph(model: keras.Model) -> None:
    """Raises a ValueError if `model` has no graph."""
    if not has_graph(model):
        way = (
            "build it by `model.build(batch_shape)`"
            if isinstance(model, keras.Sequential)
            else "make one by `keras.Model(inputs, model.call(inputs))` with `inputs = keras.Input(batch_shape=...)`"
        )
        raise InputError(
            f"Only a functional or sequential model that is built, without a `call` of its own, has a graph: {way}. "
            f"Received: {type(model).__name__} {getattr(model, 'name', '')!r}"
        )


def as_functional(model: keras.Model) -> keras.Model:
    """The same layers as a functional model.

    Raises:
        ValueError: if `model` is neither functional nor sequential.
    """
    check_graph(model)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name) if isinstance(model, keras.Sequential) else model


def models_within(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Model]]:
    """A model and all models within it, each as a functional one, with the prefix of its layers' names."""
    model = as_functional(model)
    yield prefix, model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from models_within(layer, f"{prefix}{layer.name}/")


def layers_by_name(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """All layers of a model and of the models within it, except input layers.

    The name of a layer in a nested model has the names of the models around it before it, each followed by a slash.
    """
    return {
        prefix + layer.name: layer
        for prefix, inner in models_within(model)
        for layer in inner.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }


def data_format_of(model: keras.Model) -> str:
    """The order of the axes of a model's feature maps: that of its first layer which has one, or the default of Keras."""
    found = (getattr(layer, "data_format", None) for layer in all_layers(model))
    return next(filter(None, found), keras.config.image_data_format())


def refuse_shared_weights(model: keras.Model, function: str) -> None:
    """Raises a ValueError if weights are used in two places, where what suits one changes the other.

    Args:
        model: a functional or sequential model.
        function: the public function that rewrites it, for the message.
    """
    owners: dict[int, str] = {}
    for prefix, inner in models_within(model):
        graph = Graph(inner)
        for layer in inner.layers:
            name = prefix + layer.name
            owned = {} if isinstance(layer, keras.Model) else {id(weight): name for weight in layer.weights}
            shared = {owners[weight] for weight in owned if weight in owners}
            if layer.weights and not graph.is_called_once(layer):
                shared.add(name)
            if shared:
                if isinstance(layer, keras.Model) and name in shared:
                    place = "".join(f".get_layer({part!r})" for part in name.split("/"))
                    raise InputError(
                        f"The model {name!r} is called more than once in {model.name!r}. Rewrite it alone, `shared = "
                        f"keras_senet.{function}(model{place}, ...)`, and then join its calls anew, with `shared` in its place."
                    )
                also = "" if name in shared else f", also in {name!r}"
                raise InputError(
                    f"The weights of {min(shared)!r} are used in two places{also}; what suits one changes the other. Build the "
                    "model with a layer of its own in each place, and give it these weights by `set_weights`."
                )
            owners |= owned


def run_through(model: keras.Model, inputs, call: Callable, prefix: str = ""):
    """Runs `model` layer by layer, including the layers of nested models.

    Args:
        model: a model with a graph.
        inputs: its inputs: values, or whatever `call` takes.
        call: function `call(name, layer, *args, **kwargs)` to the outputs of a layer, with the names of `layers_by_name`.
        prefix: of all names.

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
    """The inputs among the arguments of a layer's call, whether passed by position or by keyword."""
    return inputs
