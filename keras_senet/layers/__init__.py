"""Keras layers of SE networks."""

from keras_senet.layers.batch_normalization import BatchNormalization
from keras_senet.layers.channel_scatter import ChannelScatter
from keras_senet.layers.channel_shuffle import ChannelShuffle
from keras_senet.layers.concurrent_squeeze_excite import ConcurrentSqueezeExcite
from keras_senet.layers.convolutional_block_attention import ConvolutionalBlockAttention
from keras_senet.layers.coordinate_attention import CoordinateAttention
from keras_senet.layers.dilated_pooling2d import DilatedPooling2D
from keras_senet.layers.effective_squeeze_excite import EffectiveSqueezeExcite
from keras_senet.layers.efficient_channel_attention import EfficientChannelAttention
from keras_senet.layers.feature_gate import FeatureGate
from keras_senet.layers.gather_excite import GatherExcite
from keras_senet.layers.global_context import GlobalContext
from keras_senet.layers.grouped_conv2d import GroupedConv2D
from keras_senet.layers.pixel_normalization import PixelNormalization
from keras_senet.layers.shake_shake import ShakeShake
from keras_senet.layers.spatial_squeeze_excite import SpatialSqueezeExcite
from keras_senet.layers.squeeze_excite import SqueezeExcite
from keras_senet.layers.up_sampling_like import UpSamplingLike

__all__ = [
    "BatchNormalization",
    "ChannelScatter",
    "ChannelShuffle",
    "ConcurrentSqueezeExcite",
    "ConvolutionalBlockAttention",
    "CoordinateAttention",
    "DilatedPooling2D",
    "EffectiveSqueezeExcite",
    "EfficientChannelAttention",
    "FeatureGate",
    "GatherExcite",
    "GlobalContext",
    "GroupedConv2D",
    "PixelNormalization",
    "ShakeShake",
    "SpatialSqueezeExcite",
    "SqueezeExcite",
    "UpSamplingLike",
]
