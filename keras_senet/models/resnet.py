"""The ResNet family with SE for ImageNet: SE-ResNet, SE-ResNeXt and SENet-154 as the authors released them, and timm's variants.

Variant D has a deep stem and shortcuts with average pooling (arXiv 1812.01187), T has a tiered stem, and AA replaces strides by
average pooling against aliasing (arXiv 1904.11486).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from keras import layers

from keras_senet.layers.attention import ATTENTION_POSITIONS, Attention, AttentionConfig
from keras_senet.models.architecture import Architecture
from keras_senet.models.blocks import (
    Conv,
    conv_bn,
    conv_bn_act,
    convolve,
    max_pool,
    normalize,
    pad_channels,
    pooled_projection,
    preactivated_residual,
    residual,
    shifted_projection,
    signed_max_pool,
)
from keras_senet.models.build import constructor


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet(Architecture):
    """The fields in which the members of the family differ."""

    family: str = "SE-ResNet"
    depths: tuple[int, ...]  # blocks in each stage
    unit: Callable = residual  # function of blocks.py that joins the convolutions and the shortcut of a block
    bottleneck: bool = True  # blocks of 1x1, 3x3 and 1x1 convolutions instead of two 3x3 convolutions
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the 3x3 convolutions of each stage, before groups widen them
    groups: int = 1  # groups of a bottleneck's 3x3 convolution
    width_per_group: int = 64  # channels of a group for each 64 channels of the stage's width
    group_size: int | None = None  # channels of a group in all stages, in place of the two fields before
    conv1_share: float = 1.0  # channels of a bottleneck's first 1x1 convolution, as a share of those of its 3x3 convolution
    stride_in_3x3: bool = False  # the stride of a bottleneck is in its 3x3 convolution, not in its first 1x1 convolution
    antialiased: bool = False  # average pooling replaces the stride of the 3x3 convolution
    relu_before_attention: bool = False  # a basic block has a ReLU before its attention
    # The shortcut of a block that changes the shape: "1x1" convolution; "3x3" convolution, but 1x1 in the first stage; "pooled",
    # average pooling and a 1x1 convolution; "linear", a 1x1 convolution without normalization; "shifted", two 1x1 convolutions,
    # one of the shifted map; "padded" with zeros.
    projection: str = "1x1"
    activated_stem: bool = False  # in a network with pre-activation, the first shortcut starts after the first activation
    activation: str = "relu"  # of the stem, and of a `residual` unit; the other units have ReLU
    stem_kernel_size: int = 7  # of each convolution of the stem
    stem_widths: tuple[int, ...] = (64,)  # channels of the stem's convolutions: one, three (deep), or three that grow (tiered)
    # How the stem halves the resolution a second time, after the stride of its first convolution: by "max" or "average" pooling,
    # by a "convolution" of 3x3 more, or by the "stride" of its last one; None if it keeps the resolution of the image.
    stem_pooling: str | None = "max"
    caffe_pooling: bool = True  # the max pooling of the stem has Caffe's windows, the last of which may be partial
    head_width: int | None = None  # channels of a 1x1 convolution after the last stage
    stages: tuple[int, ...] = (2, 3, 4, 5)  # as in the papers, where the stem is stage 1
    positions: tuple[str, ...] = ATTENTION_POSITIONS


def features(x, net: ResNet, attention: Attention):
    """The layers from the normalized image to the last feature map."""
    x = _stem(x, net)
    for stage, depth, width in zip(net.stages, net.depths, net.widths, strict=True):
        for block in range(1, depth + 1):
            strides = 2 if block == 1 and stage > 2 else 1
            convs = _bottleneck(net, width, strides) if net.bottleneck else _basic(net, width, strides)
            changes_shape = block == 1 and (stage > 2 or net.stem_widths[-1] != convs[-1].filters)
            name = f"stage{stage}_block{block}"
            shortcut = None
            if changes_shape:
                shortcut = _shortcut(net, convs[-1].filters, strides, stage, name)
            elif net.activated_stem and block == 1:
                shortcut = _identity
            x = net.unit(x, convs, shortcut, attention.in_block(stage, name), name)
    if net.head_width is not None:
        return conv_bn_act(x, Conv(net.head_width, 1, activation=net.activation), "head")
    if net.unit is residual:
        return x
    # The other units end in the addition, and the next unit starts with the activation.
    return layers.ReLU(name="out_relu")(normalize(x, "out") if net.unit is preactivated_residual else x)


def _stem(x, net: ResNet):
    if net.unit is preactivated_residual:  # the first unit starts with normalization and activation
        return convolve(x, Conv(net.stem_widths[0], net.stem_kernel_size), "stem")
    last = len(net.stem_widths)
    for index, width in enumerate(net.stem_widths, start=1):
        strides = 2 if (index == 1 and net.stem_pooling) or (index == last and net.stem_pooling == "stride") else 1
        conv = Conv(width, net.stem_kernel_size, strides, activation=net.activation)
        x = conv_bn_act(x, conv, "stem", index if last > 1 else "")
    if net.stem_pooling == "max" and net.activation != "relu":
        return signed_max_pool(x, "stem_pool")
    if net.stem_pooling == "max":
        return max_pool(x, "stem_pool", (0, 1) if net.caffe_pooling else (1, 1))
    if net.stem_pooling == "average":
        return layers.AveragePooling2D(2, name="stem_pool")(x)
    if net.stem_pooling == "convolution":
        return conv_bn_act(x, Conv(net.stem_widths[-1], 3, 2, activation=net.activation), "stem_pool")
    return x


def _basic(net: ResNet, width: int, strides: int) -> tuple[Conv, ...]:
    # The authors released no network of basic blocks. SE is where it is in their bottlenecks, right after the last normalization.
    return (
        Conv(width, 3, strides, activation=net.activation),
        Conv(width, 3, activation=net.activation, activated=net.relu_before_attention),
    )


def _bottleneck(net: ResNet, width: int, strides: int) -> tuple[Conv, ...]:
    inner = width * net.width_per_group // 64 * net.groups
    groups = net.groups if net.group_size is None else inner // net.group_size
    in_1x1, in_3x3 = (1, strides) if net.stride_in_3x3 else (strides, 1)
    pool, strides = (in_3x3, 1) if net.antialiased else (1, in_3x3)
    return (
        Conv(int(inner * net.conv1_share), 1, in_1x1, activation=net.activation),
        Conv(inner, 3, strides, groups, pool, activation=net.activation),
        Conv(4 * width, 1, activation=net.activation),
    )


def _shortcut(net: ResNet, filters: int, strides: int, stage: int, name: str) -> Callable:
    projections = {"padded": pad_channels, "shifted": shifted_projection, "pooled": pooled_projection}
    if net.projection in projections:
        return functools.partial(projections[net.projection], filters=filters, strides=strides, name=name)
    kernel_size = 3 if net.projection == "3x3" and stage > 2 else 1
    convolution = convolve if net.projection == "linear" else conv_bn
    return functools.partial(convolution, conv=Conv(filters, kernel_size, strides), prefix=f"{name}_proj")


def _identity(x):
    return x


def _network(name: str, description: str, **architecture):
    return constructor(name, ResNet(**architecture), features, f"{description} for ImageNet.")


_RESNEXT = {"family": "SE-ResNeXt", "groups": 32, "width_per_group": 4, "stride_in_3x3": True}
_32X8D = {"family": "SE-ResNeXt", "groups": 32, "width_per_group": 8, "depths": (3, 4, 23, 3)}
# The differences between timm's later networks and those of the authors.
_LATER = {"stride_in_3x3": True, "caffe_pooling": False}
_D = {**_LATER, "stem_kernel_size": 3, "stem_widths": (32, 32, 64), "projection": "pooled"}
_AA = {**_D, "antialiased": True, "stem_pooling": "average"}
_TIERED = {"stem_widths": (24, 32, 64)}

SEResNet18 = _network("SEResNet18", "SE-ResNet-18", depths=(2, 2, 2, 2), bottleneck=False)
SEResNet34 = _network("SEResNet34", "SE-ResNet-34", depths=(3, 4, 6, 3), bottleneck=False)
SEResNet50 = _network("SEResNet50", "SE-ResNet-50", depths=(3, 4, 6, 3))
SEResNet101 = _network("SEResNet101", "SE-ResNet-101", depths=(3, 4, 23, 3))
SEResNet152 = _network("SEResNet152", "SE-ResNet-152", depths=(3, 8, 36, 3))
SEResNet152D = _network("SEResNet152D", "SE-ResNet-152-D", depths=(3, 8, 36, 3), **_D)
SEResNeXt26 = _network("SEResNeXt26", "SE-ResNeXt-26 (32x4d)", depths=(2, 2, 2, 2), **_RESNEXT)
SEResNeXt26D = _network("SEResNeXt26D", "SE-ResNeXt-26-D (32x4d)", depths=(2, 2, 2, 2), **_RESNEXT | _D)
SEResNeXt26T = _network("SEResNeXt26T", "SE-ResNeXt-26-T (32x4d)", depths=(2, 2, 2, 2), **_RESNEXT | _D | _TIERED)
SEResNeXt50 = _network("SEResNeXt50", "SE-ResNeXt-50 (32x4d)", depths=(3, 4, 6, 3), **_RESNEXT)
SEResNeXt101 = _network("SEResNeXt101", "SE-ResNeXt-101 (32x4d)", depths=(3, 4, 23, 3), **_RESNEXT)
SEResNeXt101_64x4d = _network(
    "SEResNeXt101_64x4d", "SE-ResNeXt-101 (64x4d)", depths=(3, 4, 23, 3), **_RESNEXT | _LATER | {"groups": 64}
)
SEResNeXt101_32x8d = _network("SEResNeXt101_32x8d", "SE-ResNeXt-101 (32x8d)", **_32X8D | _LATER)
SEResNeXt101D_32x8d = _network("SEResNeXt101D_32x8d", "SE-ResNeXt-101-D (32x8d)", **_32X8D | _D)
SEResNeXtAA101D_32x8d = _network("SEResNeXtAA101D_32x8d", "Anti-aliased SE-ResNeXt-101-D (32x8d)", **_32X8D | _AA)
SEResNeXtAA201D_32x8d = _network(
    "SEResNeXtAA201D_32x8d",
    "Anti-aliased SE-ResNeXt-201-D (32x8d)",
    **_32X8D | _AA | {"depths": (3, 24, 36, 4), "stem_widths": (64, 64, 128)},
)
SENet154 = _network(
    "SENet154",
    "SENet-154",
    family="SENet",
    depths=(3, 8, 36, 3),
    groups=64,
    width_per_group=4,
    conv1_share=0.5,
    stride_in_3x3=True,
    projection="3x3",
    stem_kernel_size=3,
    stem_widths=(64, 64, 128),
    dropout=0.2,
    test_input_size=320,
    test_crop_ratio=320 / 352,
)

# With SiLU and SE after the 3x3 convolution, from timm's byobnet.py; the number of hidden units is a multiple of 8.
_TS: dict[str, Any] = {
    **_LATER,
    **_TIERED,
    "activation": "silu",
    "stem_kernel_size": 3,
    "hidden_divisor": 8,
    "attention": AttentionConfig(attention_position="3x3"),
    "input_size": 256,
}
SEResNet33TS = _network(
    "SEResNet33TS",
    "SE-ResNet-33-TS",
    depths=(2, 3, 3, 2),
    widths=(64, 128, 384, 384),
    head_width=1280,
    **_TS | {"stem_pooling": "stride"},
)
SEResNeXt26TS = _network(
    "SEResNeXt26TS", "SE-ResNeXt-26-TS (32-channel groups)", depths=(2, 2, 2, 2), family="SE-ResNeXt", group_size=32, **_TS
)


def _rs(depth: int, depths: tuple[int, ...], input_size: int):
    """A network with hidden units for a quarter of the channels, and with a convolution in place of the max pooling.

    Source: Bello et al., arXiv 2103.07579, section 6 and appendix D.
    """
    return _network(
        f"ResNetRS{depth}",
        f"ResNet-RS-{depth}",
        depths=depths,
        family="ResNet-RS",
        attention=AttentionConfig(reduction=4),
        input_size=input_size,
        **_D | {"stem_pooling": "convolution"},
    )


ResNetRS50 = _rs(50, (3, 4, 6, 3), 160)
ResNetRS101 = _rs(101, (3, 4, 23, 3), 192)
ResNetRS152 = _rs(152, (3, 8, 36, 3), 256)
ResNetRS200 = _rs(200, (3, 24, 36, 3), 256)
ResNetRS270 = _rs(270, (4, 29, 53, 4), 256)
ResNetRS350 = _rs(350, (4, 36, 72, 4), 288)
ResNetRS420 = _rs(420, (4, 44, 87, 4), 320)

# Wang et al., arXiv 1910.03151, in timm's networks.
_ECA: dict[str, Any] = {**_D, "family": "ECA-ResNet", "attention": AttentionConfig("eca")}
ECAResNet26T = _network("ECAResNet26T", "ECA-ResNet-26-T", depths=(2, 2, 2, 2), input_size=256, **_ECA | _TIERED)
ECAResNet50D = _network("ECAResNet50D", "ECA-ResNet-50-D", depths=(3, 4, 6, 3), **_ECA)
ECAResNet50T = _network("ECAResNet50T", "ECA-ResNet-50-T", depths=(3, 4, 6, 3), **_ECA | _TIERED)
ECAResNet101D = _network("ECAResNet101D", "ECA-ResNet-101-D", depths=(3, 4, 23, 3), **_ECA)
ECAResNet269D = _network("ECAResNet269D", "ECA-ResNet-269-D", depths=(3, 30, 48, 8), input_size=320, **_ECA)
ECAResNetLight = _network(
    "ECAResNetLight", "ECA-ResNet-Light", depths=(1, 1, 11, 3), **_ECA | {"stem_kernel_size": 7, "stem_widths": (64,)}
)
