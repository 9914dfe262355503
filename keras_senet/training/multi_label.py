"""How well a network finds several labels an image: average precision, F1, and the thresholds over which a label counts."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_senet.training.measured import Measured

_BINS = 4096
_LARGEST_LOGIT = 16.0  # beyond which float32 hardly tells a probability from 0 or 1


@dataclasses.dataclass(frozen=True)
class MultiLabelEvaluation(Measured):
    """What `evaluate` found where an image can have several labels.

    Attributes:
        images: number of images that could be decoded.
        map: mean over the classes of their average precision, in [0, 1].
        micro_f1: F1 of all decisions together, whether an image shows a class, in [0, 1].
        macro_f1: mean over the classes of their F1, in [0, 1].
        loss: mean binary cross-entropy over images and classes, nats.
        class_names: names of the classes, in the order of the network's outputs.
        per_class: by the name of each class that has images: how many `images`, its `average_precision`, its `f1`, and the
            `threshold` that a probability must reach for the label to count.
        probabilities: of each image and class, float32 of shape `(images, classes)`.
        labels: which classes each image shows, multi-hot of the same shape.

    Means over classes leave out those that have no images.

    Example:

    >>> probabilities, labels = np.array([[0.9, 0.6], [0.8, 0.4], [0.7, 0.1]]), np.array([[1, 1], [0, 1], [1, 0]])
    >>> thresholds = np.array([0.5, 0.5])
    >>> found = keras_senet.training.MultiLabelEvaluation.of(probabilities, labels, ["cat", "dog"], thresholds)
    >>> round(found.map, 4), found.per_class["dog"]["average_precision"]
    (0.9167, 1.0)
    """

    images: int
    map: float
    micro_f1: float
    macro_f1: float
    loss: float
    class_names: list[str]
    per_class: dict[str, dict[str, float]]
    probabilities: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(
        cls, probabilities: np.ndarray, labels: np.ndarray, class_names: list[str], thresholds: np.ndarray
    ) -> "MultiLabelEvaluation":
        """The measures of these probabilities of classes, and of the labels that reach these thresholds."""
        precision = [_average_precision(*column) for column in zip(probabilities.T, labels.T, strict=True)]
        decisions = probabilities >= thresholds
        f1 = f1_score(decisions, labels > 0)
        counts = (labels > 0).sum(axis=0)
        shown = np.flatnonzero(counts)
        clipped = np.clip(probabilities.astype("float64"), keras.config.epsilon(), 1 - keras.config.epsilon())
        return cls(
            images=len(labels),
            map=float(np.mean([precision[index] for index in shown])),
            micro_f1=float(f1_score(decisions.ravel(), labels.ravel() > 0)),
            macro_f1=float(f1[shown].mean()),
            loss=float(-np.log(np.where(labels > 0, clipped, 1 - clipped)).mean()),
            class_names=class_names,
            per_class={
                class_names[index]: {
                    "images": int(counts[index]),
                    "average_precision": float(precision[index]),
                    "f1": float(f1[index]),
                    "threshold": float(thresholds[index]),
                }
                for index in shown
            },
            probabilities=probabilities,
            labels=labels,
        )

    def titled_curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For `draw_precision_recall`: recall and precision of each class that has images, by its name and average precision."""
        return {
            f"{name}, AP {self.per_class[name]['average_precision']:.1%}": _recall_and_precision(probabilities, labels)
            for name, probabilities, labels in zip(self.class_names, self.probabilities.T, self.labels.T, strict=True)
            if name in self.per_class
        }


