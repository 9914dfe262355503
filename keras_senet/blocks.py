"""Building blocks as functions on Keras tensors; each places attention where the paper's ablation does.

Functions, not composite layers: the graph stays flat, so that every feature map and every gate can be read by a layer's name.
"""

import dataclasses
from collections.abc import Callable

import keras
from keras import layers

from keras_senet.layers import GroupedConv2D

# Where attention stands in a residual unit (arXiv 1709.01507, section 6.5, figure 5): on the residual branch before the
# addition; before the unit; after the addition; on the identity branch; after the first 3x3 convolution.
ATTENTION_POSITIONS = ("standard", "pre", "post", "identity", "3x3")

Attention = Callable[..., keras.layers.Layer]


@dataclasses.dataclass(frozen=True)
class Conv:
    """One convolution of a block; batch normalization follows it."""

    filters: int
    kernel_size: int
    strides: int = 1
    groups: int = 1


def channel_axis() -> int:
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def conv_bn(x, conv: Conv, prefix: str, index: int | str = ""):
    """Convolution without bias, then batch normalization.

    The map is padded by `kernel_size // 2` on each side. Where the convolution strides, this differs from Keras' `"same"`, which
    pads an even map on the right only; the published networks pad both sides.
    """
    padding = "same"
    if conv.strides > 1 and conv.kernel_size > 1:
        x = layers.ZeroPadding2D(conv.kernel_size // 2, name=f"{prefix}_pad{index}")(x)
        padding = "valid"
    layer, grouped = (layers.Conv2D, {}) if conv.groups == 1 else (GroupedConv2D, {"groups": conv.groups})
    x = layer(
        conv.filters,
        conv.kernel_size,
        strides=conv.strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{prefix}_conv{index}",
        **grouped,
    )(x)
    return layers.BatchNormalization(axis=channel_axis(), momentum=0.9, epsilon=1e-5, name=f"{prefix}_bn{index}")(x)


def residual(x, convs: tuple[Conv, ...], shortcut: Callable, attention: Attention | None, position: str, name: str):
    """A residual unit: the branch of `convs`, added to the shortcut, then ReLU.

    Args:
        x: feature map `(N, H, W, C)` or `(N, C, H, W)`, a Keras tensor.
        convs: the convolutions of the residual branch, with ReLU between them.
        shortcut: function from `x` to the other branch.
        attention: function from a layer's name to an attention layer, or None for a plain unit.
        position: one of `ATTENTION_POSITIONS`.
        name: prefix of the names of all its layers.

    Returns:
        The unit's output, a Keras tensor.

    Source: He et al., arXiv 1512.03385, section 3; Hu et al., arXiv 1709.01507, section 3.2 and 6.5.
    """

    def attend(x, here: str):
        return attention(name=f"{name}_se")(x) if attention is not None and here == position else x

    y = attend(x, "pre")
    first_3x3 = [conv.kernel_size for conv in convs].index(3)
    for index, conv in enumerate(convs):
        y = conv_bn(y, conv, name, index + 1)
        if index < len(convs) - 1:
            y = layers.ReLU(name=f"{name}_relu{index + 1}")(y)
        if index == first_3x3:
            y = attend(y, "3x3")
    y = attend(y, "standard")
    y = layers.Add(name=f"{name}_add")([y, attend(shortcut(x), "identity")])
    return attend(layers.ReLU(name=f"{name}_out")(y), "post")


def project(x, conv: Conv, name: str):
    """The shortcut of a residual unit that changes the shape: a convolution with batch normalization."""
    return conv_bn(x, conv, f"{name}_proj")


def pad_channels(x, filters: int, strides: int, name: str):
    """The shortcut without parameters: every `strides`-th position, with channels of zeros added on both sides.

    Source: He et al., arXiv 1512.03385, section 3.3, option A.
    """
    axis = channel_axis()
    if strides > 1:
        x = layers.MaxPooling2D(1, strides, name=f"{name}_subsample")(x)
    missing = filters - x.shape[axis]
    before, after = missing // 2, missing - missing // 2
    # Told the other data format, the layer that pads the two spatial axes pads the channels and one spatial axis.
    if axis == 1:
        padding, other_format = ((before, after), (0, 0)), "channels_last"
    else:
        padding, other_format = ((0, 0), (before, after)), "channels_first"
    return layers.ZeroPadding2D(padding, data_format=other_format, name=f"{name}_pad_channels")(x)
