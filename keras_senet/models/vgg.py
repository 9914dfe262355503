"""SE-VGG: a VGG network with batch normalization, and SE after the ReLU of each convolution."""

import dataclasses

from keras import layers

from keras_senet.layers.attention import Attention
from keras_senet.models.architecture import Architecture
from keras_senet.models.blocks import Conv, conv_bn_act
from keras_senet.models.build import constructor


@dataclasses.dataclass(frozen=True, kw_only=True)
class VGG(Architecture):
    """The fields in which the members of the family differ.

    Source: Simonyan and Zisserman, arXiv 1409.1556, table 1; Hu et al., arXiv 1709.01507, section 3.2, for the place of SE.
    """

    family: str = "SE-VGG"
    depths: tuple[int, ...]  # convolutions in each stage
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)  # channels of each stage
    stages: tuple[int, ...] = (1, 2, 3, 4, 5)
    fully_connected: tuple[int, ...] = (4096, 4096)
    flattened: bool = True
    dropout: float = 0.5


def features(x, net: VGG, attention: Attention):
    """The layers from the normalized image to the last feature map."""
    for stage, depth, width in zip(net.stages, net.depths, net.widths, strict=True):
        for block in range(1, depth + 1):
            name = f"stage{stage}_block{block}"
            x = attention.in_block(stage, name)(conv_bn_act(x, Conv(width, 3), name))
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    return x


SEVGG16 = constructor("SEVGG16", VGG(depths=(2, 2, 3, 3, 3)), features, "SE-VGG-16 with batch normalization for ImageNet.")
