"""Where a network looks: Grad-CAM heat maps of its classes, and the hottest region of a map."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from unittest import mock

import keras
import numpy as np
from keras import ops

from keras_senet.errors import InputError, did_you_mean, named
from keras_senet.keras_internals import layer_behind
from keras_senet.layers.data_format import channel_axis
from keras_senet.rewrite.graph import check_graph, data_format_of, inputs_of, run_through
from keras_senet.rewrite.precision import in_float32

_HOT = 0.5  # of the highest heat

# What makes probabilities of scores: in a graph an activation of a layer, or an operation by itself.
_ACTIVATIONS = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.sigmoid)


def grad_cam(
    model: keras.Model,
    images,
    class_index: int | Sequence[int] | None = None,
    layer: str | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Heat maps of where a network finds a class in images: Grad-CAM.

    The channels of a feature map are summed, each weighted by the mean gradient of the class's score with respect to it, and what
    speaks against the class is cut off. The score is the logit, before softmax or sigmoid: the gradients of a probability vanish
    where the network is sure, and with softmax they mix in the other classes.

    Args:
        model: image classifier, a functional or sequential Keras model, which may contain others. With one output it tells two
            classes apart, and the output belongs to the second.
        images: pixels as the model takes them, `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`.
        class_index: the class to look for in all images, or one class for each image. By default the class that the network finds
            in each image.
        layer: name of the layer whose feature map to read, `<model>/<layer>` in a nested model. By default the last map with more
            than one position that is not a pooled copy of the map before it: the map before the global pooling, and in VGG-16, as
            in the paper, that of its last convolution. Earlier maps are finer and say less about the class.
        batch_size: number of images at a time.

    Returns:
        Float32 heat `(N, H, W)` of each image, resized to the size of the image. The hottest place of an image is 1. A map of
        zeros means that nothing at this layer speaks for the class.

    Raises:
        ValueError: if the model has no graph, no feature map, no layer or no class of that name, or is no classifier of images;
            if its softmax is not its last step; or if the Keras backend is neither TensorFlow nor JAX.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", arXiv
        1610.02391.

    Example:

    >>> model = keras_senet.SEResNet20(weights=None)
    >>> keras_senet.grad_cam(model, np.random.uniform(0, 255, (2, 32, 32, 3)), class_index=[3, 8]).shape
    (2, 32, 32)
    """
    check_graph(model)
    if [len(tensor.shape) for tensor in (*model.inputs, *model.outputs)] != [4, 2]:
        raise InputError(
            f"Heat maps are of networks that take images and put out `(N, classes)`. Received: {model.name!r}, which takes "
            f"{model.input_shape} and puts out {model.output_shape}"
        )
    if not len(images):
        raise InputError("There are no images to explain: `images` is empty.")
    classes = max(2, model.output_shape[-1])
    chosen = None
    if class_index is not None:
        if np.min(class_index) < 0 or np.max(class_index) >= classes or np.shape(class_index) not in ((), (len(images),)):
            raise InputError(
                f"`class_index` must be a class from 0 to {classes - 1}, or one for each of {len(images)} images. "
                f"Received: {class_index}"
            )
        chosen = np.broadcast_to(class_index, len(images))
    model = in_float32(model)  # half precision would round small gradients to zero
    place = _place(model, np.asarray(images[:1]).shape[1:], layer)
    heat = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        heat.append(_heat(model, np.asarray(images[part]), None if chosen is None else chosen[part], place))
    return np.concatenate(heat)


class _Place(NamedTuple):
    """Where in a network the gradients are read.

    Attributes:
        map: number of the call that makes the feature map. Not a name, since a layer may run twice.
        head: number of the call that makes the output.
        channels: number of channels of the map.
        data_format: of the map.
    """

    map: int
    head: int
    channels: int
    data_format: str


