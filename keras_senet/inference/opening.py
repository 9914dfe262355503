"""A trained network for any task, opened as what it is."""

import os

from keras_senet.inference.classifier import Classifier, classifier_of, network_path, published_classifier
from keras_senet.inference.detector import Detector, detector_of
from keras_senet.inference.runtimes import open_runtime
from keras_senet.inference.segmenter import Segmenter, is_of_any_size, segmenter_of
from keras_senet.inference.tasks import CLASSIFY, DETECT, SEGMENT, task_of


def open_network(path: str | os.PathLike, image_size: int | None = None) -> Classifier | Detector | Segmenter:
    """Opens a network without being told what it is for: by `open_classifier`, `open_detector` or `open_segmenter`.

    Args:
        path: as for these.
        image_size: height and width of the images, pixels; by default those that the network was made for. A detector takes no
            other.

    Returns:
        A `Classifier`, a `Detector` or a `Segmenter`.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if the file is damaged, or of no kind that can be opened.
        ImportError: if the package that runs such a file is not installed; the message names the extra to install.

    Example:

    >>> type(keras_senet.export.open_network("saved_models/seresnet20_digits/model.tflite")).__name__
    'Classifier'
    """
    published = published_classifier(path, image_size)
    if published is not None:
        return published
    path = network_path(path)
    runtime = open_runtime(path)
    task = task_of(runtime.input_shape, runtime.output_shape)
    if task == DETECT:
        return detector_of(runtime, path, image_size)
    if task == SEGMENT or is_of_any_size(runtime):
        return segmenter_of(runtime, path, image_size)
    return classifier_of(runtime, path, image_size)


def task_for(network: Classifier | Detector | Segmenter) -> str:
    """What a network that was opened is for: "classify", "detect" or "segment"."""
    return {Classifier: CLASSIFY, Detector: DETECT, Segmenter: SEGMENT}[type(network)]