class MeanAveragePrecision(keras.metrics.Metric):
    """Mean average precision, and the thresholds of the greatest F1, of batches that need not stay in memory.

    It counts the images of each class by their logits, in 4,096 steps of 1/128, and takes those of one step as equal. So its
    value is close to that of `evaluate`, which is exact. Unlike the area under the precision-recall curve of
    `keras.metrics.AUC`, it does not interpolate between thresholds, and its thresholds are as fine at small probabilities as at
    others. Its variables are sums, so replicas may share the images.

    A label that MixUp or CutMix has mixed in counts in full.

    Args:
        classes: number of classes.
        name: name of the metric.

    Labels and probabilities: float, `(N, classes)`, both in [0, 1]; `result` is in [0, 1], too.

    Example:

    >>> metric = keras_senet.training.MeanAveragePrecision(classes=2)
    >>> metric.update_state(np.array([[1, 1], [0, 1], [1, 0]]), np.array([[0.9, 0.6], [0.8, 0.4], [0.7, 0.1]]))
    >>> round(float(metric.result()), 4)
    0.9167
    >>> metric.thresholds().round(2)
    array([0.7 , 0.21])
    """

    def __init__(self, classes: int, name: str = "map"):
        super().__init__(name=name)
        self.hits = self.add_variable((_BINS, classes), "zeros", name="hits")
        self.counts = self.add_variable((_BINS, classes), "zeros", name="counts")

    def update_state(self, labels, probabilities, sample_weight=None):
        classes = self.hits.shape[1]
        probabilities = ops.clip(ops.cast(probabilities, "float32"), 1e-7, 1 - 1e-7)
        logits = ops.log(probabilities) - ops.log1p(-probabilities)
        steps = ops.cast((_LARGEST_LOGIT - logits) / (2 * _LARGEST_LOGIT) * _BINS, "int32")  # the greatest logit first
        places = ops.clip(steps, 0, _BINS - 1) * classes + ops.arange(classes, dtype="int32")
        weights = ops.ones_like(probabilities)
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        for variable, added in ((self.hits, weights * ops.cast(labels > 0, "float32")), (self.counts, weights)):
            sums = ops.segment_sum(ops.reshape(added, (-1,)), ops.reshape(places, (-1,)), _BINS * classes)
            variable.assign(variable + ops.reshape(sums, (_BINS, classes)))

    def result(self):
        total = ops.sum(self.hits, axis=0)
        precision = ops.cumsum(self.hits, axis=0) / ops.maximum(ops.cumsum(self.counts, axis=0), 1)
        average = ops.sum(self.hits * precision, axis=0) / ops.maximum(total, 1)
        return ops.sum(average) / ops.maximum(ops.sum(ops.cast(total > 0, "float32")), 1)

    def thresholds(self) -> np.ndarray:
        """For each class the threshold of the greatest F1, in the middle between the images on its two sides.

        Returns:
            Float64 of shape `(classes,)`, within (0, 1); 0.5 for a class without images.
        """
        hits, counts = (ops.convert_to_numpy(variable).astype("float64") for variable in (self.hits, self.counts))
        total = hits.sum(axis=0)
        f1 = 2 * hits.cumsum(axis=0) / (counts.cumsum(axis=0) + np.maximum(total, 1))
        last = f1.argmax(axis=0)  # the last step that counts
        following = np.array([_next(column > 0, step) for column, step in zip(counts.T, last, strict=True)])
        logits = _LARGEST_LOGIT - (last + 1 + following) / 2 * (2 * _LARGEST_LOGIT / _BINS)
        return np.where(total > 0, 0.5 * (1 + np.tanh(0.5 * logits)), 0.5)


def _next(filled: np.ndarray, step: int) -> int:
    """The first filled step after `step`, or the one after it if there is none."""
    places = np.flatnonzero(filled[step + 1 :])
    return step + 1 + (places[0] if len(places) else 0)


def f1_score(decisions: np.ndarray, labels: np.ndarray) -> Any:
    """F1 over the first axis of boolean arrays; 0 where there is neither a decision nor a label."""
    return 2 * (decisions & labels).sum(axis=0) / np.maximum(decisions.sum(axis=0) + labels.sum(axis=0), 1)


def _recall_and_precision(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision of one class if images of each of its probabilities and higher ones count, the highest first."""
    _, steps = np.unique(-probabilities, return_inverse=True)
    hits = np.bincount(steps, weights=labels > 0).cumsum()
    return hits / max(1, hits[-1]), hits / np.bincount(steps).cumsum()


def _average_precision(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the precision, weighted by how much recall rises."""
    recall, precision = _recall_and_precision(probabilities, labels)
    return float((np.diff(recall, prepend=0) * precision).sum())
