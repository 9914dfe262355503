"""SE-ShuffleNet: ShuffleNet (version 1) with SE at the end of each residual branch."""

import dataclasses

from keras import layers

from keras_senet.errors import InputError
from keras_senet.layers import ChannelShuffle
from keras_senet.layers.attention import ATTENTION_POSITIONS, Attention
from keras_senet.layers.data_format import channel_axis
from keras_senet.models.architecture import Architecture
from keras_senet.models.blocks import Conv, conv_bn, conv_bn_act, max_pool
from keras_senet.models.build import constructor

# Channels of the first stage by number of groups, which give networks of equal cost; each later stage doubles them.
_WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShuffleNet(Architecture):
    """The fields in which the members of the family differ.

    Source: Zhang et al., arXiv 1707.01083, table 1.
    """

    family: str = "SE-ShuffleNet"
    groups: int = 3  # of the 1x1 convolutions
    scale: float = 1.0  # factor on the channels
    depths: tuple[int, ...] = (4, 8, 4)  # units in each stage
    stages: tuple[int, ...] = (2, 3, 4)
    positions: tuple[str, ...] = ATTENTION_POSITIONS

    def __post_init__(self):
        if self.groups not in _WIDTHS:
            raise InputError(f"`groups` must be one of {tuple(_WIDTHS)}. Received: groups={self.groups}")
        if int(self.scale * 24) < 1:
            raise InputError(f"`scale` must leave the 24 channels of the stem at least one. Received: scale={self.scale}")


def features(x, net: ShuffleNet, attention: Attention):
    """The layers from the normalized image to the last feature map."""
    x = max_pool(conv_bn_act(x, Conv(int(24 * net.scale), 3, 2), "stem"), "stem_pool")
    for stage, depth in zip(net.stages, net.depths, strict=True):
        width = int(_WIDTHS[net.groups] * net.scale) * 2 ** (stage - 2)
        for block in range(1, depth + 1):
            name = f"stage{stage}_block{block}"
            x = _unit(x, net.groups, width, block == 1, stage == 2 and block == 1, attention.in_block(stage, name), name)
    return x


def _unit(x, groups: int, width: int, strided: bool, first: bool, attend, name: str):
    """Concatenates the branch and the pooled input, or adds them without stride. The first has too few channels for groups."""
    strides = 2 if strided else 1
    inner = width // 4
    y = conv_bn_act(attend(x, "pre"), Conv(inner, 1, groups=1 if first else groups), name, 1)
    if groups > 1:
        y = ChannelShuffle(groups, name=f"{name}_shuffle")(y)
    y = attend(conv_bn(y, Conv(inner, 3, strides, groups=inner), name, 2), "3x3")
    y = conv_bn(y, Conv(width - x.shape[channel_axis()] if strided else width, 1, groups=groups), name, 3)
    if strided:
        x = layers.ZeroPadding2D(1, name=f"{name}_pool_pad")(x)
        x = layers.AveragePooling2D(3, strides=2, name=f"{name}_pool")(x)
    join = layers.Concatenate(channel_axis(), name=f"{name}_concat") if strided else layers.Add(name=f"{name}_add")
    y = join([attend(x, "identity"), attend(y)])
    return attend(layers.ReLU(name=f"{name}_out")(y), "post")


SEShuffleNet = constructor(
    "SEShuffleNet",
    ShuffleNet,
    features,
    "SE-ShuffleNet for ImageNet.",
    groups="groups of the 1x1 convolutions: 1, 2, 3, 4 or 8.",
    scale="factor on the channels of every layer, such as 1 or 2; `groups` must divide the resulting channels.",
)
