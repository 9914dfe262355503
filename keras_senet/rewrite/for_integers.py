"""A network whose hard swish is written in operators that there are for integers, for inference only."""

import collections

import keras
from keras import layers

from keras_senet.rewrite.clone import copied, rewritten

_WITH_ACTIVATION = (layers.Activation, layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)


def optimized_for_integers(model: keras.Model) -> keras.Model:
    """A network that can be quantized and runs fast on a CPU, made of operators that XNNPACK supports for integers.

    Hard swish is an operator of TFLite, into which its converter fuses however it is written as `x * (relu6(x + 3) / 6)`. XNNPACK
    has that operator for floats alone, and for maps of 16 bits there is none. `(relu6(x + 3) * x) / 6` is not fused. The division
    goes into the weights of what follows if that is a convolution; otherwise it changes the scale of the integers, not them.

    Args:
        model: a functional Keras model, such as one by `optimized_for_cpu`; it stays as it is. Models within it are rewritten,
            too.

    Returns:
        A functional model that computes the same, up to rounding.
    """
    without: list[keras.layers.Layer] = []  # the copies of layers with hard swish, which are without
    calls: collections.Counter[int] = collections.Counter()  # of these copies, by their identity

    def copy(layer):
        if not isinstance(layer, _WITH_ACTIVATION) or layer.activation is not keras.activations.hard_silu:
            return copied(layer)
        without.append(copied(layer, activation="linear"))
        return without[-1]

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if not any(layer is each for each in without):
            return outputs
        calls[id(layer)] += 1
        return _hard_swish(outputs, layer, calls[id(layer)])

    return rewritten(model, copy=copy, call=call)


def _hard_swish(x, layer: keras.layers.Layer, number: int):
    """Hard swish after call `number` of `layer`, whose activation is shared if it is called more than once."""

    def name(step: str) -> dict:
        return {"name": f"{layer.name}_{step}" + f"_{number}" * (number > 1), "dtype": layer.compute_dtype}

    shifted = layers.ReLU(6.0, **name("relu6"))(layers.Rescaling(1.0, 3.0, **name("shift"))(x))
    return layers.Rescaling(1 / 6, **name("scale"))(layers.Multiply(**name("product"))([shifted, x]))
