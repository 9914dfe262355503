"""The same function as a network that computes less: for inference alone, since nothing of it is meant to learn."""

import math

import keras
import numpy as np
from keras import layers

from keras_senet.layers import GroupedConv2D, SqueezeExcite
from keras_senet.rewrite.graph import Graph, as_functional, copied, inputs_of, rewritten


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A network with its batch normalization in the weights of the convolutions before it.

    A normalization is folded where it follows a convolution alone: with no activation between them, and with nothing else that
    reads the convolution's output. The others stay.

    Args:
        model: a functional or sequential Keras model; it stays as it is. Models within it are folded, too.

    Returns:
        A functional model of the same name, inputs and outputs, with biases in the convolutions. It computes what `model`
        computes with `training=False`, up to rounding.

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
    normalizations = [layer for layer in model.layers if type(layer) is layers.BatchNormalization]
    producers = {norm.name: graph.sole_producer(norm) for norm in normalizations}
    after = {producers[norm.name].name: norm for norm in normalizations if _folds_into(norm, producers[norm.name])}
    folded = {norm.name for norm in after.values()}

    def copy(layer):
        if isinstance(layer, keras.Model):
            return fold_batch_norm(layer)
        return copied(layer, **({"use_bias": True} if layer.name in after else {}))

    def call(layer, *args, **kwargs):
        return inputs_of(*args, **kwargs) if layer.name in folded else layer(*args, **kwargs)

    def weights(layer):
        return _with_normalization(layer, after[layer.name]) if layer.name in after else layer.get_weights()

    return rewritten(model, copy, call, weights)


def _folds_into(norm: layers.BatchNormalization, layer: keras.layers.Layer | None) -> bool:
    # Not one of a class derived from these, which may compute something else of the same weights.
    if type(layer) not in (layers.Conv2D, GroupedConv2D, layers.DepthwiseConv2D, layers.SeparableConv2D):
        return False
    if getattr(layer, "lora_enabled", False):
        return False
    channel_axis = 3 if layer.data_format == "channels_last" else 1
    return layer.activation is keras.activations.linear and norm.axis % 4 == channel_axis


