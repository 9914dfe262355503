"""A network that computes the same with less work on a CPU, for inference only."""

import math

import keras
import numpy as np
from keras import layers

from keras_senet.layers import SqueezeExcite
from keras_senet.rewrite.clone import rewritten
from keras_senet.rewrite.folding import fold_batch_norm
from keras_senet.rewrite.graph import Graph, inputs_of
from keras_senet.rewrite.recognition import with_known_gates


def optimized_for_cpu(model: keras.Model) -> keras.Model:
    """A network that runs faster on a CPU, made of operators that XNNPACK, the fast library of TFLite, supports.

    - The normalization of pixels becomes a 1x1 convolution. XNNPACK subtracts and divides numbers a channel pixel by pixel, which
      for the three channels of an image takes several times as long.
    - SE of other libraries, as `keras_senet.gates` finds it, is treated as ours.
    - Batch normalization is folded.
    - Squeezing comes before a 1x1 convolution. The mean of a linear map is the map of the mean, so the excitation can read the
      mean of the convolution's input, which in a bottleneck has a quarter of the channels, and its first layer absorbs the
      convolution's weights. That leaves a smaller map to sum up and fewer weights to load.
    - Average pooling with full windows, and max pooling of single pixels, which is subsampling, become depthwise convolutions:
      XNNPACK supports these in integers and with windows of one pixel.
    - ReLU moves before a concatenation, where it fuses with the producer of each map; XNNPACK has no separate ReLU for integers.

    Args:
        model: a functional Keras model with `"channels_last"`; it stays as it is. Models within it are optimized, too.

    Returns:
        A functional model that computes the same as `model`, up to rounding. A `SqueezeExcite` layer with squeeze is replaced by
        the layers `<name>_squeeze`, `<name>_reduce`, `<name>_expand`, whose output is the gates, `(N, 1, 1, C)`, and `<name>`.

    Raises:
        ValueError: if the model is a subclassed one.
    """
    model = fold_batch_norm(with_known_gates(model))
    graph = Graph(model)
    alone = [layer for layer in model.layers if graph.is_called_once(layer)]  # what takes its place can have its name
    pools = {layer.name: layer for layer in alone if _is_depthwise(layer)}
    normalizations = {layer.name: layer for layer in alone if _is_of_channels(layer)}
    attention = {layer.name: layer for layer in alone if _is_replaceable(layer)}
    pointwise = {
        name: conv for name, se in attention.items() if _is_pointwise(conv := graph.producer(se)) and se.squeeze == "avg"
    }
    narrow = {conv.name: None for conv in pointwise.values()}  # their inputs, in the copy
    relus = {graph.sole_producer(layer): layer for layer in model.layers if isinstance(layer, layers.ReLU)}
    moved = {concat.name: relu for concat, relu in relus.items() if isinstance(concat, layers.Concatenate)}
    removed = {relu.name for relu in moved.values()}
    changed = {*normalizations, *pools, *attention, *narrow, *moved, *removed}

    def call(layer, *args, **kwargs):
        if layer.name not in changed:
            return layer(*args, **kwargs)
        inputs = inputs_of(*args, **kwargs)
        if layer.name in narrow:
            narrow[layer.name] = inputs
        if layer.name in removed:
            return inputs
        if layer.name in moved:
            relu = moved[layer.name]
            configs = [relu.get_config() | {"name": f"{relu.name}{number}"} for number in range(len(inputs))]
            return layer([relu.from_config(config)(x) for config, x in zip(configs, inputs, strict=True)])
        if layer.name in normalizations:
            return _as_convolution(normalizations[layer.name], inputs)
        if layer.name in pools:
            return _average(pools[layer.name], inputs)
        if layer.name not in attention:
            return layer(*args, **kwargs)
        se, conv = attention[layer.name], pointwise.get(layer.name)
        pool = layers.GlobalAveragePooling2D if se.squeeze == "avg" else layers.GlobalMaxPooling2D
        squeeze = pool(se.data_format, keepdims=True, dtype=se.compute_dtype, name=f"{se.name}_squeeze")
        gates = squeeze(inputs if conv is None else narrow[conv.name])
        for dense, weights in zip((se.reduce, se.expand), _excitation(se, conv), strict=True):
            replacement = layers.Dense(weights[1].size, dense.activation, dtype=dense.compute_dtype, name=dense.name)
            gates = _with_weights(replacement, weights, gates)
        return layers.Multiply(dtype=se.compute_dtype, name=se.name)([inputs, gates])

    return rewritten(model, call=call, nested=optimized_for_cpu)


