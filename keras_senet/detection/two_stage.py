"""Faster R-CNN with a feature pyramid on any backbone: one stage proposes regions, and another one says what they show."""

import keras
from keras import layers

from keras_senet.detection.anchors import Anchors, DecodeBoxes, PerAnchor
from keras_senet.detection.fpn import check_backbone, feature_pyramid, images_for
from keras_senet.detection.regions import MatchRegions, ProposeRegions, RefineBoxes, RoiAlign
from keras_senet.errors import InputError
from keras_senet.rewrite.graph import data_format_of
from keras_senet.rewrite.pyramid import Backbone


def faster_rcnn(
    backbone: Backbone,
    classes: int,
    anchors: Anchors,
    *,
    width: int = 256,
    units: int = 1024,
    proposals: int = 1000,
    max_objects: int = 100,
    canonical_size: float = 224.0,
    name: str = "faster_rcnn",
) -> keras.Model:
    """Faster R-CNN with a feature pyramid: a network that looks for objects in two stages.

    Compile it with the losses `{"rpn_boxes": BoxLoss(), "rpn_classes": ProposalLoss(), "roi_boxes": RegionBoxLoss(),
    "roi_classes": RegionClassLoss()}`, and fit it to a dataset whose elements went through `keras_senet.detection.encoder`.
    `keras_senet.detection.detector` makes the network that returns boxes, which needs images alone.

    Where the papers draw anchors and regions at random, the losses weigh all of them by how probable it is that they are drawn:
    the mean is the same, and a step depends on no chance.

    Args:
        backbone: feature pyramid by `keras_senet.backbone`, with all levels of the anchors up to its own coarsest one; in the
            paper 2 to 5. The coarser ones are subsampled from the pyramid. The detector has its layers, not copies of them. For
            training with few images a batch, make it with `freeze_norm=True`.
        classes: number of classes, without the background.
        anchors: the anchors, and with them the size of the images; in the paper `Anchors(image_size, levels=(2, 3, 4, 5, 6),
            scale=8, octaves=(1,))`. Height and width must be multiples of the stride of the backbone's coarsest map.
        width: channels of the feature pyramid.
        units: width of the two fully connected layers of the second stage.
        proposals: number of regions that the first stage proposes, and of the surest anchors of each level that it considers.
        max_objects: most objects in an image for training.
        canonical_size: square root of the area, pixels, of objects that are read from the level whose stride is 16.
        name: name of the model.

    Returns:
        A functional model that takes "images" `(N, H, W, C)`, as the backbone takes them, and the true "boxes"
        `(N, max_objects, 4)` and "labels" `(N, max_objects)`. It outputs float32. For each anchor: "rpn_boxes" `(N, A, 4)`,
        deltas, and "rpn_classes" `(N, A, 1)`, logits. For each region: "roi_boxes" `(N, R, 9)`, its deltas, what they should be,
        and its label; and "roi_classes" `(N, R, classes + 2)`, logits of the classes and the background, and its label.

    Raises:
        ValueError: if `backbone` is none or lacks levels, a number is less than 1, or the size of the images does not suit.

    Source: Ren et al., "Faster R-CNN", arXiv 1506.01497; Lin et al., "Feature Pyramid Networks for Object Detection", arXiv
    1612.03144, section 4. The boxes of the second stage are the same for all classes.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None, include_top=False)
    >>> anchors = keras_senet.detection.Anchors((64, 96), levels=(4, 5, 6), octaves=(1,))
    >>> backbone = keras_senet.backbone(network, (4, 5))
    >>> model = keras_senet.detection.faster_rcnn(backbone, 3, anchors, width=8, units=8, proposals=10, max_objects=5)
    >>> model.output["rpn_boxes"].shape, model.output["roi_classes"].shape
    ((None, 96, 4), (None, 15, 5))
    """
    check_backbone(backbone, classes, anchors)
    for argument, number in {"proposals": proposals, "max_objects": max_objects}.items():
        if type(number) is not int or number < 1:
            raise InputError(f"`{argument}` must be an integer of at least 1. Received: {argument}={number}")
    data_format = data_format_of(backbone)
    images = images_for(backbone, anchors)
    boxes, labels = keras.Input((max_objects, 4), name="boxes"), keras.Input((max_objects,), name="labels")
    pyramid = feature_pyramid(backbone, images, anchors, width, strided=False)

    rpn = _first_stage(pyramid, anchors, width, data_format)
    found = DecodeBoxes(anchors, name="rpn_decode_boxes")(rpn["rpn_boxes"])
    scores = layers.Activation("sigmoid", dtype="float32", name="rpn_scores")(rpn["rpn_classes"])
    proposed = ProposeRegions(anchors, proposals, name="proposals")([found, scores])

    regions, deltas, label = MatchRegions(name="match_regions")([proposed, boxes, labels])
    strides = [stride for level, stride in zip(anchors.levels, anchors.strides, strict=True) if f"P{level}" in backbone.output]
    maps = pyramid[: len(strides)]
    window = RoiAlign(strides, canonical_size, data_format=data_format, name="roi_align")([*maps, regions])
    logits, own_deltas = _second_stage(window, classes, units)
    roi = {
        "roi_boxes": layers.Concatenate(dtype="float32", name="roi_boxes")([own_deltas, deltas, label]),
        "roi_classes": layers.Concatenate(dtype="float32", name="roi_classes")([logits, label]),
    }
    return keras.Model({"images": images, "boxes": boxes, "labels": labels}, rpn | roi, name=name)


def _first_stage(pyramid: list, anchors: Anchors, width: int, data_format: str) -> dict:
    """Where objects of any class may be."""
    normal = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01), "data_format": data_format}
    hidden = layers.Conv2D(width, 3, padding="same", activation="relu", name="rpn_conv", **normal)
    maps = [hidden(x) for x in pyramid]
    outputs = {}
    for name, numbers in (("rpn_boxes", 4), ("rpn_classes", 1)):
        last = layers.Conv2D(numbers * anchors.per_position, 1, name=f"{name}_out", **normal)
        outputs[name] = PerAnchor(anchors, data_format, name=name)([last(x) for x in maps])
    return outputs


def _second_stage(window, classes: int, units: int) -> tuple:
    """What a region shows, and how far off it is."""
    x = layers.Reshape((window.shape[1], -1), name="roi_flatten")(window)
    for number in (1, 2):
        x = layers.Dense(units, "relu", name=f"roi_dense{number}")(x)
    logits = layers.Dense(classes + 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name="roi_logits")(x)
    deltas = layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001), name="roi_deltas")(x)
    return logits, deltas


def detected_regions(model: keras.Model) -> tuple:
    """Boxes and the scores of their classes by the layers of a Faster R-CNN, from its images alone."""
    regions = model.get_layer("match_regions").input[0]  # those that the first stage proposes, without the true ones
    align = model.get_layer("roi_align")
    *maps, _ = align.input
    x = align([*maps, regions])
    x = layers.Reshape((x.shape[1], -1), name="flatten")(x)
    for number in (1, 2):
        x = model.get_layer(f"roi_dense{number}")(x)
    logits, deltas = model.get_layer("roi_logits")(x), model.get_layer("roi_deltas")(x)
    boxes = RefineBoxes(model.get_layer("rpn_boxes").anchors.image_size, name="refine_boxes")([regions, deltas])
    scores = layers.Softmax(dtype="float32", name="probabilities")(logits)
    return boxes, scores[..., :-1]
