"""Keras layers of SE networks."""

from keras_senet.layers.channel_scatter import ChannelScatter
from keras_senet.layers.channel_shuffle import ChannelShuffle
from keras_senet.layers.feature_gate import FeatureGate
from keras_senet.layers.grouped_conv2d import GroupedConv2D
from keras_senet.layers.pixel_normalization import PixelNormalization
from keras_senet.layers.shake_shake import ShakeShake
from keras_senet.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "ChannelScatter",
    "ChannelShuffle",
    "FeatureGate",
    "GroupedConv2D",
    "PixelNormalization",
    "ShakeShake",
    "SqueezeExcite",
]
