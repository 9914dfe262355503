"""How good a network is that says where things are: a detector, or one that classifies each pixel."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from keras_senet.data import LabelledImages, evaluation_batches, plain_errors
from keras_senet.detection import average_precision, each_image
from keras_senet.errors import InputError
from keras_senet.export import Detector, Segmenter
from keras_senet.inference.preprocessing import Letterbox, Preprocessing
from keras_senet.segmentation import mean_iou
from keras_senet.training.measured import Measured


@dataclasses.dataclass(frozen=True)
class DetectionEvaluation(Measured):
    """What `evaluate` found of a detector.

    Attributes:
        images: number of images that could be decoded.
        ap: COCO's average precision, the mean over overlaps from 0.5 to 0.95, in [0, 1].
        ap50: at an overlap of 0.5.
        ap75: at an overlap of 0.75.
        per_class: by the name of each class of which there are objects, its average precision.

    Example:

    >>> found = keras_senet.training.DetectionEvaluation(20, ap=0.4, ap50=0.6, ap75=0.5, per_class={"cat": 0.3, "dog": 0.5})
    >>> found.summary()
    {'images': 20, 'ap': 0.4, 'ap50': 0.6, 'ap75': 0.5}
    """

    images: int
    ap: float
    ap50: float
    ap75: float
    per_class: dict[str, float]

    @classmethod
    def of(cls, detector: Detector, images: LabelledImages, batch_size: int) -> "DetectionEvaluation":
        """That of a detector on images with boxes, in the order of its classes."""
        objects: list[dict] = []
        detections: list[dict] = []
        for pixels, truth in _batches(detector.preprocessing, images, batch_size):
            objects += each_image(truth)
            detections += each_image(detector.detections(pixels))
        found = average_precision(objects, detections)
        per_class = {images.class_names[index]: ap for index, ap in found.per_class.items()}
        return cls(len(objects), found.ap, found.ap50, found.ap75, per_class)


@dataclasses.dataclass(frozen=True)
class SegmentationEvaluation(Measured):
    """What `evaluate` found of a network that classifies each pixel.

    Attributes:
        images: number of images that could be decoded.
        mean_iou: intersection over union of the pixels of each class, over all images together; mean over the classes, in [0, 1].
        accuracy: share of the pixels whose class is right.
        per_class: by the name of each class that there is, in the masks or in what was predicted, its intersection over union.

    Example:

    >>> found = keras_senet.training.SegmentationEvaluation(20, mean_iou=0.6, accuracy=0.9, per_class={"cat": 0.5, "dog": 0.7})
    >>> found.summary()
    {'images': 20, 'mean_iou': 0.6, 'accuracy': 0.9}
    """

    images: int
    mean_iou: float
    accuracy: float
    per_class: dict[str, float]

    @classmethod
    def of(cls, segmenter: Segmenter, images: LabelledImages, batch_size: int) -> "SegmentationEvaluation":
        """That of a segmenter on images with masks."""
        count = 0

        def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            nonlocal count
            for pixels, truth in _batches(segmenter.preprocessing, images, batch_size):
                count += len(pixels)
                yield truth, segmenter.masks(pixels)

        found = mean_iou(pairs(), segmenter.classes)
        return cls(count, found.mean, found.accuracy, {images.class_names[index]: iou for index, iou in found.per_class.items()})


def _batches(letterbox: Letterbox, images: LabelledImages, batch_size: int) -> Iterator[tuple]:
    """Pixels, and objects or masks."""
    if letterbox.height != letterbox.width:
        raise InputError(
            f"Labelled images are squares, and the network takes images of {letterbox.height} x {letterbox.width} pixels."
        )
    preprocessing = Preprocessing(letterbox.height, interpolation=letterbox.interpolation)
    with plain_errors():
        yield from evaluation_batches(images, preprocessing, batch_size).as_numpy_iterator()
