"""The private API of Keras that this package relies on, all of it.

Keras has no public way to do what these functions do, and any release may break them. tests/test_keras_internals.py states what
we rely on, and `make test-keras-nightly` tells us before a release does. Nothing else may use private API of Keras; `make lint`
enforces that.
"""

import collections
import contextlib
import sys
import typing
from collections.abc import Callable, Iterator
from unittest import mock

import keras

# Keras walks the graph of a model by recursion, a call for each layer of the longest path, and Python allows 1,000: too few for a
# ResNet-RS of 270 layers. The limit stays raised, since Keras does the same where it loads a file, without asking us.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))

_PLAIN_LAYER = keras.layers.Layer(name="plain")  # whose attributes every layer has


class LayerCall(typing.NamedTuple):
    """One call of a layer in the graph of a functional model.

    Attributes:
        layer: the layer or operation that is called.
        inputs: the symbolic tensors that it reads.
        outputs: the symbolic tensors that it makes.
        arguments: function from values, by the ids of the symbolic tensors, to the arguments of the call and to those by name.
    """

    layer: keras.Operation
    inputs: list[keras.KerasTensor]
    outputs: list[keras.KerasTensor]
    arguments: Callable[[dict[int, typing.Any]], tuple[tuple, dict]]


def layer_calls(model: keras.Model) -> list[LayerCall]:
    """All calls in the graph of a functional model but those of its input layers, in the order in which `run_graph` makes them.

    Relies on `Functional._nodes_by_depth`, a dictionary of lists of nodes by their distance from the outputs, and on the
    `operation`, `input_tensors`, `outputs`, `is_input` and `arguments.fill_in` of a node. `Layer._inbound_nodes` will not do,
    because it also holds the calls of other models.
    """
    by_depth = model._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]
    return [LayerCall(node.operation, node.input_tensors, node.outputs, node.arguments.fill_in) for node in nodes]


def run_graph(model: keras.Model, inputs, call: Callable, replace: Callable = lambda layer: layer):
    """Calls the layers of a functional model in the order of its graph.

    Args:
        model: a functional model.
        inputs: its inputs: values, or whatever `call` takes.
        call: function `call(layer, *args, **kwargs)` to the outputs of a layer.
        replace: function from a layer to the one that `call` gets for it; called for each call of the layer.

    Returns:
        The outputs of the model.

    Relies on `Functional._run_through_graph`, as `keras.models.clone_model` does. `clone_model` itself will not do, because it
    renames inputs, always makes a model of its own, and takes only symbolic tensors.
    """
    return model._run_through_graph(inputs, operation_fn=replace, call_fn=call)


def layer_behind(tensor: keras.KerasTensor) -> keras.Operation:
    """The layer that made a symbolic tensor.

    Relies on `KerasTensor._keras_history.operation`.
    """
    return tensor._keras_history.operation


def computes_its_graph(model: keras.Model) -> bool:
    """Whether a model is functional, and no subclass has replaced `call`, which then may compute more than the graph.

    Relies on the class being named `Functional`, since `keras.Model(inputs, outputs)` makes an instance of a private class.
    """
    return model.call.__qualname__ == "Functional.call"


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer or model and all layers within it, at any depth, from the outside to the inside.

    Relies on `Layer._flatten_layers`. `Model.layers` will not do, because it leaves out what is within nested models and layers.
    """
    return list(layer._flatten_layers())


def saved_parts(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers that a layer holds in its attributes, alone or in lists, by their names in a file of weights.

    Relies on Keras naming those of a list by `keras.src.utils.naming.to_snake_case` of their class, with a number from the second
    of a class on, and on its saving no attribute that every layer has.
    """
    from keras.src.utils.naming import to_snake_case

    for attribute, part in vars(layer).items():
        if isinstance(part, keras.layers.Layer):
            yield attribute, part
        elif isinstance(part, (list, tuple)) and not hasattr(_PLAIN_LAYER, attribute):
            kinds: collections.Counter[str] = collections.Counter()
            for inner in part:
                if isinstance(inner, keras.layers.Layer):
                    kind = to_snake_case(type(inner).__name__)
                    yield f"{attribute}/{kind}" + f"_{kinds[kind]}" * (kinds[kind] > 0), inner
                    kinds[kind] += 1


def random_states(model: keras.Model) -> dict[int, str]:
    """By the id of each random generator's variable in a model, a name that is the same in every process.

    Relies on layers that draw random numbers having a `seed_generator` with a `state`. The variable's own `path` will not do,
    because Keras numbers generators in the order in which a process makes them.
    """
    drawing = [layer for layer in all_layers(model) if getattr(layer, "seed_generator", None) is not None]
    return {id(layer.seed_generator.state): f"{layer.name}/{layer.seed_generator.state.name}" for layer in drawing}


