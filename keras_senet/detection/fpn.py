"""Feature pyramid networks: maps of equal width from those of a backbone, for detectors."""

import keras
from keras import layers

from keras_senet.detection.anchors import Anchors
from keras_senet.errors import InputError
from keras_senet.keras_internals import run_graph
from keras_senet.rewrite.clone import call_as_is
from keras_senet.rewrite.graph import data_format_of
from keras_senet.rewrite.pyramid import Backbone


def check_backbone(backbone: Backbone, classes: int, anchors: Anchors) -> None:
    """Raises a ValueError if no detector can be built of these."""
    if not isinstance(backbone, Backbone):
        raise InputError(
            "A detector needs a backbone: make one of a network by `keras_senet.backbone(network, levels=...)`. Received: "
            f"{type(backbone).__name__} {getattr(backbone, 'name', '')!r}"
        )
    if type(classes) is not int or classes < 1:
        raise InputError(f"`classes` must be an integer of at least 1, without the background. Received: classes={classes!r}")
    levels = _levels(backbone)
    missing = [level for level in anchors.levels if level <= levels[-1] and level not in levels]
    if missing or anchors.levels[0] > levels[-1]:
        wanted = tuple(level for level in anchors.levels if level <= 5)
        raise InputError(
            f"The anchors are at the levels {anchors.levels}, and the backbone has {tuple(levels)}: make it by "
            f"`keras_senet.backbone(network, levels={wanted})`, or give anchors of other levels."
        )
    if any(side % 2 ** levels[-1] for side in anchors.image_size):
        raise InputError(
            f"Height and width of the images must be multiples of {2 ** levels[-1]} pixels, the stride of the backbone's "
            f"coarsest map: choose such a size, to which images are padded or resized. Received: image_size={anchors.image_size}"
        )


def _levels(backbone: Backbone) -> list[int]:
    return sorted(int(name.removeprefix("P")) for name in backbone.output)


def images_for(backbone: Backbone, anchors: Anchors) -> keras.KerasTensor:
    """The input of a detector: images of the size that its anchors are for."""
    last = data_format_of(backbone) == "channels_last"
    channels = backbone.inputs[0].shape[-1 if last else 1]
    shape = (*anchors.image_size, channels) if last else (channels, *anchors.image_size)
    return keras.Input(shape, name="images")


def feature_pyramid(backbone: Backbone, images: keras.KerasTensor, anchors: Anchors, width: int, strided: bool) -> list:
    """Maps of equal width of each level of the anchors.

    Args:
        backbone: backbone that has all levels but the coarsest.
        images: batch of images.
        anchors: their levels are those of the maps.
        width: channels of the maps.
        strided: whether levels that the backbone lacks come from its coarsest map by convolutions of stride 2, as in RetinaNet;
            otherwise from the coarsest map of the pyramid by subsampling.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", arXiv 1612.03144, section 3 and, for the coarsest level,
    section 4.1; arXiv 1708.02002, section 4, for RetinaNet.
    """
    data_format = data_format_of(backbone)
    # Its layers stand in the detector's own graph, so that all that reads or rewrites a network finds them.
    maps = run_graph(backbone, images, call_as_is)
    made = [level for level in _levels(backbone) if level in anchors.levels]

    def conv(x, size, name, strides=1):
        return layers.Conv2D(width, size, strides, padding="same", data_format=data_format, name=f"fpn_{name}")(x)

    pyramid, above = {}, None
    for level in reversed(made):
        x = conv(maps[f"P{level}"], 1, f"lateral{level}")
        if above is not None:
            above = layers.UpSampling2D(2, data_format=data_format, name=f"fpn_up{level}")(above)
            x = layers.Add(name=f"fpn_add{level}")([x, above])
        above = x
        pyramid[level] = conv(x, 3, f"out{level}")

    coarsest = _levels(backbone)[-1]
    x = maps[f"P{coarsest}"] if strided else pyramid[coarsest]
    for level in range(coarsest + 1, anchors.levels[-1] + 1):
        if not strided:
            x = layers.MaxPooling2D(1, strides=2, padding="same", data_format=data_format, name=f"fpn_out{level}")(x)
        else:
            x = layers.ReLU(name=f"fpn_relu{level - 1}")(x) if level > coarsest + 1 else x
            x = conv(x, 3, f"out{level}", strides=2)
        pyramid[level] = x
    return [pyramid[level] for level in anchors.levels]
