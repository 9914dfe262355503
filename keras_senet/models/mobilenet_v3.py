"""MobileNetV3, large and small: inverted residuals with SE in some of them, hard swish and hard sigmoid."""

import dataclasses

from keras import layers

from keras_senet.errors import InputError
from keras_senet.layers.attention import Attention, AttentionConfig, make_divisible
from keras_senet.layers.data_format import channel_axis
from keras_senet.models.architecture import Architecture
from keras_senet.models.blocks import Conv, conv_bn, conv_bn_act
from keras_senet.models.build import constructor

_DIVISOR = 8  # of all numbers of channels
_STEM = 16  # channels of the stem, at least

# The name of the layer that pads a map before strides, and epsilon of the normalization. In a file of weights, only the names of
# layers tell one publisher from the other.
_PUBLISHERS = {"tensorflow": (None, 1e-3), "timm": ("pad", 1e-5), "torchvision": ("border", 1e-3)}


@dataclasses.dataclass(frozen=True)
class Row:
    """One block, a row of the paper's tables."""

    kernel_size: int
    expanded: int  # channels of the depthwise convolution
    channels: int  # of the output
    se: bool = False
    hard_swish: bool = False
    strides: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV3(Architecture):
    """The fields in which the members of the family differ.

    Source: Howard et al., arXiv 1905.02244, tables 1 and 2; for the minimalistic networks, the authors' release of theirs.
    """

    family: str = "MobileNetV3"
    rows: tuple[tuple[Row, ...], ...]  # of each stage; the blocks of a stage have outputs of one width
    last_channels: int  # of the 1x1 convolution before the pooling
    width_multiplier: float = 1.0  # factor on the channels of all layers but the fully connected one
    minimalistic: bool = False  # without SE, hard swish and 5x5 kernels
    publisher: str = "tensorflow"  # a key of `_PUBLISHERS`, which differ in padding and epsilon; the first are the authors
    attention: AttentionConfig = AttentionConfig(reduction=4, gate="hard_sigmoid")
    hidden_divisor: int = _DIVISOR
    dropout: float = 0.2

    def __post_init__(self):
        if self.width_multiplier <= 0:
            raise InputError(f"`width_multiplier` must be above 0. Received: width_multiplier={self.width_multiplier}")

    def scaled(self, channels: float) -> int:
        """The number of channels of a layer that has `channels` where the width multiplier is 1."""
        return make_divisible(channels * self.width_multiplier, _DIVISOR)


def features(x, net: MobileNetV3, attention: Attention):
    """The layers from the normalized image to the last feature map."""
    x = conv_bn_act(x, _conv(net, max(_STEM, net.scaled(_STEM)), 3, 2), "stem")
    channels = _STEM  # before the width multiplier
    for stage, rows in zip(net.stages, net.rows, strict=True):
        for block, row in enumerate(rows, start=1):
            name = f"stage{stage}_block{block}"
            attend = attention.in_block(stage, name) if row.se and not net.minimalistic else _identity
            x = _inverted_residual(x, net, row, row.expanded / channels, attend, name)
            channels = row.channels
    return conv_bn_act(x, _conv(net, net.scaled(net.last_channels), 1), "last")


def _inverted_residual(x, net: MobileNetV3, row: Row, expansion: float, attend, name: str):
    """Expands the map by a 1x1 convolution, unless `expansion` is 1, filters each channel, attends, and projects."""
    shortcut, before = x, x.shape[channel_axis()]
    # The widths follow from those of the block's input, which are rounded already.
    expanded = make_divisible(before * expansion, _DIVISOR)
    index = 1
    if expansion != 1:
        x = conv_bn_act(x, _conv(net, expanded, 1, hard_swish=row.hard_swish), name, index)
        index += 1
    depthwise = _conv(net, expanded, 3 if net.minimalistic else row.kernel_size, row.strides, expanded, row.hard_swish)
    x = attend(conv_bn_act(x, depthwise, name, index))
    x = conv_bn(x, _conv(net, net.scaled(row.channels), 1), name, index + 1)
    if row.strides == 1 and before == x.shape[channel_axis()]:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _conv(net: MobileNetV3, filters: int, kernel_size: int, strides: int = 1, groups: int = 1, hard_swish: bool = True) -> Conv:
    pad, epsilon = _PUBLISHERS[net.publisher]
    activation = "hard_silu" if hard_swish and not net.minimalistic else "relu"
    return Conv(filters, kernel_size, strides, groups, activation=activation, pad=pad, epsilon=epsilon)


def _identity(x):
    return x


_SE, _SWISH, _BOTH = {"se": True}, {"hard_swish": True}, {"se": True, "hard_swish": True}
_LARGE = (
    (Row(3, 16, 16),),
    (Row(3, 64, 24, strides=2), Row(3, 72, 24)),
    (Row(5, 72, 40, **_SE, strides=2), Row(5, 120, 40, **_SE), Row(5, 120, 40, **_SE)),
    (Row(3, 240, 80, **_SWISH, strides=2), Row(3, 200, 80, **_SWISH), Row(3, 184, 80, **_SWISH), Row(3, 184, 80, **_SWISH)),
    (Row(3, 480, 112, **_BOTH), Row(3, 672, 112, **_BOTH)),
    (Row(5, 672, 160, **_BOTH, strides=2), Row(5, 960, 160, **_BOTH), Row(5, 960, 160, **_BOTH)),
)
_SMALL = (
    (Row(3, 16, 16, **_SE, strides=2),),
    (Row(3, 72, 24, strides=2), Row(3, 88, 24)),
    (Row(5, 96, 40, **_BOTH, strides=2), Row(5, 240, 40, **_BOTH), Row(5, 240, 40, **_BOTH)),
    (Row(5, 120, 48, **_BOTH), Row(5, 144, 48, **_BOTH)),
    (Row(5, 288, 96, **_BOTH, strides=2), Row(5, 576, 96, **_BOTH), Row(5, 576, 96, **_BOTH)),
)


def _network(name: str, rows: tuple[tuple[Row, ...], ...], last_channels: int, fully_connected: int):
    def describe(width_multiplier: float = 1.0, minimalistic: bool = False) -> MobileNetV3:
        return MobileNetV3(
            rows=rows,
            last_channels=last_channels,
            fully_connected=(fully_connected,),
            fully_connected_activation="relu" if minimalistic else "hard_silu",
            stages=tuple(range(1, len(rows) + 1)),
            width_multiplier=width_multiplier,
            minimalistic=minimalistic,
        )

    return constructor(
        f"MobileNetV3{name}",
        describe,
        features,
        f"MobileNetV3-{name} for ImageNet.",
        width_multiplier="factor on the channels of every layer but the one before the classifier, such as 1 or 0.75; the "
        "results are rounded to multiples of 8.",
        minimalistic="whether to leave out SE, and have ReLU in the place of hard swish and kernels of 3x3 in that of 5x5, for "
        "processors without fast integers.",
    )


MobileNetV3Large = _network("Large", _LARGE, 960, 1280)
MobileNetV3Small = _network("Small", _SMALL, 576, 1024)