def _with_normalization(conv: keras.layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """The weights of `conv`, with a bias, that compute what both compute."""
    *kernels, kernel = conv.get_weights()[: -1 if conv.use_bias else None]
    scale = 1.0 / np.sqrt(np.float64(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale *= np.float64(norm.gamma)
    bias = (np.float64(conv.bias if conv.use_bias else 0.0) - np.float64(norm.moving_mean)) * scale
    if norm.center:
        bias += np.float64(norm.beta)
    # A depthwise kernel makes its channels along two axes.
    along = kernel.shape[2:] if isinstance(conv, layers.DepthwiseConv2D) else (-1,)
    return [*kernels, kernel * scale.reshape(along), bias]


def cheaper_to_run(model: keras.Model) -> keras.Model:
    """A network that a CPU computes faster, on a phone by operators that the fast library there, XNNPACK, has.

    - Normalization is folded.
    - Squeezing comes before a 1x1 convolution. The mean of a linear map is the map of the mean, so the excitation can read the
      mean of what the convolution reads, which in a bottleneck has a quarter of the channels, and its first layer takes in
      the convolution's weights. That is a smaller map to sum up, and fewer weights to load.
    - Average pooling with full windows, and the subsampling that max pooling of single pixels is, become depthwise convolutions:
      XNNPACK takes these in integers, and with windows of one pixel, too.
    - ReLU comes before a concatenation, where it is a part of what made each map; XNNPACK has none of its own for integers.

    Args:
        model: a functional Keras model with `"channels_last"`; it stays as it is.

    Returns:
        A functional model that computes what `model` computes, up to rounding. A `SqueezeExcite` layer with squeeze has become
        the layers `<name>_squeeze`, `<name>_reduce`, `<name>_expand`, whose output is the gates, `(N, 1, 1, C)`, and `<name>`.

    Raises:
        ValueError: if the model is a subclassed one.
    """
    model = fold_batch_norm(model)
    graph = Graph(model)
    pools = {layer.name: layer for layer in model.layers if _is_depthwise(layer)}
    attention = {layer.name: layer for layer in model.layers if isinstance(layer, SqueezeExcite) and layer.squeeze is not None}
    pointwise = {
        name: conv for name, se in attention.items() if _is_pointwise(conv := graph.producer(se)) and se.squeeze == "avg"
    }
    narrow = {conv.name: None for conv in pointwise.values()}  # what these read, in the copy
    after = {graph.sole_producer(layer): layer for layer in model.layers if isinstance(layer, layers.ReLU)}
    moved = {joint.name: relu for joint, relu in after.items() if isinstance(joint, layers.Concatenate)}
    gone = {relu.name for relu in moved.values()}
    changed = {*pools, *attention, *narrow, *moved, *gone}

    def copy(layer):
        return cheaper_to_run(layer) if isinstance(layer, keras.Model) else copied(layer)

    def call(layer, *args, **kwargs):
        if layer.name not in changed:
            return layer(*args, **kwargs)
        inputs = inputs_of(*args, **kwargs)
        if layer.name in narrow:
            narrow[layer.name] = inputs
        if layer.name in gone:
            return inputs
        if layer.name in moved:
            relu = moved[layer.name]
            each = [relu.get_config() | {"name": f"{relu.name}{number}"} for number in range(len(inputs))]
            return layer([relu.from_config(config)(x) for config, x in zip(each, inputs, strict=True)])
        if layer.name in pools:
            return _average(pools[layer.name], inputs)
        if layer.name not in attention:
            return layer(*args, **kwargs)
        se, conv = attention[layer.name], pointwise.get(layer.name)
        pool = layers.GlobalAveragePooling2D if se.squeeze == "avg" else layers.GlobalMaxPooling2D
        gates = pool(keepdims=True, name=f"{se.name}_squeeze")(inputs if conv is None else narrow[conv.name])
        for dense, weights in zip((se.reduce, se.expand), _excitation(se, conv), strict=True):
            gates = _with_weights(layers.Dense(weights[1].size, dense.activation, name=dense.name), weights, gates)
        return layers.Multiply(name=se.name)([inputs, gates])

    return rewritten(model, copy, call, lambda layer: layer.get_weights())


def _excitation(se: SqueezeExcite, conv: layers.Conv2D | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights of both layers, which read the mean of what `conv` reads, if there is one."""
    (reduce, *reduce_bias), (expand, *expand_bias) = se.reduce.get_weights(), se.expand.get_weights()
    hidden, channels = expand.shape
    reduce_bias, expand_bias = sum(reduce_bias, np.zeros(hidden)), sum(expand_bias, np.zeros(channels))
    if conv is not None:
        kernel, bias = conv.get_weights()
        reduce, reduce_bias = kernel[0, 0] @ reduce, bias @ reduce + reduce_bias
    return [reduce, reduce_bias], [expand, expand_bias]


def _is_depthwise(layer: keras.layers.Layer) -> bool:
    """Whether it is a pooling that a depthwise convolution with equal weights can be."""
    if isinstance(layer, layers.MaxPooling2D):
        return layer.pool_size == (1, 1)
    if not isinstance(layer, layers.AveragePooling2D):
        return False
    # A window over the border is divided by what it covers, which a convolution cannot do.
    fits = layer.pool_size == layer.strides and not any(np.mod(layer.input.shape[1:3], layer.strides))
    return layer.padding == "valid" or fits


def _average(pool: keras.layers.Layer, inputs):
    equal = np.full((*pool.pool_size, inputs.shape[-1], 1), 1 / math.prod(pool.pool_size))
    return _with_weights(layers.DepthwiseConv2D(pool.pool_size, pool.strides, use_bias=False, name=pool.name), [equal], inputs)


def _is_pointwise(layer: keras.layers.Layer | None) -> bool:
    return (
        isinstance(layer, layers.Conv2D)
        and layer.kernel_size == layer.strides == (1, 1)
        and layer.groups == 1
        and layer.use_bias
        and layer.activation is keras.activations.linear
    )


def _with_weights(layer: keras.layers.Layer, weights: list[np.ndarray], inputs):
    """`layer` applied to `inputs`, whereby it is built, with `weights`."""
    outputs = layer(inputs)
    layer.set_weights(weights)
    return outputs
