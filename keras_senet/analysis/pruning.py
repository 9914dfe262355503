"""A smaller network, without the channels whose gates stay nearest to zero."""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

from keras_senet.analysis.cost import Cost, profile
from keras_senet.errors import InputError
from keras_senet.layers import ChannelScatter, SqueezeExcite
from keras_senet.rewrite.channels import BATCH_NORMALIZATIONS, keeps_the_scale, mixes_channels
from keras_senet.rewrite.clone import copied, rewritten
from keras_senet.rewrite.graph import Graph, as_functional, models_within
from keras_senet.rewrite.recognition import with_known_gates

_ACROSS_CHANNELS = (keras.activations.softmax, keras.activations.log_softmax, keras.activations.sparsemax, keras.activations.glu)


@dataclasses.dataclass(frozen=True)
class Pruning:
    """What `prune` did.

    Attributes:
        channels: by the name of each SE layer that could be pruned, its channels before and after.
        left: names of the SE layers that could not.
        before: the cost of the network for one image before.
        after: the same after.
        largest_difference: largest difference between the outputs of the two networks for the images.

    Example:

    >>> maps = [keras.layers.Conv2D(8, 3), keras_senet.layers.SqueezeExcite(4, name="se"), keras.layers.GlobalAveragePooling2D()]
    >>> model = keras.Sequential([keras.Input((16, 16, 3)), *maps, keras.layers.Dense(10)])
    >>> smaller, pruning = keras_senet.analysis.prune(model, np.random.uniform(0, 255, (16, 16, 16, 3)), keep_ratio=0.5)
    >>> print(pruning)
    4 of 8 gated channels left, 51.7% of the parameters and ... of the multiply-adds; outputs differ by at most ...
    """

    channels: dict[str, tuple[int, int]]
    left: tuple[str, ...]
    before: Cost
    after: Cost
    largest_difference: float

    def __str__(self) -> str:
        before, after = np.sum(list(self.channels.values()), axis=0)
        shares = [getattr(self.after, field) / getattr(self.before, field) for field in ("parameters", "multiply_adds")]
        return (
            f"{after:,} of {before:,} gated channels left, {shares[0]:.1%} of the parameters and {shares[1]:.1%} of the "
            f"multiply-adds; outputs differ by at most {self.largest_difference:.2g}"
        )


def prune(
    model: keras.Model,
    images: np.ndarray,
    keep_ratio: float = 0.9,
    importance: Mapping[str, np.ndarray] | None = None,
    batch_size: int = 32,
) -> tuple[keras.Model, Pruning]:
    """A smaller network, without the channels whose gates stay nearest to zero.

    Of all channels that SE layers gate, the ones with the lowest mean gate are removed, whichever layer they are in: from the
    convolution and normalization that produce them and from the SE layer itself, whose hidden units get the mean of the squeezed
    channel as a bias. If only convolutions or the classifier consume the channels, these get narrower, too; before an addition,
    or anything else, the mean of a channel takes its place.

    Args:
        model: a functional or sequential Keras model with `SqueezeExcite` layers, or SE of other libraries as `keras_senet.gates`
            finds it; it stays as it is. Channels can be removed if a convolution without groups produces them, with only
            normalization, activation and pooling in between. Models within it keep all their channels.
        images: `(N, H, W, C)` as `model` takes them: a few hundred of those that it is for.
        keep_ratio: share of the channels to keep, in (0, 1]. Each SE layer keeps at least one.
        importance: by the name of each SE layer, a number for each of its channels, to go by in place of the mean gates.
        batch_size: images at a time.

    Returns:
        The smaller network, of the same name, inputs and outputs, and a report. New statistics for its batch normalization make
        up for part of the loss (examples/prune_by_gates.py), and further training for most of it.

    Raises:
        ValueError: if `keep_ratio` is not in (0, 1], `model` is subclassed or has no SE layer whose channels can be taken out, or
            `importance` does not have a number for each of these.

    Source: Hu et al., arXiv 1709.01507, section 8, which names the use of the gates for pruning.

    Example:

    >>> from keras import layers
    >>> from keras_senet.layers import SqueezeExcite
    >>> maps = [layers.Conv2D(8, 3), SqueezeExcite(4, name="se"), layers.GlobalAveragePooling2D()]
    >>> model = keras.Sequential([keras.Input((16, 16, 3)), *maps, layers.Dense(10)])
    >>> smaller, report = keras_senet.analysis.prune(model, np.random.uniform(0, 255, (16, 16, 16, 3)), keep_ratio=0.5)
    >>> report.channels, model.count_params(), smaller.count_params()
    ({'se': (8, 4)}, 356, 184)
    """
    if not 0 < keep_ratio <= 1:
        raise InputError(f"`keep_ratio` must be in (0, 1], the share of the channels to keep. Received: keep_ratio={keep_ratio}")
    model = with_known_gates(as_functional(model))
    graph = Graph(model)
    attention = [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]
    prunable = [layer for layer in attention if layer.squeeze is not None and _producers(graph, layer)]
    if not prunable:
        raise InputError(
            f"{model.name!r} has no SE layer whose channels can be taken out: one with squeeze, behind a convolution without "
            f"groups, with no addition, concatenation or model in the model between. {_way_to_prune(model)}".rstrip()
        )
    gates, squeezed, gated, outputs = _read(model, prunable, images, batch_size)
    importance = gates if importance is None else importance
    for name, values in gates.items():
        if np.shape(importance.get(name)) != values.shape:
            raise InputError(f"`importance` must have {len(values)} numbers for {name!r}. Received: {importance.get(name)}")
    kept = _kept({name: np.asarray(importance[name]) for name in gates}, keep_ratio)
    smaller = _without_channels(model, graph, kept, squeezed, gated)
    shape = images.shape[1:]
    changed = _predict(smaller, smaller.outputs, images, batch_size)
    report = Pruning(
        channels={name: (len(gates[name]), len(indices)) for name, indices in kept.items()},
        left=tuple(layer.name for layer in attention if layer not in prunable),
        before=profile(model, shape).total,
        after=profile(smaller, shape).total,
        largest_difference=max(float(np.abs(before - after).max()) for before, after in zip(outputs, changed, strict=True)),
    )
    return smaller, report


