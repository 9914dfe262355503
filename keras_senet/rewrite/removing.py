"""SE taken out of a network, its gates folded into the weights around it where they do not depend on the image."""

import warnings
from collections.abc import Mapping

import keras
import numpy as np

from keras_senet.errors import InputError
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.adding import rescaling_name
from keras_senet.rewrite.channels import Scales
from keras_senet.rewrite.clone import rewritten
from keras_senet.rewrite.graph import Graph, as_functional, inputs_of, refuse_shared_weights
from keras_senet.rewrite.recognition import with_known_gates


def remove_se(model: keras.Model, gates: Mapping[str, np.ndarray] | None = None) -> keras.Model:
    """The inverse of `add_se`: a network without its SE layers.

    Gates that do not depend on the image are folded into the weights around them. The network then computes the same as before,
    bit for bit if the gates are powers of two. Other gates are replaced by their mean in `gates`, or by the value at which
    `add_se` starts them; this changes the function, and a warning names the layers.

    Args:
        model: a functional or sequential Keras model with `SqueezeExcite` or other `FeatureGate` layers, or with SE of other
            libraries, as `keras_senet.gates` finds it; it stays as it is.
        gates: gates by the name of the layer, as `keras_senet.gates(model, images)` returns them, for the layers whose weights
            let the gates depend on the image. Gates that turn out to be constant for these images do not change the function.

    Returns:
        A functional model of the same name, inputs and outputs, with weights of its own. It is not compiled.

    Raises:
        ValueError: if `model` is subclassed, uses weights in two places, or has no such layer.

    Example:

    >>> model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None)
    >>> same = keras_senet.remove_se(keras_senet.add_se(model))
    >>> all(np.all(ours == theirs) for ours, theirs in zip(same.get_weights(), model.get_weights()))
    True
    """
    model = as_functional(model)
    refuse_shared_weights(model, "remove_se")
    spreads: dict[str, float | None] = {}
    without = _without_attention(with_known_gates(model), gates or {}, "", spreads)
    if not spreads:
        raise InputError(f"{model.name!r} has no SE to remove: what `keras_senet.gates` reads is removed.")
    varying = [name if spread is None else f"{name} (by {spread:.2g})" for name, spread in spreads.items() if spread != 0]
    if varying:
        warnings.warn(
            f"The function of {model.name!r} changes: in {len(varying)} of its {len(spreads)} SE layers the gates vary with the "
            f"image, and now each channel has one number instead: {', '.join(varying)}.",
            stacklevel=2,
        )
    return without


def _without_attention(
    model: keras.Model, gates: Mapping[str, np.ndarray], prefix: str, spreads: dict[str, float | None]
) -> keras.Model:
    """`model` without attention. Adds to `spreads` by how much the gates of each layer vary, see `_as_constant`."""
    attention = [layer for layer in model.layers if isinstance(layer, FeatureGate)]
    removed = {name for layer in attention for name in (layer.name, rescaling_name(layer))}
    graph, remaining = Graph(model), {}
    scales = Scales(graph, removed)
    for layer in attention:
        constant, spreads[prefix + layer.name] = _as_constant(layer, gates.get(prefix + layer.name))
        last = layer
        for consumer in graph.consumers(layer) or ():
            if consumer.name in removed and not isinstance(consumer, FeatureGate):
                constant, last = constant * consumer.scale, consumer
        if any(constant != 1) and not (
            scales.scale_output(graph.sole_producer(layer), constant) or scales.scale_consumers(last, constant)
        ):
            remaining[layer.name] = constant

    def call(layer, *args, **kwargs):
        if layer.name in remaining:
            common = {"dtype": layer.compute_dtype, "trainable": layer.trainable, "name": layer.name}
            scale = keras.layers.DepthwiseConv2D(1, use_bias=False, data_format=layer.data_format, **common)
            outputs = scale(inputs_of(*args, **kwargs))
            scale.set_weights([remaining[layer.name].reshape(1, 1, -1, 1)])
            return outputs
        return inputs_of(*args, **kwargs) if layer.name in removed else layer(*args, **kwargs)

    def nested(inner):
        return _without_attention(as_functional(inner), gates, f"{prefix}{inner.name}/", spreads)

    return rewritten(model, call=call, weights=scales.weights, nested=nested)


def _as_constant(layer: FeatureGate, measured: np.ndarray | None) -> tuple[np.ndarray, float | None]:
    """One gate for each channel, and by how much the gates vary from image to image; None if that is not known."""
    constant = layer.constant_gates()
    if constant is not None:
        return constant, 0.0
    channels = layer.input.shape[layer.channel_axis]
    if measured is not None:
        measured = np.moveaxis(measured, 1 if measured.ndim == 2 else layer.channel_axis, -1)
        measured = measured.reshape(-1, measured.shape[-1])
        return np.broadcast_to(measured.mean(axis=0), channels), float(np.ptp(measured, axis=0).max())
    fresh = layer.from_config({key: value for key, value in layer.get_config().items() if key != "parts"})
    fresh(keras.KerasTensor(layer.input.shape, layer.input.dtype))
    return np.full(channels, fresh.make_constant()), None
