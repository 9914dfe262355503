"""Building blocks as functions on Keras tensors; each places attention where the paper's ablation does.

Functions, not composite layers: the graph stays flat, so that every feature map and every gate can be read by a layer's name.
"""

import dataclasses
from collections.abc import Callable

from keras import layers

from keras_senet.errors import InputError
from keras_senet.layers import BatchNormalization, GroupedConv2D, ShakeShake
from keras_senet.layers.data_format import channel_axis

BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


@dataclasses.dataclass(frozen=True)
class Conv:
    """One convolution of a block."""

    filters: int
    kernel_size: int
    strides: int = 1
    groups: int = 1
    pool: int = 1  # stride of the average pooling after its activation
    dilation: int = 1  # positions from one tap of the kernel to the next
    # The name of the layer that pads a map before strides, on each side; None for Keras' "same", which pads a map of even size on
    # the right and the bottom alone.
    pad: str | None = "pad"
    epsilon: float = BATCH_NORM["epsilon"]  # of the batch normalization after it
    activation: str = "relu"  # between it and the next convolution
    activated: bool = False  # followed by its activation even if it is the last convolution of its branch


def convolve(x, conv: Conv, prefix: str, index: int | str = ""):
    """A convolution without bias, which is a depthwise one if there are as many groups as channels.

    The map is padded by `kernel_size // 2` on each side, as in most published networks, unless `conv.pad` is None.
    """
    padding = "same"
    if conv.pad and conv.strides > 1 and conv.kernel_size > 1:
        x = layers.ZeroPadding2D(conv.kernel_size // 2, name=f"{prefix}_{conv.pad}{index}")(x)
        padding = "valid"
    common = {"strides": conv.strides, "padding": padding, "use_bias": False, "name": f"{prefix}_conv{index}"}
    common["dilation_rate"] = conv.dilation
    channels = x.shape[channel_axis()]
    if 1 < conv.groups == channels == conv.filters:
        return layers.DepthwiseConv2D(conv.kernel_size, depthwise_initializer="he_normal", **common)(x)
    common["kernel_initializer"] = "he_normal"
    if conv.groups == 1:
        return layers.Conv2D(conv.filters, conv.kernel_size, **common)(x)
    if channels % conv.groups or conv.filters % conv.groups:
        raise InputError(
            f"The number of groups must divide the channels before and after a grouped convolution. Received: {conv.groups} "
            f"groups in {prefix}_conv{index}, which takes {channels} channels to {conv.filters}. Choose other groups or widths."
        )
    return GroupedConv2D(conv.filters, conv.kernel_size, groups=conv.groups, **common)(x)


def normalize(x, prefix: str, index: int | str = "", epsilon: float = BATCH_NORM["epsilon"]):
    """Batch normalization."""
    return BatchNormalization(channel_axis(), **BATCH_NORM | {"epsilon": epsilon}, name=f"{prefix}_bn{index}")(x)


def conv_bn(x, conv: Conv, prefix: str, index: int | str = ""):
    """Convolution and batch normalization."""
    return normalize(convolve(x, conv, prefix, index), prefix, index, conv.epsilon)


def conv_bn_act(x, conv: Conv, prefix: str, index: int | str = ""):
    """Convolution, batch normalization, activation, and the pooling that `conv` asks for."""
    x = activate(conv_bn(x, conv, prefix, index), conv.activation, f"{prefix}_{conv.activation}{index}")
    return average_pool(x, conv.pool, f"{prefix}_pool{index}")


def activate(x, activation: str, name: str):
    """An activation that `keras.activations.get` knows; ReLU as the layer that has a class of its own."""
    return (layers.ReLU(name=name) if activation == "relu" else layers.Activation(activation, name=name))(x)


def average_pool(x, strides: int, name: str):
    """Average pooling in windows of `strides` x `strides`, the last of which may be partial; `x` itself if `strides` is 1."""
    return x if strides == 1 else layers.AveragePooling2D(strides, padding="same", name=name)(x)


def max_pool(x, name: str, padding: tuple[int, int] = (0, 1)):
    """Max pooling of 3x3 windows with stride 2, for a map that has no negative values.

    Args:
        x: feature map after a ReLU, a Keras tensor.
        name: name of the layer.
        padding: pixels to add on the left and the top, and on the right and the bottom. (0, 1) gives the windows of Caffe, the
            last of which may be partial.
    """
    # In a file of weights, only the names of layers tell one padding from the other.
    pad = f"{name}_border" if padding[0] else f"{name}_pad"
    x = layers.ZeroPadding2D((padding, padding), name=pad)(x)  # zeros never change a maximum of values from a ReLU
    return layers.MaxPooling2D(3, strides=2, name=name)(x)


def signed_max_pool(x, name: str):
    """Max pooling of 3x3 windows around every other position, for a map with negative values, above which padding would stand."""
    x = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_windows")(x)
    return layers.MaxPooling2D(1, strides=2, name=name)(x)


def residual(x, convs: tuple[Conv, ...], shortcut: Callable | None, attend: Callable, name: str):
    """A residual unit: the branch of `convs`, added to the shortcut, then the activation of the last of them.

    Args:
        x: feature map `(N, H, W, C)` or `(N, C, H, W)`, a Keras tensor.
        convs: convolutions of the residual branch, with activations between them.
        shortcut: function from `x` to the other branch; None for `x` itself.
        attend: result of `Attention.in_block` for this unit.
        name: prefix of the names of all layers.

    Returns:
        The unit's output, a Keras tensor.

    Source: He et al., arXiv 1512.03385, section 3; Hu et al., arXiv 1709.01507, section 3.2 and 6.5.
    """
    y = attend(_branch(attend(x, "pre"), convs, attend, name))
    y = layers.Add(name=f"{name}_add")([y, attend(x if shortcut is None else shortcut(x), "identity")])
    return attend(activate(y, convs[-1].activation, f"{name}_out"), "post")


def _branch(x, convs: tuple[Conv, ...], attend: Callable, prefix: str):
    for index, conv in enumerate(convs, start=1):
        x = (conv_bn_act if index < len(convs) or conv.activated else conv_bn)(x, conv, prefix, index)
        if index == _first_3x3(convs):
            x = attend(x, "3x3")
    return x


def _first_3x3(convs: tuple[Conv, ...]) -> int:
    return [conv.kernel_size for conv in convs].index(3) + 1


def preactivated_residual(x, convs: tuple[Conv, ...], shortcut: Callable | None, attend: Callable, name: str):
    """A residual unit with batch normalization and ReLU before each convolution, and nothing after the addition.

    A shortcut that is a function starts after the first ReLU, which both branches share. The arguments are those of `residual`.

    Source: He et al., arXiv 1603.05027, figure 1 (b); Zagoruyko and Komodakis, arXiv 1605.07146, section 2.
    """
    y = attend(x, "pre")
    for index, conv in enumerate(convs, start=1):
        y = layers.ReLU(name=f"{name}_relu{index}")(normalize(y, name, index))
        if index == 1 and shortcut is not None:
            x = shortcut(y)
        y = convolve(y, conv, name, index)
        if index == _first_3x3(convs):
            y = attend(y, "3x3")
    return attend(layers.Add(name=f"{name}_add")([attend(y), attend(x, "identity")]), "post")


def shake_shake_residual(
    x, convs: tuple[Conv, ...], shortcut: Callable | None, attend: Callable, name: str, backward: str = "shake"
):
    """A residual unit of two branches after a ReLU, averaged with random weights in training.

    Attention acts on the average, right before the addition. `backward` is that of `ShakeShake`, the other arguments are those of
    `residual`.

    Source: Gastaldi, arXiv 1705.07485, section 2 and figure 1.
    """
    y = layers.ReLU(name=f"{name}_relu")(attend(x, "pre"))
    if shortcut is not None:
        x = shortcut(y)
    branches = [_branch(y, convs, attend, f"{name}_branch{branch}") for branch in (1, 2)]
    y = attend(ShakeShake(backward, name=f"{name}_shake")(branches))
    return attend(layers.Add(name=f"{name}_add")([y, attend(x, "identity")]), "post")


def pooled_projection(x, filters: int, strides: int, name: str):
    """The shortcut that uses every pixel: average pooling, then a 1x1 convolution without stride.

    Source: He et al., arXiv 1812.01187, figure 2 (c), ResNet-D.
    """
    return conv_bn(average_pool(x, strides, f"{name}_proj_pool"), Conv(filters, 1), f"{name}_proj")


def shifted_projection(x, filters: int, strides: int, name: str):
    """The shortcut of a shake-shake unit: half of its channels come from the map shifted by one pixel to the right and down.

    With strides, the two halves see different pixels. Source: Gastaldi, arXiv 1705.07485, section 2.1.
    """
    shifted = layers.Cropping2D(((0, 1), (0, 1)), name=f"{name}_proj_crop")(x)
    shifted = layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_proj_shift")(shifted)
    halves = [
        convolve(half, Conv(filters // 2, 1, strides), f"{name}_proj", index) for index, half in enumerate((x, shifted), start=1)
    ]
    return normalize(layers.Concatenate(channel_axis(), name=f"{name}_proj_concat")(halves), f"{name}_proj")


def pad_channels(x, filters: int, strides: int, name: str):
    """The shortcut without parameters: every `strides`-th position, padded with channels of zeros on both sides.

    Source: He et al., arXiv 1512.03385, section 3.3, option A.
    """
    axis = channel_axis()
    if strides > 1:
        x = layers.MaxPooling2D(1, strides, name=f"{name}_subsample")(x)
    missing = filters - x.shape[axis]
    before, after = missing // 2, missing - missing // 2
    # With the other data format, the layer takes the channels for a spatial axis, and pads them.
    if axis == 1:
        padding, other_format = ((before, after), (0, 0)), "channels_last"
    else:
        padding, other_format = ((0, 0), (before, after)), "channels_first"
    return layers.ZeroPadding2D(padding, data_format=other_format, name=f"{name}_pad_channels")(x)
