"""Keras layers of SE networks."""

from keras_senet.layers.grouped_conv2d import GroupedConv2D
from keras_senet.layers.squeeze_excite import SqueezeExcite

__all__ = ["GroupedConv2D", "SqueezeExcite"]