def _way_to_prune(model: keras.Model) -> str:
    """What to do with a model that has no channels to take out; nothing if no layer of it will do."""
    for prefix, inner in models_within(model):
        if prefix and any(isinstance(layer, SqueezeExcite) for layer in inner.layers):
            place = "".join(f".get_layer({part!r})" for part in prefix.rstrip("/").split("/"))
            return f"Prune the model in it, `prune(model{place}, inputs)`, and put the smaller one in its place."
    graph = Graph(model)
    convolutions = [
        layer.name
        for layer in model.layers
        if mixes_channels(layer) and layer.activation not in _ACROSS_CHANNELS and graph.is_called_once(layer)
    ]
    if not convolutions:
        return ""
    return f"Put SE behind such a convolution, `keras_senet.add_se(model, after={convolutions[-1]!r})`, and train it."


def _predict(model: keras.Model, outputs: list, images: np.ndarray, batch_size: int) -> list[np.ndarray]:
    model = keras.Model(model.inputs, outputs)
    model.compile(jit_compile=False)  # XLA would compile for longer than it runs
    return keras.tree.flatten(model.predict(images, batch_size, verbose=0))


def _read(
    model: keras.Model, attention: list[SqueezeExcite], images: np.ndarray, batch_size: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], list[np.ndarray]]:
    """By layer the means over the images of gates, squeezed channels and gated channels; and the outputs for each image."""
    pools = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    gates = [se.gates(se.input) for se in attention]
    squeezed = [pools[se.squeeze](se.data_format)(se.input) for se in attention]
    gated = [pools["avg"](se.data_format)(se.output) for se in attention]
    values = iter(_predict(model, gates + squeezed + gated + model.outputs, images, batch_size))
    means = ({se.name: next(values).mean(axis=0) for se in attention} for _ in range(3))
    return next(means), next(means), next(means), [*values]


def _kept(importance: Mapping[str, np.ndarray], keep_ratio: float) -> dict[str, np.ndarray]:
    """The indices of the channels to keep: the most important ones of all layers, but at least one of each."""
    everywhere = np.concatenate(list(importance.values()))
    mask = np.zeros(len(everywhere), bool)
    mask[np.argsort(-everywhere, kind="stable")[: round(keep_ratio * len(everywhere))]] = True
    masks = np.split(mask, np.cumsum([len(values) for values in importance.values()])[:-1])
    for values, mask in zip(importance.values(), masks, strict=True):
        mask[values.argmax()] = True
    return {name: np.flatnonzero(mask) for name, mask in zip(importance, masks, strict=True)}


