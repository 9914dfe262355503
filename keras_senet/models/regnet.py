"""RegNetY: residual networks whose widths follow a line, with SE after the 3x3 convolution of each block."""

import collections
import dataclasses
import functools
import math

from keras_senet.layers.attention import ATTENTION_POSITIONS, Attention, AttentionConfig
from keras_senet.layers.data_format import channel_axis
from keras_senet.models.architecture import Architecture
from keras_senet.models.blocks import Conv, conv_bn, conv_bn_act, residual
from keras_senet.models.build import constructor


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegNet(Architecture):
    """The fields in which the members of the family differ.

    Source: Radosavovic et al., arXiv 2003.13678, section 4; for the place and width of SE,
        github.com/facebookresearch/pycls.
    """

    family: str = "RegNetY"
    depths: tuple[int, ...]  # blocks in each stage
    widths: tuple[int, ...]  # channels of all convolutions of each stage
    group_width: int  # channels in each group of the 3x3 convolutions, as far as the stage has so many
    attention: AttentionConfig = AttentionConfig(reduction=4, attention_position="3x3")
    stages: tuple[int, ...] = (2, 3, 4, 5)  # the stem is stage 1, as in a ResNet
    positions: tuple[str, ...] = ATTENTION_POSITIONS


def features(x, net: RegNet, attention: Attention):
    """The layers from the normalized image to the last feature map."""
    x = conv_bn_act(x, Conv(32, 3, 2), "stem")
    for stage, depth, width in zip(net.stages, net.depths, net.widths, strict=True):
        for block in range(1, depth + 1):
            strides, name = 2 if block == 1 else 1, f"stage{stage}_block{block}"
            groups = max(1, width // net.group_width)
            convs = Conv(width, 1), Conv(width, 3, strides, groups), Conv(width, 1)
            shortcut = functools.partial(conv_bn, conv=Conv(width, 1, strides), prefix=f"{name}_proj") if block == 1 else None
            # The hidden units are a share of the channels that the block takes, not of those that are gated.
            x = residual(x, convs, shortcut, attention.in_block(stage, name, x.shape[channel_axis()]), name)
    return x


def regnet_y(depth: int, initial_width: int, slope: float, multiplier: float, group_width: int) -> RegNet:
    """The architecture of a RegNetY: its blocks have the widths of a line, rounded so that few different ones are left.

    Args:
        depth: number of blocks.
        initial_width: width at the start of the line, channels.
        slope: by how many channels the line rises from block to block.
        multiplier: ratio of the widths of two stages, before they are rounded to multiples of 8 and of the group's width.
        group_width: channels in each group of the 3x3 convolutions.

    Source: Radosavovic et al., arXiv 2003.13678, section 3.3, equations 2 to 4; for groups,
        github.com/facebookresearch/pycls.
    """
    line = [initial_width + slope * block for block in range(depth)]
    powers = [round(math.log(width / initial_width, multiplier)) for width in line]
    depths = collections.Counter(8 * round(initial_width * multiplier**power / 8) for power in powers)
    in_groups = {width: min(group_width, width) for width in depths}
    return RegNet(
        depths=tuple(depths.values()),
        widths=tuple(group * round(width / group) for width, group in in_groups.items()),
        group_width=group_width,
    )


def _network(name: str, description: str, architecture: RegNet):
    return constructor(name, architecture, features, f"{description} for ImageNet.")


RegNetY002 = _network("RegNetY002", "RegNetY-200MF", regnet_y(13, 24, 36.44, 2.49, 8))
RegNetY004 = _network("RegNetY004", "RegNetY-400MF", regnet_y(16, 48, 27.89, 2.09, 8))
RegNetY006 = _network("RegNetY006", "RegNetY-600MF", regnet_y(15, 48, 32.54, 2.32, 16))
RegNetY008 = _network("RegNetY008", "RegNetY-800MF", regnet_y(14, 56, 38.84, 2.4, 16))
RegNetY016 = _network("RegNetY016", "RegNetY-1.6GF", regnet_y(27, 48, 20.71, 2.65, 24))
RegNetY032 = _network("RegNetY032", "RegNetY-3.2GF", regnet_y(21, 80, 42.63, 2.66, 24))
RegNetY040 = _network("RegNetY040", "RegNetY-4GF", regnet_y(22, 96, 31.41, 2.24, 64))
RegNetY064 = _network("RegNetY064", "RegNetY-6.4GF", regnet_y(25, 112, 33.22, 2.27, 72))
RegNetY080 = _network("RegNetY080", "RegNetY-8GF", regnet_y(17, 192, 76.82, 2.19, 56))
RegNetY120 = _network("RegNetY120", "RegNetY-12GF", regnet_y(19, 168, 73.36, 2.37, 112))
RegNetY160 = _network("RegNetY160", "RegNetY-16GF", regnet_y(18, 200, 106.23, 2.48, 112))
RegNetY320 = _network("RegNetY320", "RegNetY-32GF", regnet_y(20, 232, 115.89, 2.53, 232))
# torchvision rounds a half up where the authors round it to even, and never down by more than a tenth.
_008TV = dataclasses.replace(RegNetY008.architecture, widths=(64, 144, 320, 784))
_080TV = dataclasses.replace(RegNetY080.architecture, widths=(224, 448, 896, 2016))
RegNetY008TV = _network("RegNetY008TV", "RegNetY-800MF with torchvision's widths", _008TV)
RegNetY080TV = _network("RegNetY080TV", "RegNetY-8GF with torchvision's widths", _080TV)
