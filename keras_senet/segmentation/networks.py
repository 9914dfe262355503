"""U-Net and DeepLabV3+: decoders that take the maps of a backbone to one class a pixel.

Both end in logits, not in probabilities: the most probable class is the same, and the cross-entropy of Keras is exact only of
them. From probabilities it ignores the gradient of what is surely wrong, and with `ignore_class` it always takes them as they
are. An exported file saves a softmax at the size of the image, which XNNPACK does not have in integers.
"""

from collections.abc import Sequence

import keras
from keras import layers

from keras_senet.errors import InputError
from keras_senet.layers import UpSamplingLike
from keras_senet.layers.data_format import channel_axis
from keras_senet.models.blocks import Conv, conv_bn_act
from keras_senet.rewrite.graph import data_format_of
from keras_senet.rewrite.pyramid import Backbone

# How far the rates of DeepLabV3+ reach: 6, 12 and 18 positions of a map with a stride of 16.
_REACH = (96, 192, 288)


def unet(backbone: Backbone, classes: int, *, width: int = 16, name: str | None = None) -> keras.Model:
    """A U-Net on a backbone: the maps of all of its levels, from the deepest on, each joined with the one before it.

    At each level the map of the level below is upsampled and concatenated with that of the backbone, and two 3x3 convolutions
    follow, each with batch normalization and ReLU. The logits of the shallowest level are upsampled to the size of the image: the
    fewer levels, the coarser the outlines. Level 0 of our networks for ImageNet is the normalized image itself.

    Args:
        backbone: result of `keras_senet.backbone` with at least two levels, such as (0, 1, 2, 3, 4, 5), or (2, 3, 4, 5), which
            is faster. The network has its layers, not copies of them.
        classes: number of classes, the background among them.
        width: channels that the decoder has, or would have, at the size of the image; twice as many with each level.
        name: name of the model; by default `<backbone>_unet`.

    Returns:
        A functional model from the images of the backbone to logits, float32 `(N, H, W, classes)` in both data formats, since
        the losses of Keras for labels want the classes last. Height and width are those of the image, which may be any, also
        unknown.

    Raises:
        ValueError: if `backbone` is no `Backbone` or has only one level, or has another data format than Keras is set to; or if
            `classes` is not at least 2, or `width` not at least 1.

    Source: Ronneberger et al., "U-Net", arXiv 1505.04597, with the decoder usual on pretrained backbones: upsampling without
    weights, padded convolutions, batch normalization.

    Example:

    >>> backbone = keras_senet.backbone(keras_senet.SEResNet18(weights=None, include_top=False), levels=(1, 2, 3, 4, 5))
    >>> network = keras_senet.segmentation.unet(backbone, classes=21)
    >>> network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255))
    >>> network.predict(np.zeros((1, 64, 100, 3)), verbose=0).shape
    (1, 64, 100, 21)
    """
    strides = _check(backbone, classes, width=width)
    maps = backbone.pyramid_outputs
    *shallower, deepest = maps
    x, stride = maps[deepest], strides[deepest]
    for level in reversed(shallower):
        prefix = f"decoder{level[1:]}"
        x = UpSamplingLike(stride // strides[level], name=f"{prefix}_up")([x, maps[level]])
        x = layers.Concatenate(channel_axis(), name=f"{prefix}_concat")([x, maps[level]])
        for index in (1, 2):
            x = conv_bn_act(x, Conv(width * 2 ** int(level[1:]), 3), prefix, index)
        stride = strides[level]
    return _classified(x, stride, backbone, classes, name or f"{backbone.name}_unet")


def deeplab(
    backbone: Backbone,
    classes: int,
    *,
    width: int = 256,
    low_width: int = 48,
    rates: Sequence[int] | None = None,
    separable: bool = False,
    name: str | None = None,
) -> keras.Model:
    """DeepLabV3+ on a backbone: the deepest map seen at several scales, joined with the shallowest for the outlines.

    The deepest level goes through atrous spatial pyramid pooling: a 1x1 convolution, three dilated 3x3 convolutions, and the mean
    of the map, all joined by a 1x1 convolution. It is upsampled and concatenated with the shallowest level, narrowed by a 1x1
    convolution, and two 3x3 convolutions follow. The logits are upsampled to the size of the image. Levels in between are not
    used.

    With its defaults on levels 2 and 5 and 21 classes it has 40,352,181 trainable parameters on ResNet-50, and 42,883,173 on
    SE-ResNet-50.

    Args:
        backbone: result of `keras_senet.backbone` with at least two levels, such as (2, 4) or (2, 5). The network has its
            layers, not copies of them.
        classes: number of classes, the background among them.
        width: channels of the pyramid pooling and the decoder.
        low_width: channels to which the shallowest level is narrowed.
        rates: dilation of each 3x3 convolution, positions of the deepest map. By default they reach as far as in the paper, 96,
            192 and 288 pixels: (6, 12, 18) at a stride of 16, and (3, 6, 9) at one of 32. Small images want smaller ones.
        separable: whether each 3x3 convolution is a depthwise and a 1x1 one, as the paper has them on Xception. That is much
            faster, at an accuracy that the paper finds similar. On ResNet-101 it has whole ones.
        name: name of the model; by default `<backbone>_deeplab`.

    Returns:
        A functional model from the images of the backbone to logits, float32 `(N, H, W, classes)` in both data formats, since
        the losses of Keras for labels want the classes last. Height and width are those of the image, which may be any, also
        unknown.

    Raises:
        ValueError: if `backbone` is no `Backbone` or has only one level, or has another data format than Keras is set to; or if
            `classes` is not at least 2, or a width or a rate not at least 1.

    Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", arXiv 1802.02611,
    sections 3.1, 4.1 and 4.2.

    Example:

    >>> backbone = keras_senet.backbone(keras_senet.SEResNet18(weights=None, include_top=False), levels=(2, 4))
    >>> network = keras_senet.segmentation.deeplab(backbone, classes=21, width=32, separable=True)
    >>> network.compile("adam", keras_senet.segmentation.DiceCrossentropy(ignore_class=255))
    >>> network.predict(np.zeros((1, 64, 96, 3)), verbose=0).shape
    (1, 64, 96, 21)
    """
    strides = _check(backbone, classes, width=width, low_width=low_width)
    low, *_, high = strides
    rates = tuple(max(1, round(reach / strides[high])) for reach in _REACH) if rates is None else tuple(rates)
    if not all(type(rate) is int and rate >= 1 for rate in rates):
        raise InputError(f"`rates` must be integers of at least 1, such as (6, 12, 18). Received: rates={rates!r}")

    def conv3x3(x, rate: int, prefix: str, index: int):
        if not separable:
            return conv_bn_act(x, Conv(width, 3, dilation=rate), prefix, index)
        channels = x.shape[channel_axis()]
        x = conv_bn_act(x, Conv(channels, 3, groups=channels, dilation=rate), f"{prefix}_depthwise", index)
        return conv_bn_act(x, Conv(width, 1), prefix, index)

    x = backbone.pyramid_outputs[high]
    branches = [conv_bn_act(x, Conv(width, 1), "aspp", 1)]
    branches += [conv3x3(x, rate, "aspp", index) for index, rate in enumerate(rates, start=2)]
    mean = conv_bn_act(layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool")(x), Conv(width, 1), "aspp_image")
    branches.append(UpSamplingLike(name="aspp_image_up")([mean, x]))
    x = conv_bn_act(layers.Concatenate(channel_axis(), name="aspp_concat")(branches), Conv(width, 1), "aspp_project")
    outlines = conv_bn_act(backbone.pyramid_outputs[low], Conv(low_width, 1), "decoder_low")
    x = UpSamplingLike(strides[high] // strides[low], name="decoder_up")([x, outlines])
    x = layers.Concatenate(channel_axis(), name="decoder_concat")([x, outlines])
    for index in (1, 2):
        x = conv3x3(x, 1, "decoder", index)
    return _classified(x, strides[low], backbone, classes, name or f"{backbone.name}_deeplab")


def _check(backbone: Backbone, classes: int, **widths: int) -> dict[str, int]:
    """The strides of the backbone by level, from the shallowest on."""
    if not isinstance(backbone, Backbone):
        raise InputError(
            "`backbone` must be a Backbone: make one of any functional model by `keras_senet.backbone(model, levels=(2, 3, 4, "
            f"5))`. Received: {type(backbone).__name__} {getattr(backbone, 'name', '')!r}"
        )
    strides = backbone.strides
    if len(strides) < 2:
        raise InputError(
            "The decoder joins a deep map with shallower ones: give `keras_senet.backbone` at least two levels, such as (2, 5). "
            f"Received: a backbone with {', '.join(strides)}"
        )
    own, default = data_format_of(backbone), keras.config.image_data_format()
    if own != default:
        raise InputError(
            f"{backbone.name!r} has the data format {own!r}, and Keras makes layers of {default!r}: call "
            f"`keras.config.set_image_data_format({own!r})` first."
        )
    if type(classes) is not int or classes < 2:
        raise InputError(f"`classes` must be at least 2, the background among them. Received: classes={classes!r}")
    for name, width in widths.items():
        if type(width) is not int or width < 1:
            raise InputError(f"`{name}` must be an integer of at least 1. Received: {name}={width!r}")
    return strides


def _classified(x, stride: int, backbone: Backbone, classes: int, name: str) -> keras.Model:
    """The model that ends in the logits of each position of a map with that stride, upsampled to the size of the image."""
    image = backbone.inputs[0]
    x = layers.Conv2D(classes, 1, name="logits_conv")(x)
    # In float32 whatever the policy is: losses are computed from the logits.
    last = channel_axis() == -1
    x = UpSamplingLike(stride, dtype="float32", name="logits" if last else "logits_first")([x, image])
    return keras.Model(image, x if last else layers.Permute((2, 3, 1), dtype="float32", name="logits")(x), name=name)
