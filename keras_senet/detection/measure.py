"""How good the detections of a network are: COCO's average precision, by COCO's own program."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_senet.errors import InputError, require


@dataclasses.dataclass(frozen=True)
class AveragePrecision:
    """Average precision of detections, each in [0, 1].

    Attributes:
        ap: mean over the classes, and over the overlaps from 0.5 to 0.95 from which on a detection is right.
        ap50: mean over the classes at an overlap of 0.5.
        ap75: mean over the classes at an overlap of 0.75.
        per_class: by the index of each class of which there are objects, the mean over the overlaps.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", arXiv 1405.0312, and the measures of its challenge.

    Example:

    >>> objects = [{"boxes": np.array([[2, 2, 12, 12]]), "labels": np.array([7])}]
    >>> detections = [{"boxes": np.array([[2, 2, 12, 12]]), "scores": np.array([0.9]), "classes": np.array([7])}]
    >>> measured = keras_senet.detection.average_precision(objects, detections)
    >>> round(measured.ap, 3), {label: round(ap, 3) for label, ap in measured.per_class.items()}
    (1.0, {7: 1.0})
    """

    ap: float
    ap50: float
    ap75: float
    per_class: dict[int, float]


def average_precision(objects: Sequence[Mapping], detections: Sequence[Mapping]) -> AveragePrecision:
    """COCO's average precision, of up to 100 detections an image.

    Args:
        objects: the true objects of each image: "boxes" `(M, 4)`, left, top, right and bottom in pixels; "labels" `(M,)`, their
            classes, negative for rows of padding; and optionally "crowd" `(M,)`, true for a box around many objects, in which
            detections of its class are neither right nor wrong.
        detections: those of each image, such as `keras_senet.detection.detector` returns: "boxes" `(D, 4)`, "scores" `(D,)`, and
            "classes" `(D,)`, negative for rows of padding. `each_image` makes such a list of a batch.

    Returns:
        An `AveragePrecision`.

    Raises:
        ValueError: if no image has an object that is no crowd, or there are not as many images as detections are of.
        ImportError: if pycocotools is not installed.

    Example:

    >>> objects = [{"boxes": np.array([[2, 2, 12, 12]]), "labels": np.array([7])}]
    >>> detections = [{"boxes": np.array([[2, 2, 12, 10.3]]), "scores": np.array([0.9]), "classes": np.array([7])}]
    >>> measured = keras_senet.detection.average_precision(objects, detections)  # they overlap by 0.83
    >>> [round(number, 3) for number in (measured.ap, measured.ap50, measured.ap75)]
    [0.7, 1.0, 1.0]
    """
    if len(objects) != len(detections):
        raise InputError(f"There are the objects of {len(objects)} images, and the detections of {len(detections)}.")
    coco, cocoeval = require("pycocotools.coco", "train"), require("pycocotools.cocoeval", "train")
    true = [row for image, found in enumerate(objects) for row in _rows(image, found, found["labels"])]
    classes = sorted({row["category_id"] for row in true if not row["iscrowd"]})
    if not classes:
        raise InputError("No image has an object to be found: measure on another split.")
    made = [row for image, found in enumerate(detections) for row in _rows(image, found, found["classes"])]
    sides = coco.COCO(), coco.COCO()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        for side, rows in zip(sides, (true, made), strict=True):
            side.dataset = {
                "images": [{"id": image} for image in range(len(objects))],
                "categories": [{"id": index} for index in classes],
                # From 1 on, since it takes the number 0 for "not matched".
                "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],
            }
            side.createIndex()
        evaluation = cocoeval.COCOeval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # By overlap, recall and class, for objects of any size and up to 100 detections an image.
    precision = evaluation.eval["precision"][..., 0, 2]
    at = {round(overlap, 2): precision[index].mean() for index, overlap in enumerate(evaluation.params.iouThrs)}
    return AveragePrecision(
        ap=float(precision.mean()),
        ap50=float(at[0.5]),
        ap75=float(at[0.75]),
        per_class={index: float(precision[..., number].mean()) for number, index in enumerate(classes)},
    )


def each_image(batch: Mapping) -> list[dict]:
    """The dictionary of each image from that of a batch, whose arrays have one more axis in front.

    Args:
        batch: arrays `(N, ...)` by name, such as the "boxes", "scores" and "classes" of detections.

    Returns:
        A dictionary for each image, of arrays `(...)` by the same names.

    Example:

    >>> detections = {"boxes": np.zeros((2, 100, 4)), "scores": np.zeros((2, 100)), "classes": np.full((2, 100), -1)}
    >>> [image["boxes"].shape for image in keras_senet.detection.each_image(detections)]
    [(100, 4), (100, 4)]
    """
    arrays = {name: np.asarray(values) for name, values in batch.items()}
    return [{name: values[index] for name, values in arrays.items()} for index in range(len(next(iter(arrays.values()))))]


def _rows(image: int, found: Mapping, labels) -> Iterator[dict]:
    """COCO's annotations of what is in an image."""
    count = len(labels)
    rows = (found["boxes"], labels, found.get("scores", np.ones(count)), found.get("crowd", np.zeros(count)))
    for box, label, score, crowd in zip(*rows, strict=True):
        if label >= 0:
            left, top, right, bottom = map(float, box)
            shape = {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
            yield {"image_id": image, "category_id": int(label), "score": float(score), "iscrowd": int(crowd), **shape}
