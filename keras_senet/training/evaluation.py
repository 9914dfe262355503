"""How often a network is right, and how well it knows when it is."""

import dataclasses
import os
import typing
from collections.abc import Iterator

import keras
import numpy as np

from keras_senet.data import LabelledImages, evaluation_batches, match_classes, plain_errors
from keras_senet.data.relabel import relabelled
from keras_senet.errors import InputError
from keras_senet.export import Classifier, Detector, Segmenter
from keras_senet.inference.labels import DEFAULT_THRESHOLD
from keras_senet.inference.opening import task_for
from keras_senet.inference.tasks import KINDS
from keras_senet.training.measured import Measured
from keras_senet.training.multi_label import MeanAveragePrecision, MultiLabelEvaluation
from keras_senet.training.places import DetectionEvaluation, SegmentationEvaluation

_BINS = 15  # of the calibration error, as in its source


@dataclasses.dataclass(frozen=True)
class Evaluation(Measured):
    """What `evaluate` found.

    Attributes:
        images: number of images that could be decoded.
        top1: share of them for which the most probable class is right, in [0, 1].
        top5: share of them for which one of the five most probable classes is right; None for five classes or fewer.
        loss: mean cross-entropy, nats.
        calibration_error: mean difference, over 15 bins of equal width, between how sure the network is of its most probable
            class and how often that is right, weighted by the images in each bin; in [0, 1].
        class_names: names of the classes, in the order of the network's outputs.
        per_class: by the name of each class that has images, the share of these for which it is the most probable.
        confusion: number of images by true class (rows) and most probable class (columns), int64 of shape `(classes, classes)`.

    With labels from a file only the first two are defined, and the others are None.

    Source: Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599, equation 3.

    Example:

    >>> confusion = np.array([[1, 0], [1, 0]])  # a dog was taken for a cat
    >>> found = keras_senet.training.Evaluation(images=2, top1=0.5, class_names=["cat", "dog"], confusion=confusion)
    >>> found.summary()
    {'images': 2, 'top1': 0.5}
    """

    images: int
    top1: float
    top5: float | None = None
    loss: float | None = None
    calibration_error: float | None = None
    class_names: list[str] | None = None
    per_class: dict[str, float] | None = None
    confusion: np.ndarray | None = None


def metrics(classes: int, multi_label: bool = False) -> list[keras.metrics.Metric]:
    """Top-1 accuracy, and top-5 where there are more than five classes; mean average precision with several labels an image."""
    if multi_label:
        return [MeanAveragePrecision(classes)]
    top1 = keras.metrics.CategoricalAccuracy(name="top1")
    return [top1, keras.metrics.TopKCategoricalAccuracy(5, name="top5")] if classes > 5 else [top1]


