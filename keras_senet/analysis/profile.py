"""The cost of a network, read from its graph alone."""

import math

import keras

from keras_senet.layers import SqueezeExcite


def parameters(model: keras.Model) -> int:
    """The number of trainable parameters: all weights without the moving statistics of batch normalization.

    Args:
        model: any built Keras model; the weights of frozen layers do not count.

    Returns:
        The number.

    Example:

    >>> keras_senet.analysis.parameters(keras_senet.SEResNet50(weights=None))
    28088024
    """
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def multiply_adds(model: keras.Model) -> int:
    """The multiply-adds of a model's convolutions and fully connected layers, for one image.

    Other operations (normalization, activations, pooling, the products with the gates) are left out, as in the paper's tables.

    Args:
        model: a functional Keras model whose input has a known size, and whose layers are each used once.

    Returns:
        The number of multiply-adds.

    Raises:
        ValueError: if the input's height or width is unknown.

    Example:

    >>> round(keras_senet.analysis.multiply_adds(keras_senet.SEResNet50(weights=None)) / 1e9, 3)
    3.86
    """
    if None in model.input_shape[1:]:
        raise ValueError(
            f"Multiply-adds depend on the size of the image, and {model.name!r} takes any. Build it with a fixed "
            f"`input_shape`. Received: input shape {model.input_shape}"
        )
    return sum(_of_layer(layer) for layer in model.layers)


def _of_layer(layer: keras.layers.Layer) -> int:
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, SqueezeExcite):
        positions = _positions(layer, layer.data_format) if layer.squeeze is None else 1
        return positions * (math.prod(layer.reduce.kernel.shape) + math.prod(layer.expand.kernel.shape))
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    # Each weight of a kernel is used once at each position of the output; with groups the kernel is smaller accordingly.
    return _positions(layer, getattr(layer, "data_format", "channels_last")) * math.prod(kernel.shape)


def _positions(layer: keras.layers.Layer, data_format: str) -> int:
    shape = layer.output.shape
    return math.prod(shape[1:-1] if data_format == "channels_last" else shape[2:])
