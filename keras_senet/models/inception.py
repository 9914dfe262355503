"""SE-BN-Inception as the authors released it."""

import dataclasses

from keras import layers

from keras_senet.layers.attention import Attention
from keras_senet.layers.data_format import channel_axis
from keras_senet.models.architecture import MEAN_ONLY_STD, Architecture
from keras_senet.models.blocks import Conv, conv_bn_act, max_pool
from keras_senet.models.build import constructor


@dataclasses.dataclass(frozen=True)
class Module:
    """The widths of one Inception module, which concatenates four branches."""

    conv1x1: int  # 0 for a module that halves the resolution: it has no 1x1 branch, and no convolution after the pooling
    conv3x3: tuple[int, int]  # of the 1x1 convolution before the 3x3 convolution, and of the latter
    double3x3: tuple[int, int]  # of the 1x1 convolution before two 3x3 convolutions, and of the latter
    pool_projection: int = 0  # of the 1x1 convolution after the pooling
    pool: str = "avg"  # "avg", whose windows include the padding, or "max"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BNInception(Architecture):
    """Inception with batch normalization: its modules by stage."""

    family: str = "SE-Inception"
    modules: dict[int, tuple[Module, ...]]


def features(x, net: BNInception, attention: Attention):
    """The layers of `net` from the normalized image to the last feature map; attention follows each concatenation."""
    x = max_pool(conv_bn_act(x, Conv(64, 7, 2), "stem"), "stem_pool")
    x = conv_bn_act(x, Conv(64, 1), "stem_3x3_reduce")
    x = max_pool(conv_bn_act(x, Conv(192, 3), "stem_3x3"), "stem_3x3_pool")
    for stage, modules in net.modules.items():
        for block, module in enumerate(modules, start=1):
            name = f"stage{stage}_block{block}"
            x = attention.in_block(stage, name)(_inception(x, module, name))
    return x


def _inception(x, module: Module, name: str):
    strides = 1 if module.conv1x1 else 2
    branches = [conv_bn_act(x, Conv(module.conv1x1, 1), f"{name}_1x1")] if module.conv1x1 else []
    y = conv_bn_act(x, Conv(module.conv3x3[0], 1), f"{name}_3x3_reduce")
    branches.append(conv_bn_act(y, Conv(module.conv3x3[1], 3, strides), f"{name}_3x3"))
    y = conv_bn_act(x, Conv(module.double3x3[0], 1), f"{name}_double3x3_reduce")
    y = conv_bn_act(y, Conv(module.double3x3[1], 3), f"{name}_double3x3a")
    branches.append(conv_bn_act(y, Conv(module.double3x3[1], 3, strides), f"{name}_double3x3b"))
    if strides == 2:
        # A map of odd size needs one more window, to match the convolutions; for an even size this is Caffe's rule.
        branches.append(max_pool(x, f"{name}_pool", padding=(0, 2)))
    else:
        y = layers.ZeroPadding2D(1, name=f"{name}_pool_pad")(x)
        pool = layers.AveragePooling2D if module.pool == "avg" else layers.MaxPooling2D
        y = pool(3, strides=1, name=f"{name}_pool")(y)
        branches.append(conv_bn_act(y, Conv(module.pool_projection, 1), f"{name}_pool_proj"))
    return layers.Concatenate(channel_axis(), name=f"{name}_concat")(branches)


_BN_INCEPTION = {
    3: (
        Module(64, (64, 64), (64, 96), 32),
        Module(64, (64, 96), (64, 96), 64),
        Module(0, (128, 160), (64, 96)),
    ),
    4: (
        Module(224, (64, 96), (96, 128), 128),
        Module(192, (96, 128), (96, 128), 128),
        Module(160, (128, 160), (128, 160), 128),
        Module(96, (128, 192), (160, 192), 128),
        Module(0, (128, 192), (192, 256)),
    ),
    5: (
        Module(352, (192, 320), (160, 224), 128),
        Module(352, (192, 320), (192, 224), 128, "max"),
    ),
}

SEBNInception = constructor(
    "SEBNInception",
    BNInception(
        modules=_BN_INCEPTION,
        stages=tuple(_BN_INCEPTION),
        # Its definition subtracts the mean pixel and does not divide. (So do the definitions of the other networks, but their
        # weights are published for PyTorch, with the mean and the standard deviation of ImageNet.)
        mean=(123 / 255, 117 / 255, 104 / 255),
        std=MEAN_ONLY_STD,
    ),
    features,
    "SE-BN-Inception for ImageNet.",
)