@typing.overload
def evaluate(
    network: Classifier,
    images: LabelledImages,
    batch_size: int = ...,
    *,
    views: int = ...,
    labels: str | os.PathLike | None = ...,
) -> Evaluation | MultiLabelEvaluation: ...
@typing.overload
def evaluate(
    network: Classifier | Detector | Segmenter,
    images: LabelledImages,
    batch_size: int = ...,
    *,
    views: int = ...,
    labels: str | os.PathLike | None = ...,
) -> Evaluation | MultiLabelEvaluation | DetectionEvaluation | SegmentationEvaluation: ...
def evaluate(
    network: Classifier | Detector | Segmenter,
    images: LabelledImages,
    batch_size: int = 64,
    *,
    views: int = 1,
    labels: str | os.PathLike | None = None,
) -> Evaluation | MultiLabelEvaluation | DetectionEvaluation | SegmentationEvaluation:
    """Accuracy on the center of each image, or on the mean of several views of it; of detectors and segmenters, on whole images.

    Args:
        network: a network in any form, from `keras_senet.export.open_network`; what it looks at is its `preprocessing`.
        images: labelled images, from `keras_senet.data.load`. Their classes are matched with those of the network by name, see
            `keras_senet.data.match_classes`, so images of some classes are enough.
        batch_size: images, or about so many views of images, at a time.
        views: over how many views of each image to average the probabilities (those after the softmax): 1, the center alone; 2,
            with its mirror image; 10, also the four corners and theirs. See `keras_senet.data.evaluation_views`.
        labels: a JSON file with labels in place of those of `images`, of any number for each image, one of which the most
            probable class must be; images with none are left out. It holds a list of class indices for each image: in an object
            by file name, or in a list in the order of the sorted file names, as the real.json that was published for ImageNet.

    Returns:
        An `Evaluation`; or a `MultiLabelEvaluation` if `images` can have several labels, which count where a probability reaches
        the network's threshold, or 0.5 if it has none. Of a detector a `DetectionEvaluation`, and of a segmenter a
        `SegmentationEvaluation`.

    Raises:
        ValueError: if the images are for another task than the network, if it lacks a class of the data, if images have no label,
            or if the file of labels does not fit.

    Source: ten views, Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1;
        labels from a file, Beyer et al., "Are we done with ImageNet?", arXiv 2006.07159, section 3.

    Example:

    >>> keras_senet.SEResNet20(weights=None).save("network.keras")
    >>> network = keras_senet.export.open_classifier("network.keras")
    >>> digits = keras_senet.data.load("digits", "test[:50]", data_dir="data")
    >>> keras_senet.training.evaluate(network, digits).images
    50
    """
    task = task_for(network)
    if images.task != task:
        raise InputError(f"The network is {KINDS[task]}, and the images were loaded for the task {images.task!r}, not {task!r}.")
    if not isinstance(network, Classifier):
        if views != 1 or labels is not None:
            raise InputError(f"`views` and `labels` are for image classifiers. The network is {KINDS[task]}.")
        images = with_classes_of(network, images)
        if isinstance(network, Detector):
            return DetectionEvaluation.of(network, images, batch_size)
        return SegmentationEvaluation.of(network, images, batch_size)
    classifier = network
    if labels is not None:
        images = relabelled(images, labels)
    images = with_classes_of(classifier, images)
    if labels is not None:
        outputs = _outputs(classifier, images, batch_size, views)
        right = np.concatenate([label[np.arange(len(label)), probabilities.argmax(axis=1)] for probabilities, label in outputs])
        return Evaluation(images=len(right), top1=float(right.mean()))
    if images.multi_label:
        probabilities, shown = map(np.concatenate, zip(*_outputs(classifier, images, batch_size, views), strict=True))
        if not shown.any():
            raise InputError("No image has a label: evaluate on another split.")
        thresholds = np.array(classifier.thresholds or [DEFAULT_THRESHOLD] * classifier.classes)
        return MultiLabelEvaluation.of(probabilities, shown, images.class_names, thresholds)
    measured = [*metrics(classifier.classes), keras.metrics.CategoricalCrossentropy(name="loss")]
    batches: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for probabilities, label in _outputs(classifier, images, batch_size, views):
        if not label.any(axis=1).all():
            raise InputError("Some images have no label: evaluate on another split.")
        for metric in measured:
            metric.update_state(label, probabilities)
        batches.append((label.argmax(axis=1), probabilities.argmax(axis=1), probabilities.max(axis=1)))
    truth, predicted, confidence = map(np.concatenate, zip(*batches, strict=True))
    confusion = np.zeros((classifier.classes, classifier.classes), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    classes = zip(images.class_names, confusion.diagonal(), confusion.sum(axis=1), strict=True)
    return Evaluation(
        images=len(truth),
        **{metric.name: float(metric.result()) for metric in measured},
        calibration_error=_calibration_error(confidence, truth == predicted),
        class_names=images.class_names,
        per_class={name: float(right / count) for name, right, count in classes if count},
        confusion=confusion,
    )


def with_classes_of(network: Classifier | Detector | Segmenter, images: LabelledImages) -> LabelledImages:
    """The same images, with the classes of the network in its order, see `match_classes`."""
    names = network.class_names if network.labels_file is not None else None
    return match_classes(images, names, network.classes)


def _outputs(
    classifier: Classifier, images: LabelledImages, batch_size: int, views: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities `(N, classes)` and labels, batch by batch."""
    if views > 1:
        batch_size = max(1, batch_size // views)
    with plain_errors():
        for pixels, label in evaluation_batches(images, classifier.preprocessing, batch_size, views=views):
            seen = pixels.numpy().reshape(-1, *pixels.shape[-3:])
            probabilities = classifier.probabilities(seen).reshape(len(pixels), views, classifier.classes)
            yield probabilities.mean(axis=1), label.numpy()


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """A bin holds its upper bound and not its lower, as in the source."""
    bins = np.digitize(confidence, np.arange(1, _BINS) / _BINS, right=True)
    return float(np.abs(np.bincount(bins, weights=right - confidence)).sum() / len(confidence))
