"""The measures of detections and masks, against loops over their definitions and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from keras_senet import detection, segmentation

OVERLAPS = np.arange(0.5, 0.96, 0.05)


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    left, top, right, bottom = *np.maximum(box[:2], other[:2]), *np.minimum(box[2:], other[2:])
    common = max(right - left, 0) * max(bottom - top, 0)
    return common / (np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - common)


def by_definition(objects: list[dict], detections: list[dict], index: int, least: float) -> float:
    """Average precision of a class: precision at 101 values of recall, each the best that there is from there on."""
    ranked = sorted(
        (
            (score, image, box)
            for image, found in enumerate(detections)
            for box, score, kind in zip(*found.values(), strict=True)
            if kind == index
        ),
        key=lambda one: -one[0],
    )
    true = [found["boxes"][found["labels"] == index] for found in objects]
    free, right = [np.ones(len(boxes), bool) for boxes in true], []
    for _, image, box in ranked:
        overlaps = [overlap(box, other) * left for other, left in zip(true[image], free[image], strict=True)]
        best = int(np.argmax(overlaps)) if overlaps else -1
        right.append(best >= 0 and overlaps[best] >= least)
        if right[-1]:
            free[image][best] = False
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / sum(map(len, true))
    return float(np.mean([precision[recall >= at].max(initial=0) for at in np.linspace(0, 1, 101)]))


def some(images: int = 12, classes: int = 3) -> tuple[list[dict], list[dict]]:
    """True objects, and detections near some of them, with scores that are all different."""
    random = np.random.default_rng(0)
    objects, detections = [], []
    for _ in range(images):
        first = random.uniform(0, 60, (5, 2))
        boxes = np.concatenate([first, first + random.uniform(8, 40, (5, 2))], axis=1)
        labels = random.integers(0, classes, 5)
        labels[random.integers(0, 5) :] = -1  # padding
        objects.append({"boxes": boxes, "labels": labels})
        near = np.concatenate([boxes, boxes]) + random.normal(0, 2.5, (10, 4))
        kinds = np.where(random.random(10) < 0.8, np.tile(labels, 2), random.integers(0, classes, 10))
        detections.append({"boxes": near, "scores": random.random(10), "classes": kinds})
    return objects, detections


def test_average_precision_is_its_definition():
    objects, detections = some()
    measured = detection.average_precision(objects, detections)
    table = np.array([[by_definition(objects, detections, index, least) for least in OVERLAPS] for index in range(3)])
    assert 0.1 < table.mean() < 0.9
    assert measured.ap == pytest.approx(table.mean(), abs=1e-9)
    assert measured.ap50 == pytest.approx(table[:, 0].mean(), abs=1e-9)
    assert measured.ap75 == pytest.approx(table[:, 5].mean(), abs=1e-9)
    assert measured.per_class == pytest.approx(dict(enumerate(table.mean(axis=1))), abs=1e-9)


def test_in_a_crowd_detections_are_neither_right_nor_wrong():
    one, many = np.array([0.0, 0, 10, 10]), np.array([50.0, 50, 90, 90])
    objects = [{"boxes": np.stack([one, many]), "labels": np.array([4, 4]), "crowd": np.array([False, True])}]
    found = {"boxes": np.stack([many + 1, many - 1, one]), "scores": np.array([0.9, 0.8, 0.7]), "classes": np.full(3, 4)}
    assert detection.average_precision(objects, [found]).ap == pytest.approx(1)
    assert detection.average_precision([objects[0] | {"crowd": np.zeros(2, bool)}], [found]).ap < 0.8
    alone = {"boxes": many[np.newaxis], "labels": np.array([4]), "crowd": np.array([True])}
    with pytest.raises(ValueError, match="No image has an object to be found"):
        detection.average_precision([alone], [found])
    with pytest.raises(ValueError, match="objects of 1 images, and the detections of 2"):
        detection.average_precision([alone], [found, found])


def test_nothing_detected_is_a_precision_of_0_and_classes_without_objects_do_not_count():
    objects, detections = some()
    none = [found | {"classes": np.full(10, -1)} for found in detections]
    assert detection.average_precision(objects, none).ap == 0
    shifted = [found | {"labels": found["labels"] + 7 * (found["labels"] >= 0)} for found in objects]
    assert list(detection.average_precision(shifted, none).per_class) == [7, 8, 9]


def test_the_images_of_a_batch_come_one_by_one():
    batch = {"boxes": np.arange(24).reshape(2, 3, 4), "labels": np.arange(6).reshape(2, 3)}
    first, second = detection.each_image(batch)
    np.testing.assert_array_equal(first["boxes"], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(second["labels"], [3, 4, 5])


def test_mean_overlap_is_the_jaccard_index_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 4, (5, 7, 9)), random.integers(0, 4, (5, 7, 9))
    truth[random.random(truth.shape) < 0.2] = segmentation.NO_CLASS
    measured = segmentation.mean_iou([(truth[:2].astype("uint8"), predicted[:2]), (truth[2:], predicted[2:])], classes=6)
    counts = truth != segmentation.NO_CLASS
    expected = metrics.jaccard_score(truth[counts], predicted[counts], average=None)
    assert measured.per_class == pytest.approx(dict(enumerate(expected)), abs=1e-6)  # of two classes there are no pixels
    assert measured.mean == pytest.approx(expected.mean(), abs=1e-6)
    assert measured.accuracy == pytest.approx(np.mean(truth[counts] == predicted[counts]))
    with pytest.raises(ValueError, match="pixels of class 3, but there are the classes 0 to 2, and 255"):
        segmentation.mean_iou([(truth, predicted)], classes=3)
    with pytest.raises(ValueError, match="No pixel of the masks has a class"):
        segmentation.mean_iou([(np.full((1, 2, 2), 255), np.zeros((1, 2, 2)))], classes=3)