class _Step(NamedTuple):
    """A call of a layer on the way through a network.

    Attributes:
        name: of the layer.
        layer: the layer.
        inputs: the symbolic tensors that it reads.
        made: what it makes.
    """

    name: str
    layer: keras.Operation
    inputs: list[keras.KerasTensor]
    made: keras.KerasTensor


def _place(model: keras.Model, shape: tuple[int, ...], layer: str | None) -> _Place:
    """The place, for images of this shape, of the last feature map that is no pooled copy of another, or that `layer` makes."""
    data_format = data_format_of(model)
    steps: list[_Step] = []

    def trace(name, layer, *args, **kwargs):
        inputs = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        steps.append(_Step(name, layer, inputs, layer.compute_output_spec(*args, **kwargs)))
        return steps[-1].made

    output = run_through(model, keras.KerasTensor((None, *shape), model.inputs[0].dtype), trace)
    maps = {step.name: number for number, step in enumerate(steps) if _is_map(step.made, data_format)}
    if not maps:
        raise InputError(f"{model.name!r} has no feature map to read: heat maps are of convolutional networks.")
    if layer is not None and layer not in maps:
        near = did_you_mean(layer, maps) or f" Such layers are {named(reversed(maps))}."
        raise InputError(f"{model.name!r} has no layer {layer!r} with a feature map.{near}")
    chosen = _before_pooling(steps, max(maps.values()), data_format) if layer is None else maps[layer]
    head = next(number for number, step in enumerate(steps) if step.made is output)
    return _Place(chosen, head, steps[chosen].made.shape[channel_axis(data_format)], data_format)


def _is_map(made, data_format: str) -> bool:
    """Whether a symbolic output has a value at more than one position."""
    return len(getattr(made, "shape", ())) == 4 and _positions(made, data_format) != (1, 1)


def _positions(made: keras.KerasTensor, data_format: str) -> tuple[int, ...]:
    """Height and width of a symbolic map."""
    return made.shape[1:3] if data_format == "channels_last" else made.shape[2:]


def _before_pooling(steps: list[_Step], last: int, data_format: str) -> int:
    """The step that makes the map which step `last` pools, though normalization or dropout may stand between; or `last`."""
    makers = {id(step.made): number for number, step in reversed([*enumerate(steps)])}
    before = number = last
    while not _learns_features(steps[number].layer) and len(steps[number].inputs) == 1:
        (source,) = steps[number].inputs
        if id(source) not in makers or not _is_map(source, data_format):
            break
        pools = math.prod(_positions(source, data_format)) > math.prod(_positions(steps[number].made, data_format))
        number = makers[id(source)]
        if pools:
            before = number
    return before


def _learns_features(layer: keras.Operation) -> bool:
    """Whether a layer has weights that make other features of those it reads, as all but normalization does."""
    return bool(getattr(layer, "weights", ())) and not isinstance(layer, keras.layers.BatchNormalization)


def _heat(model: keras.Model, images: np.ndarray, chosen: np.ndarray | None, place: _Place) -> np.ndarray:
    """The heat of one batch."""
    images = ops.cast(images, model.inputs[0].dtype)
    last = place.data_format == "channels_last"

    def score(shift):
        """The sum of the images' scores for their classes if `shift` is added to the map; the map, and all scores."""
        numbers = itertools.count()
        maps = []

        def call(_, layer, *args, **kwargs):
            number = next(numbers)
            outputs = (_scores if number == place.head else _call)(layer, *args, **kwargs)
            if number == place.map:
                maps.append(outputs)
                outputs = outputs + ops.cast(shift, outputs.dtype)
            return outputs

        scores = run_through(model, images, call)
        if scores.shape[-1] == 1:
            scores = ops.concatenate([-scores, scores], axis=-1)
        classes = ops.argmax(scores, axis=-1) if chosen is None else chosen
        return ops.sum(scores * ops.one_hot(classes, scores.shape[-1], dtype=scores.dtype)), (maps[0], scores)

    # The gradient of what is added at every position is the sum of theirs: up to a factor, the weights of the channels.
    channels = (1, 1, place.channels) if last else (place.channels, 1, 1)
    weights, (features, scores) = _gradient(score, ops.zeros((len(images), *channels)))
    _refuse_probabilities(model, ops.convert_to_numpy(scores))
    heat = ops.relu(ops.sum(weights * features, axis=channel_axis(place.data_format)))
    size = images.shape[1:3] if last else images.shape[2:]
    heat = ops.image.resize(heat[..., np.newaxis], size, "bilinear", data_format="channels_last")[..., 0]
    heat = ops.convert_to_numpy(heat)
    highest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(highest > 0, highest, 1)


