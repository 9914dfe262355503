"""What a detector reads in training, and the network of its layers that returns boxes."""

import dataclasses
import inspect
from collections.abc import Callable

import keras
from keras import layers

from keras_senet.detection.anchors import Anchors, Boxes, DecodeBoxes, PerAnchor, objects_within
from keras_senet.detection.suppression import NonMaxSuppression
from keras_senet.detection.two_stage import detected_regions
from keras_senet.errors import InputError


def encoder(model: keras.Model) -> Callable[..., tuple]:
    """Makes the function for `tf.data.Dataset.map` that matches the objects of an image with the anchors of a detector.

    An anchor belongs to an object if their intersection over union is at least 0.5, or if none overlaps the object more; it is
    background below 0.4, and does not count in between. For Faster R-CNN these are 0.7 and 0.3. Boxes are clipped to the image,
    and those without area are left out, as random crops leave them behind. An image without objects is all background.

    Args:
        model: network by `retinanet` or `faster_rcnn`, also a loaded one.

    Returns:
        A function `encode(image, objects)` to the inputs and the targets of the network. `objects` is a dictionary: "boxes"
        `(M, 4)`, left, top, right and bottom in pixels; and "labels" `(M,)`, the class of each box from 0, or a negative number
        for a row of padding. While the dataset is read, labels beyond the classes and boxes whose right or lower end comes first
        raise an `InvalidArgumentError`; for Faster R-CNN more than `max_objects` objects do so, too.

    Raises:
        ValueError: if `model` is no detector.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None, include_top=False)
    >>> anchors = keras_senet.detection.Anchors(image_size=(32, 64), levels=(4, 5))
    >>> model = keras_senet.detection.retinanet(keras_senet.backbone(network, (4, 5)), 3, anchors, width=8, depth=1)
    >>> objects = {"boxes": np.array([[4.0, 2.0, 60.0, 31.0]]), "labels": np.array([2])}
    >>> image, targets = keras_senet.detection.encoder(model)(np.zeros((32, 64, 3)), objects)
    >>> targets["boxes"].shape, np.unique(targets["classes"])
    (TensorShape([90, 5]), array([-1,  2], dtype=int32))
    """
    anchors = _anchors(model)
    if not _has_regions(model):
        match = anchors.matcher(class_count(model))
        return lambda image, objects: (image, match(objects))

    import tensorflow as tf  # in the pipeline on every backend

    classes = class_count(model)
    most = model.input["labels"].shape[-1]
    match = anchors.matcher(1, positive=0.7, negative=0.3)

    def encode(image, objects: Boxes) -> tuple:
        boxes, labels = objects_within(objects, classes, anchors.image_size)
        targets = match({"boxes": boxes, "labels": tf.zeros_like(labels)})
        missing = most - tf.shape(labels)[0]
        check = tf.debugging.assert_non_negative(
            missing, f"An image may have {most} objects: build the detector with a larger `max_objects`."
        )
        with tf.control_dependencies([check] if check is not None else []):  # there is none outside of a graph
            boxes, labels = tf.pad(boxes, [(0, missing), (0, 0)]), tf.pad(labels, [(0, missing)], constant_values=-1)
        inputs = {"images": image, "boxes": tf.ensure_shape(boxes, (most, 4)), "labels": tf.ensure_shape(labels, (most,))}
        # The regions carry their own targets.
        none = {"roi_boxes": tf.zeros(1), "roi_classes": tf.zeros(1)}
        return inputs, {"rpn_boxes": targets["boxes"], "rpn_classes": targets["classes"], **none}

    return encode