def _excitation(se: SqueezeExcite, conv: layers.Conv2D | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights of both layers; if there is a `conv`, for an input that is the mean of its input."""
    (reduce, reduce_bias), (expand, expand_bias) = _kernel_and_bias(se.reduce), _kernel_and_bias(se.expand)
    if conv is not None:
        kernel, bias = _kernel_and_bias(conv)
        reduce, reduce_bias = kernel[0, 0] @ reduce, bias @ reduce + reduce_bias
    return [reduce, reduce_bias], [expand, expand_bias]


def _kernel_and_bias(layer: keras.layers.Layer) -> list[np.ndarray]:
    """The kernel, in which LoRA is merged, and the bias, which is zero for a layer without one."""
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    return [kernel, keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])]


def _is_replaceable(layer: keras.layers.Layer) -> bool:
    """Whether it is SE with squeeze, in floating point: Keras quantizes the inputs of a quantized layer, too, as it goes."""
    if not isinstance(layer, SqueezeExcite) or layer.squeeze is None:
        return False
    return layer.reduce.quantization_mode is None and layer.expand.quantization_mode is None


def _is_of_channels(layer: keras.layers.Layer) -> bool:
    """Whether it subtracts a number from each channel of a map, and divides it by another."""
    if not isinstance(layer, layers.Normalization) or layer.invert:
        return False
    shape = layer.input.shape
    # A convolution takes no integers, such as images of the type uint8, which this layer makes floats of.
    takes_floats = keras.backend.is_float_dtype(layer.input.dtype)
    return takes_floats and len(shape) == 4 and shape[3] > 1 and [axis % 4 for axis in layer.axis] == [3]


def _as_convolution(norm: layers.Normalization, inputs):
    mean, variance = (np.ravel(keras.ops.convert_to_numpy(of)).astype("float64") for of in (norm.mean, norm.variance))
    factors = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    common = {"data_format": "channels_last", "dtype": norm.compute_dtype, "name": norm.name}
    return _with_weights(layers.Conv2D(mean.size, 1, **common), [np.diag(factors)[None, None], -mean * factors], inputs)


def _is_depthwise(layer: keras.layers.Layer) -> bool:
    """Whether a depthwise convolution with equal weights computes the same as this pooling."""
    if isinstance(layer, layers.MaxPooling2D):
        return layer.pool_size == (1, 1)
    if not isinstance(layer, layers.AveragePooling2D):
        return False
    # Pooling divides a window over the border by the number of pixels that it covers, which a convolution cannot do.
    fits = layer.pool_size == layer.strides and not any(np.mod(layer.input.shape[1:3], layer.strides))
    return layer.padding == "valid" or fits


def _average(pool: keras.layers.Layer, inputs):
    equal = np.full((*pool.pool_size, inputs.shape[-1], 1), 1 / math.prod(pool.pool_size))
    common = {"data_format": pool.data_format, "dtype": pool.compute_dtype, "name": pool.name}
    return _with_weights(layers.DepthwiseConv2D(pool.pool_size, pool.strides, use_bias=False, **common), [equal], inputs)


def _is_pointwise(layer: keras.layers.Layer | None) -> bool:
    return (
        isinstance(layer, layers.Conv2D)
        and layer.kernel_size == layer.strides == (1, 1)
        and layer.groups == 1
        and layer.use_bias
        and layer.activation is keras.activations.linear
    )


def _with_weights(layer: keras.layers.Layer, weights: list[np.ndarray], inputs):
    """Calls `layer` on `inputs`, which builds it, and sets its weights."""
    outputs = layer(inputs)
    layer.set_weights(weights)
    return outputs