def _call(layer, *args, **kwargs):
    return layer(*args, **kwargs)


def _scores(layer, *args, **kwargs):
    """The outputs of a layer before its softmax or sigmoid, or its outputs if it has another activation."""
    operations = [type(layer_behind(activation(keras.KerasTensor((1, 2))))) for activation in _ACTIVATIONS]
    if isinstance(layer, (keras.layers.Softmax, *operations)):
        return inputs_of(*args, **kwargs)
    if getattr(layer, "activation", None) not in _ACTIVATIONS:
        return layer(*args, **kwargs)
    with mock.patch.object(layer, "activation", keras.activations.linear):
        return layer(*args, **kwargs)


def _refuse_probabilities(model: keras.Model, scores: np.ndarray) -> None:
    """Raises a ValueError if scores `(N, classes)` are probabilities, whose gradients vanish where the network is sure."""
    if scores.min() >= 0 and np.allclose(scores.sum(axis=-1), 1, atol=1e-3):
        raise InputError(
            "Heat maps are of the scores before the softmax, which must be the last step of a network, and Keras' own. Received: "
            f"{model.name!r}, which makes probabilities before its last layer, {layer_behind(model.outputs[0]).name!r}, or in a "
            "way of its own. Give a model that ends before its softmax: `keras.Model(model.input, scores)`."
        )


def _gradient(function: Callable, at) -> tuple:
    """The gradient of the first result of a function of one tensor, and its second result."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # Operations before the map are not recorded, as nothing but `at` is watched.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            result, other = function(at)
        return tape.gradient(result, at, unconnected_gradients="zero"), other
    if backend == "jax":
        import jax

        return jax.grad(function, has_aux=True)(at)
    raise InputError(f"Heat maps need gradients of TensorFlow or JAX: set KERAS_BACKEND. It is {backend!r}.")


@dataclasses.dataclass(frozen=True)
class HotRegion:
    """The region of a heat map that is at least half as hot as its hottest place. All numbers are shares, in [0, 1].

    Attributes:
        box: left, top, right and bottom of the region, as shares of the image's width and height.
        center: the center of all heat, x and y.
        heat: share of all heat that is in the box.

    Example:

    >>> heat = np.zeros((4, 4))
    >>> heat[0, 2:] = 1.0
    >>> keras_senet.analysis.HotRegion.of(heat)
    HotRegion(box=(0.5, 0.0, 1.0, 0.25), center=(0.75, 0.125), heat=1.0)
    """

    box: tuple[float, float, float, float]
    center: tuple[float, float]
    heat: float

    @classmethod
    def of(cls, heat: np.ndarray) -> "HotRegion | None":
        """The region of the heat `(H, W)` of one image; None if there is no heat."""
        total = float(heat.sum())
        if not total:
            return None
        rows, columns = np.nonzero(heat >= _HOT * heat.max())
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        height, width = heat.shape
        x, y = ((heat.sum(axis=axis) @ (np.arange(side) + 0.5)) / side / total for axis, side in ((0, width), (1, height)))
        return cls(
            (float(left / width), float(top / height), float(right / width), float(bottom / height)),
            (float(x), float(y)),
            float(heat[top:bottom, left:right].sum() / total),
        )
