"""A network in float32 that has the weights of one in half precision, for runtimes that do not compute in half precision."""

import keras

from keras_senet.keras_internals import all_layers
from keras_senet.rewrite.clone import copied, rewritten

_HALF = ("float16", "bfloat16")


def in_float32(model: keras.Model) -> keras.Model:
    """The same network in float32: a copy with the same weights, or the network itself if no layer computes in half precision.

    Args:
        model: any model; if a layer computes in float16 or bfloat16, a functional or sequential one.

    Raises:
        ValueError: if a layer computes in half precision and the model is a subclassed one.
    """
    if not any(layer.compute_dtype in _HALF for layer in all_layers(model)):
        return model

    def copy(layer):
        return copied(layer, **_with_float32(layer.get_config())) if isinstance(layer, keras.layers.Layer) else copied(layer)

    return rewritten(model, copy=copy)


def _with_float32(config):
    """A configuration with float32 in all dtype policies within it, also those of quantized layers and of maps of policies."""
    if isinstance(config, dict):
        return {key: _with_float32(value) for key, value in config.items()}
    names = (*_HALF, *(f"mixed_{dtype}" for dtype in _HALF))
    return "float32" if isinstance(config, str) and config in names else config