def _producers(graph: Graph, se: SqueezeExcite) -> list[keras.layers.Layer]:
    """The layers before `se` that keep channels apart, back to the convolution that produces these; none if there is none."""
    chain, layer = [], graph.sole_producer(se)
    while layer is not None:
        chain.append(layer)
        if getattr(layer, "activation", None) in _ACROSS_CHANNELS:
            return []
        if mixes_channels(layer):
            return chain
        if not _is_channelwise(layer, se.channel_axis):
            return []
        layer = graph.sole_producer(layer)
    return []


def _is_channelwise(layer: keras.layers.Layer, axis: int) -> bool:
    kind = type(layer)
    if kind in BATCH_NORMALIZATIONS:
        return layer.axis % 4 == axis
    if kind is layers.DepthwiseConv2D:
        return layer.depth_multiplier == 1
    return kind in (layers.Activation, layers.ReLU) or keeps_the_scale(layer)


def _consumers(graph: Graph, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that consume single channels and can do with fewer: convolutions, the classifier, and `ChannelScatter`.

    Layers that leave zeros zero may stand in between. Empty if anything else consumes the channels.
    """
    narrowed = []
    for consumer in graph.consumers(layer) or []:
        is_classifier = isinstance(consumer, layers.Dense) and len(consumer.input.shape) == 2
        if mixes_channels(consumer) or is_classifier or isinstance(consumer, ChannelScatter):
            consumers = [consumer]
        else:
            consumers = _consumers(graph, consumer) if keeps_the_scale(consumer) else []
        if not consumers:
            return []
        narrowed += consumers
    return narrowed


def _without_channels(
    model: keras.Model,
    graph: Graph,
    kept: Mapping[str, np.ndarray],
    squeezed: Mapping[str, np.ndarray],
    gated: Mapping[str, np.ndarray],
) -> keras.Model:
    """`model` with only the channels `kept` of the SE layers named. The means `squeezed` and `gated` stand in for the others."""
    produced, scattered = dict(kept), {}
    consumed: dict[str, str] = {}
    for name, indices in kept.items():
        se = model.get_layer(name)
        produced |= dict.fromkeys((layer.name for layer in _producers(graph, se)), indices)
        consumers = _consumers(graph, se)
        consumed |= dict.fromkeys((layer.name for layer in consumers), name)
        if not consumers and len(indices) < len(gated[name]):
            scattered[name] = ChannelScatter(indices.tolist(), len(gated[name]), se.data_format, name=f"{name}_scatter")

    def copy(layer):
        config = {}
        if layer.name in produced and isinstance(layer, layers.Conv2D):
            config["filters"] = len(produced[layer.name])
        elif isinstance(layer, SqueezeExcite):
            config["hidden_units"] = layer.reduce.units
        elif isinstance(layer, ChannelScatter) and layer.name in consumed:
            config["indices"] = [layer.indices[index] for index in kept[consumed[layer.name]]]
        return copied(layer, **config)

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if layer.name in scattered:
            scatter = scattered[layer.name]
            outputs = scatter(outputs)
            scatter.bias.assign(_of_the_others(gated[layer.name], kept[layer.name]))
        return outputs

    def weights(layer):
        values = [keras.ops.convert_to_numpy(weight).copy() for weight in layer.weights]
        if layer.name in kept:
            return _narrower_excitation(layer, values, kept[layer.name], squeezed[layer.name])
        if layer.name in consumed:
            name = consumed[layer.name]
            if isinstance(layer, ChannelScatter):
                values[0][layer.indices] += _of_the_others(gated[name], kept[name])
            else:  # a kernel, and perhaps a bias
                values[0] = np.take(values[0], kept[name], axis=-2)
        if layer.name in produced:
            axes = [2 if isinstance(layer, layers.DepthwiseConv2D) and value.ndim == 4 else -1 for value in values]
            values = [np.take(value, produced[layer.name], axis=axis) for value, axis in zip(values, axes, strict=True)]
        return values

    return rewritten(model, copy=copy, call=call, weights=weights, nested=rewritten)


def _of_the_others(means: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The means of the channels that go, and zeros for those that are kept."""
    means = means.copy()
    means[kept] = 0
    return means


def _narrower_excitation(se: SqueezeExcite, values: list[np.ndarray], kept: np.ndarray, squeezed: np.ndarray) -> list[np.ndarray]:
    values = list(values)
    if se.use_bias:
        reduce, bias, expand, offset = values
        return [reduce[kept], bias + _of_the_others(squeezed, kept) @ reduce, expand[:, kept], offset[kept]]
    reduce, expand = values
    return [reduce[kept], expand[:, kept]]