def detector(
    model: keras.Model,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    candidates: int = 1000,
    max_detections: int = 100,
) -> keras.Model:
    """The network that returns boxes, of the same layers as the one that is trained.

    Args:
        model: network by `retinanet` or `faster_rcnn`, also a loaded one.
        score_threshold: only detections that are surer are returned, in [0, 1].
        iou_threshold: intersection over union above which two boxes of a class are taken for the same object; of these the
            surest is returned.
        candidates: number of the surest boxes that are considered. On a phone, fewer are faster.
        max_detections: most objects in an image.

    Returns:
        A functional model from images to a dictionary of float32, the surest object first: "boxes" `(N, max_detections, 4)`,
        left, top, right and bottom in pixels; "scores" `(N, max_detections)`, probabilities; and "classes"
        `(N, max_detections)`. Behind the last object boxes and scores are 0, and classes -1.

    Raises:
        ValueError: if `model` is no detector, or a number is out of its range.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None, include_top=False)
    >>> anchors = keras_senet.detection.Anchors(image_size=(64, 96), levels=(4, 5))
    >>> model = keras_senet.detection.retinanet(keras_senet.backbone(network, (4, 5)), 3, anchors, width=8, depth=1)
    >>> detections = keras_senet.detection.detector(model, max_detections=5)(np.zeros((1, 64, 96, 3)))
    >>> {name: numbers.shape for name, numbers in detections.items()}
    {'boxes': TensorShape([1, 5, 4]), 'scores': TensorShape([1, 5]), 'classes': TensorShape([1, 5])}
    """
    anchors = _anchors(model)
    suppression = NonMaxSuppression(score_threshold, iou_threshold, candidates, max_detections, name="detections")
    if _has_regions(model):
        images = model.input["images"]
        detections = suppression(detected_regions(model))
    else:
        images = model.inputs[0]
        detections = _decoded(model.output, anchors, suppression)
    return keras.Model(images, detections, name=f"{model.name}_detector")


def _decoded(said: dict, anchors: Anchors, suppression: NonMaxSuppression) -> dict:
    """The detections of what a detector of one stage says of its anchors."""
    boxes = DecodeBoxes(anchors, name="decode_boxes")(said["boxes"])
    scores = layers.Activation("sigmoid", dtype="float32", name="scores")(said["classes"])
    return suppression([boxes, scores])


@dataclasses.dataclass(frozen=True)
class Decoding:
    """What makes boxes of what a detector of one stage says of its anchors, where the two are apart.

    Attributes:
        classes: number of classes.
        anchors: the anchors.
        suppression: arguments of `NonMaxSuppression`.
    """

    classes: int
    anchors: Anchors
    suppression: dict

    @classmethod
    def of(cls, model: keras.Model) -> "Decoding":
        """That of a network by `detector` that was made of one by `retinanet`."""
        (anchors,) = (layer.anchors for layer in model.layers if isinstance(layer, DecodeBoxes))
        suppression = model.get_layer("detections")
        names = set(inspect.signature(NonMaxSuppression).parameters) - {"kwargs"}
        return cls(class_count(model), anchors, {name: getattr(suppression, name) for name in sorted(names)})

    def network(self) -> keras.Model:
        """The network from "boxes" `(N, A, 4)` and "classes" `(N, A, classes)`, as of `retinanet`, to detections."""
        count = len(self.anchors.boxes())
        said = {name: keras.Input((count, numbers), name=name) for name, numbers in (("boxes", 4), ("classes", self.classes))}
        return keras.Model(said, _decoded(said, self.anchors, NonMaxSuppression(**self.suppression, name="detections")))


def returns_boxes(model: keras.Model) -> bool:
    """Whether a model is a network by `detector`."""
    return isinstance(model.output, dict) and {"boxes", "scores", "classes"} <= {*model.output}


def class_count(model: keras.Model) -> int:
    """The number of classes of a network by `retinanet`, `faster_rcnn` or `detector`, without the background."""
    if returns_boxes(model):
        return model.get_layer("detections").input[1].shape[-1]
    return model.output["roi_classes"].shape[-1] - 2 if _has_regions(model) else model.output["classes"].shape[-1]


def before_decoding(model: keras.Model) -> keras.Model:
    """Of a network by `detector`, what a detector of one stage says of its anchors: the part that is trained.

    Raises:
        ValueError: if it has two stages, between which there are boxes.
    """
    decodes = [layer for layer in model.layers if isinstance(layer, DecodeBoxes)]
    if len(decodes) != 1 or decodes[0].name != "decode_boxes":
        raise InputError(f"{model.name} is a detector of two stages, between which there are boxes.")
    said = {"boxes": decodes[0].input, "classes": model.get_layer("scores").input}
    return keras.Model(model.inputs, said, name=model.name)


def _has_regions(model: keras.Model) -> bool:
    """Whether a detector has two stages."""
    return "roi_classes" in model.output


def _anchors(model: keras.Model) -> Anchors:
    """The anchors of a detector, which its last layers hold."""
    found = [layer.anchors for layer in getattr(model, "layers", ()) if isinstance(layer, PerAnchor)]
    if not found or "scores" in model.output:
        raise InputError(
            "This takes the network that is trained, by `keras_senet.detection.retinanet` or `faster_rcnn`. Received: "
            f"{type(model).__name__} {getattr(model, 'name', '')!r}"
        )
    return found[0]
