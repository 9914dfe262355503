"""How often a network is right."""

import keras

from keras_senet.data import LabelledImages, evaluation_batches, plain_errors
from keras_senet.export import Classifier


def metrics(classes: int) -> list[keras.metrics.Metric]:
    """Top-1 accuracy, and top-5 where there are more than five classes."""
    top1 = keras.metrics.CategoricalAccuracy(name="top1")
    return [top1, keras.metrics.TopKCategoricalAccuracy(5, name="top5")] if classes > 5 else [top1]


def evaluate(classifier: Classifier, images: LabelledImages, batch_size: int = 64) -> dict[str, float]:
    """Accuracy on the centre of each image.

    Args:
        classifier: a network in any form, from `keras_senet.export.open_classifier`; what it looks at is its `preprocessing`.
        images: labelled images, from `keras_senet.data.load`.
        batch_size: images at a time.

    Returns:
        `top1` and, for more than five classes, `top5`, shares in [0, 1]; `loss`, the mean cross-entropy in nats; `images`, the
        number of images that could be decoded.

    Raises:
        ValueError: if the network has another number of classes than the data.

    Example:

    >>> digits = keras_senet.export.open_classifier("saved_models/seresnet20_digits/model.tflite")
    >>> keras_senet.training.evaluate(digits, keras_senet.data.load("digits", "held-out"))["images"]
    360
    """
    if classifier.classes != len(images.class_names):
        raise ValueError(f"The network has {classifier.classes} classes, but the data has {len(images.class_names)}.")
    measured = [*metrics(classifier.classes), keras.metrics.CategoricalCrossentropy(name="loss")]
    count = 0
    with plain_errors():
        for pixels, labels in evaluation_batches(images, classifier.preprocessing, batch_size):
            probabilities = classifier.probabilities(pixels.numpy())
            for metric in measured:
                metric.update_state(labels.numpy(), probabilities)
            count += len(probabilities)
    return {metric.name: float(metric.result()) for metric in measured} | {"images": count}
