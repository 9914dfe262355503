"""RetinaNet on any backbone: a functional model that says of each anchor which class it shows, and how far off the box is."""

import math

import keras
from keras import layers

from keras_senet.detection.anchors import Anchors, PerAnchor
from keras_senet.detection.fpn import check_backbone, feature_pyramid, images_for
from keras_senet.rewrite.graph import data_format_of
from keras_senet.rewrite.pyramid import Backbone

# Probability of each class at the start, so that the many anchors of the background do not overwhelm the first steps.
_PRIOR = 0.01


def retinanet(
    backbone: Backbone,
    classes: int,
    anchors: Anchors,
    *,
    width: int = 256,
    depth: int = 4,
    name: str = "retinanet",
) -> keras.Model:
    """RetinaNet: a network that looks for objects at the positions of a feature pyramid, in one stage.

    Compile it with the losses `{"boxes": BoxLoss(), "classes": FocalLoss()}`, and fit it to a dataset whose elements went through
    `keras_senet.detection.encoder`. `keras_senet.detection.detector` makes the network that returns boxes.

    Args:
        backbone: feature pyramid by `keras_senet.backbone`, with all levels of the anchors up to its own coarsest one. The
            coarser ones are made from that. The detector has its layers, not copies of them. For training with few images a
            batch, make it with `freeze_norm=True`.
        classes: number of classes, without the background.
        anchors: the anchors, and with them the size of the images. Height and width must be multiples of the stride of the
            backbone's coarsest map.
        width: channels of the feature pyramid and the heads.
        depth: convolutions in each of the two heads before the last one.
        name: name of the model.

    Returns:
        A functional model of images `(N, H, W, C)`, or `(N, C, H, W)` for a backbone in `"channels_first"`, as the backbone takes
        them. It outputs float32 for each anchor: "boxes" `(N, A, 4)`, deltas, and "classes" `(N, A, classes)`, logits.

    Raises:
        ValueError: if `backbone` is none or lacks levels, `classes` is less than 1, or the size of the images does not suit.

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, section 4. The hidden kernels begin as in He
    et al., since with the paper's deviation of 0.01 the signal would fade in narrow heads.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None, include_top=False)
    >>> anchors = keras_senet.detection.Anchors(image_size=(96, 160), levels=(3, 4, 5))
    >>> model = keras_senet.detection.retinanet(keras_senet.backbone(network, (3, 4, 5)), 10, anchors, width=64, depth=2)
    >>> model.output["boxes"].shape, model.output["classes"].shape
    ((None, 2835, 4), (None, 2835, 10))
    """
    check_backbone(backbone, classes, anchors)
    data_format = data_format_of(backbone)
    images = images_for(backbone, anchors)
    pyramid = feature_pyramid(backbone, images, anchors, width, strided=True)

    def head(prefix, numbers, bias):
        """The layers of a head, which all levels share."""
        conv = {"kernel_size": 3, "padding": "same", "data_format": data_format}
        hidden = [
            layers.Conv2D(width, activation="relu", kernel_initializer="he_normal", name=f"{prefix}_conv{number}", **conv)
            for number in range(1, depth + 1)
        ]
        last = layers.Conv2D(
            numbers * anchors.per_position,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(bias),
            name=f"{prefix}_out",
            **conv,
        )
        return [*hidden, last]

    heads = {"boxes": head("box", 4, 0.0), "classes": head("class", classes, -math.log((1 - _PRIOR) / _PRIOR))}
    outputs = {}
    for output, shared in heads.items():
        maps = []
        for x in pyramid:
            for layer in shared:
                x = layer(x)
            maps.append(x)
        outputs[output] = PerAnchor(anchors, data_format, name=output)(maps)
    return keras.Model(images, outputs, name=name)
