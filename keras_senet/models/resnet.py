"""The ResNet family with SE for ImageNet: SE-ResNet, SE-ResNeXt and SENet-154, as the authors released them."""

import dataclasses
import functools

from keras import layers

from keras_senet.blocks import Conv, conv_bn, pad_channels, project, residual
from keras_senet.models.constructor import constructor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class ResNet:
    """What distinguishes the members of the family."""

    depths: tuple[int, ...]  # blocks in each stage
    bottleneck: bool = True  # blocks of 1x1, 3x3 and 1x1 convolutions, or of two 3x3
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each stage's 3x3 convolutions, were it without groups
    groups: int = 1  # groups of a bottleneck's 3x3 convolution
    width_per_group: int = 64  # channels of a group for each 64 of the stage's width
    conv1_share: float = 1.0  # channels of a bottleneck's first 1x1 convolution, as a share of its 3x3's
    stride_in_3x3: bool = False  # a bottleneck strides in its 3x3 convolution, not in its first 1x1
    projection: str = "1x1"  # shortcut where the shape changes: "1x1"; "3x3", in the first stage 1x1; "padded" with zeros
    stem_kernel_size: int = 7  # of each convolution in the stem
    stem_widths: tuple[int, ...] = (64,)  # channels of the stem's convolutions
    stem_downsamples: bool = True  # the stem halves the resolution twice: a stride in its first convolution, and max pooling
    dropout: float = 0.0  # before the classifier
    mean: tuple[float, ...] = IMAGENET_MEAN  # of the training images' RGB values on the scale [0, 1]
    std: tuple[float, ...] = IMAGENET_STD  # their standard deviation
    classes: int = 1000
    input_size: int = 224  # pixels, of the images that it was trained on
    min_size: int = 32  # pixels, of the smallest image that it takes

    @property
    def stages(self) -> tuple[int, ...]:
        """The stages' numbers, counted as in the papers: the stem is 1."""
        return tuple(range(2, 2 + len(self.depths)))


def features(x, net: ResNet, attention_of_stage, position: str):
    """The layers of `net` from the normalized image to the last feature map."""
    x = _stem(x, net)
    for stage, depth, width in zip(net.stages, net.depths, net.widths, strict=True):
        for block in range(1, depth + 1):
            strides = 2 if block == 1 and stage > 2 else 1
            convs = _bottleneck(net, width, strides) if net.bottleneck else _basic(width, strides)
            changes_shape = block == 1 and (stage > 2 or net.stem_widths[-1] != convs[-1].filters)
            name = f"stage{stage}_block{block}"
            shortcut = _shortcut(net, convs[-1].filters, strides, stage, name) if changes_shape else lambda x: x
            x = residual(x, convs, shortcut, attention_of_stage(stage), position, name)
    return x


def _stem(x, net: ResNet):
    for index, width in enumerate(net.stem_widths, start=1):
        strides = 2 if net.stem_downsamples and index == 1 else 1
        suffix = index if len(net.stem_widths) > 1 else ""
        x = conv_bn(x, Conv(width, net.stem_kernel_size, strides), "stem", suffix)
        x = layers.ReLU(name=f"stem_relu{suffix}")(x)
    if net.stem_downsamples:
        # Caffe's pooling: no padding on the left, and the last window may be partial. After ReLU a zero never wins.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    return x


def _basic(width: int, strides: int) -> tuple[Conv, ...]:
    # The authors released no network of basic blocks; SE stands as in their bottlenecks, right after the last normalization.
    # timm's legacy_seresnet18 and 34 have one more ReLU between the two: their weights do not fit here.
    return Conv(width, 3, strides), Conv(width, 3)


def _bottleneck(net: ResNet, width: int, strides: int) -> tuple[Conv, ...]:
    inner = width * net.width_per_group // 64 * net.groups
    in_1x1, in_3x3 = (1, strides) if net.stride_in_3x3 else (strides, 1)
    return Conv(int(inner * net.conv1_share), 1, in_1x1), Conv(inner, 3, in_3x3, net.groups), Conv(4 * width, 1)


def _shortcut(net: ResNet, filters: int, strides: int, stage: int, name: str):
    if net.projection == "padded":
        return functools.partial(pad_channels, filters=filters, strides=strides, name=name)
    kernel_size = 3 if net.projection == "3x3" and stage > 2 else 1
    return functools.partial(project, conv=Conv(filters, kernel_size, strides), name=name)


def _network(name: str, description: str, **architecture):
    return constructor(name, ResNet(**architecture), features, f"{description} for ImageNet.")


_RESNEXT = {"groups": 32, "width_per_group": 4, "stride_in_3x3": True}

SEResNet18 = _network("SEResNet18", "SE-ResNet-18", depths=(2, 2, 2, 2), bottleneck=False)
SEResNet34 = _network("SEResNet34", "SE-ResNet-34", depths=(3, 4, 6, 3), bottleneck=False)
SEResNet50 = _network("SEResNet50", "SE-ResNet-50", depths=(3, 4, 6, 3))
SEResNet101 = _network("SEResNet101", "SE-ResNet-101", depths=(3, 4, 23, 3))
SEResNet152 = _network("SEResNet152", "SE-ResNet-152", depths=(3, 8, 36, 3))
SEResNeXt50 = _network("SEResNeXt50", "SE-ResNeXt-50 (32x4d)", depths=(3, 4, 6, 3), **_RESNEXT)
SEResNeXt101 = _network("SEResNeXt101", "SE-ResNeXt-101 (32x4d)", depths=(3, 4, 23, 3), **_RESNEXT)
SENet154 = _network(
    "SENet154",
    "SENet-154",
    depths=(3, 8, 36, 3),
    groups=64,
    width_per_group=4,
    conv1_share=0.5,
    stride_in_3x3=True,
    projection="3x3",
    stem_kernel_size=3,
    stem_widths=(64, 64, 128),
    dropout=0.2,
)
