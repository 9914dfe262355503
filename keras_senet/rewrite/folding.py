"""Batch normalization folded into the convolutions before it, for inference only."""

import keras
import numpy as np
from keras import layers

from keras_senet.layers import GroupedConv2D
from keras_senet.layers.data_format import channel_axis
from keras_senet.rewrite.channels import BATCH_NORMALIZATIONS
from keras_senet.rewrite.clone import copied, own_weights, rewritten
from keras_senet.rewrite.graph import Graph, as_functional, inputs_of


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A network with its batch normalization folded into the convolutions before it.

    A normalization is folded if it is the only consumer of a convolution's output and the convolution has no activation. The
    others stay.

    Args:
        model: a functional or sequential Keras model; it stays as it is. Models within it are folded, too.

    Returns:
        A functional model of the same name, inputs and outputs, with biases in the convolutions. It computes the same as `model`
        with `training=False`, up to rounding.

    Raises:
        ValueError: if the model is a subclassed one.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", arXiv
    1712.05877, section 3.2, equation 14.

    Example:

    >>> folded = keras_senet.export.fold_batch_norm(keras_senet.SEResNet20())
    >>> any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    False
    """
    model = as_functional(model)
    graph = Graph(model)
    normalizations = [layer for layer in model.layers if type(layer) in BATCH_NORMALIZATIONS]
    producers = {norm.name: graph.sole_producer(norm) for norm in normalizations}
    folded = {producers[norm.name].name: norm for norm in normalizations if _folds_into(norm, producers[norm.name])}
    removed = {norm.name for norm in folded.values()}

    def copy(layer):
        return copied(layer, use_bias=True) if layer.name in folded else copied(layer)

    def call(layer, *args, **kwargs):
        return inputs_of(*args, **kwargs) if layer.name in removed else layer(*args, **kwargs)

    def weights(layer):
        return _with_normalization(layer, folded[layer.name]) if layer.name in folded else own_weights(layer)

    return rewritten(model, copy=copy, call=call, weights=weights, nested=fold_batch_norm)


def _folds_into(norm: layers.BatchNormalization, layer: keras.layers.Layer | None) -> bool:
    # Not isinstance: a subclass may use the same weights differently.
    if type(layer) not in (layers.Conv2D, GroupedConv2D, layers.DepthwiseConv2D, layers.SeparableConv2D):
        return False
    if getattr(layer, "lora_enabled", False):
        return False
    return layer.activation is keras.activations.linear and norm.axis % 4 == channel_axis(layer.data_format) % 4


def _with_normalization(conv: keras.layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """The weights of `conv`, including a bias, with which it computes what both layers compute."""
    *kernels, kernel = conv.get_weights()[: -1 if conv.use_bias else None]
    scale = 1.0 / np.sqrt(np.float64(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale *= np.float64(norm.gamma)
    bias = (np.float64(conv.bias if conv.use_bias else 0.0) - np.float64(norm.moving_mean)) * scale
    if norm.center:
        bias += np.float64(norm.beta)
    # The output channels of a depthwise kernel are its last two axes.
    along = kernel.shape[2:] if isinstance(conv, layers.DepthwiseConv2D) else (-1,)
    return [*kernels, kernel * scale.reshape(along), bias]