def loss_metrics(model: keras.Model, targets) -> list[keras.metrics.Metric]:
    """The running mean of the loss of a compiled model, and where it has several outputs, those of the loss of each.

    Args:
        model: the model.
        targets: symbolic tensors, in the structure of what `fit` compares with the outputs: one, or by the names of these.

    Relies on the first being the first of `Model.metrics`, and on the others being made by `CompileLoss.build`, which `fit` calls
    before its first step: too late for what restores a state.
    """
    losses = model._compile_loss
    if isinstance(targets, dict) and not losses.built:
        losses.build(targets, model.output)
    return [model.metrics[0], *losses.metrics]


def averages_of_weights(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The exponential moving averages of an optimizer with `use_ema`, in the order of the trainable variables.

    Relies on the names of these variables ending in `_average`, and on those of no other variable doing so.
    """
    return [variable for variable in optimizer.variables if variable.name.endswith("_average")]


def resized(images, size: tuple, data_format: str):
    """Images, or maps, resized by bilinear interpolation to a size that need not be known before the graph runs.

    Relies on `keras.src.backend.image.resize`, which `keras.ops.image.resize` calls. That one will not do, because it asks
    whether the size is positive, which a graph of TensorFlow for images of any size cannot answer.
    """
    from keras.src import backend

    found = backend.image.resize(images, size, interpolation="bilinear", data_format=data_format)
    return keras.ops.cast(found, images.dtype)  # TensorFlow returns float32


class UpdateHooks:
    """Before a class of Keras' optimizers, lets a subclass change gradients and learning rates right before an update.

    By then the gradients are averaged over accumulated steps and summed over replicas, so several replicas clip as one does;
    Keras itself clips the share of each replica. Weight decay follows the learning rate of each variable.

    Relies on `_all_reduce_sum_gradients`, `_get_variable_index`, `_apply_weight_decay` and `_use_weight_decay` of an optimizer on
    TensorFlow.
    """

    def change_gradients(self, gradients: list) -> list:
        """All gradients of an update."""
        return gradients

    def change_step(self, gradient, variable, index: int, learning_rate) -> tuple:
        """The gradient and the learning rate of the trainable variable with this index."""
        return gradient, learning_rate

    def _all_reduce_sum_gradients(self, grads_and_vars):
        gradients, variables = zip(*super()._all_reduce_sum_gradients(grads_and_vars), strict=True)
        return list(zip(self.change_gradients(list(gradients)), variables, strict=True))

    def _apply_weight_decay(self, variables):
        """Left to `update_step`."""

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        gradient, learning_rate = self.change_step(gradient, variable, index, learning_rate)
        if self.weight_decay is not None and self._use_weight_decay(variable):
            self.assign_sub(variable, variable * self.weight_decay * learning_rate)
        super().update_step(gradient, variable, learning_rate)


def sync_variables(model: keras.Model) -> None:
    """Within `fit`, gives the variables of `model` their present values.

    On the JAX backend `fit` takes the values out of the variables. Relies on `Model.jax_state_sync` putting them back; Keras' own
    callbacks use it.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


@contextlib.contextmanager
def tensorflow_trainer_with(reduce_per_replica: Callable, symbolic_build: Callable) -> Iterator[None]:
    """Within it Keras' trainer for TensorFlow uses other functions for two of its steps.

    Args:
        reduce_per_replica: function `reduce_per_replica(original, values, strategy, reduction)` for what the replicas computed.
        symbolic_build: function `symbolic_build(original, model, iterator=None, data_batch=None)` that builds the model and its
            metrics before the first batch.

    Relies on the function `reduce_per_replica` in the module `keras.src.backend.tensorflow.trainer` and on
    `Model._maybe_symbolic_build`, which `fit` and `evaluate` look up when they run.
    """
    from keras.src.backend.tensorflow import trainer  # imports TensorFlow, whatever the backend

    reduce, build = trainer.reduce_per_replica, keras.Model._maybe_symbolic_build

    def reduce_with_original(values, strategy, reduction):
        return reduce_per_replica(reduce, values, strategy, reduction)

    def build_with_original(self, iterator=None, data_batch=None):
        return symbolic_build(build, self, iterator, data_batch)

    with (
        mock.patch.object(trainer, "reduce_per_replica", reduce_with_original),
        mock.patch.object(keras.Model, "_maybe_symbolic_build", build_with_original),
    ):
        yield
