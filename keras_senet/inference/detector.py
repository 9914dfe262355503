"""A trained detector in any of its forms, opened to find objects in images."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from keras_senet import detection
from keras_senet.detection.detecting import returns_boxes
from keras_senet.errors import InputError
from keras_senet.inference.classifier import network_path
from keras_senet.inference.labels import class_count, known_class_names, numbered_labels
from keras_senet.inference.preprocessing import Letterbox
from keras_senet.inference.runtimes import Runtime, open_runtime, run_keras
from keras_senet.inference.tasks import DETECT, check_task

# MediaPipe has the deltas of a box in the order y, x, height, width, and so has our file. The order is its own inverse.
VERTICAL_FIRST = (1, 0, 3, 2)

# Suppression compares each candidate of an image with each other one, which takes memory.
_AT_A_TIME = 8


@dataclasses.dataclass(frozen=True)
class Detector:
    """A network that is ready to find objects.

    Attributes:
        detections: function from images, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, to a dictionary of float32, the
            surest object first: "boxes" `(N, D, 4)`, left, top, right and bottom in pixels; "scores" `(N, D)`, probabilities;
            "classes" `(N, D)`. Behind the last object scores are 0 and classes -1. All are returned, however unsure, unless the
            network itself has a threshold.
        preprocessing: how an image becomes the input of the network.
        classes: number of classes, without the background.
        class_names: names of the classes; "class 0" and so on if they are not known.
        labels_file: file that contains the names, the network's own or labels.txt; None if they are not known.
        model: Keras model of a `.keras` file; None for an exported file.

    Example:

    >>> from keras_senet.inference.preprocessing import Letterbox
    >>> def find_nothing(images):
    ...     none = np.zeros((len(images), 0), "float32")
    ...     return {"boxes": none[..., np.newaxis].repeat(4, axis=-1), "scores": none, "classes": none}
    >>> blind = keras_senet.export.Detector(find_nothing, Letterbox(64, 64), classes=1, class_names=["cat"])
    >>> blind.detections(np.zeros((2, 64, 64, 3), "float32"))["boxes"].shape
    (2, 0, 4)
    """

    detections: Callable[[np.ndarray], dict[str, np.ndarray]]
    preprocessing: Letterbox
    classes: int
    class_names: list[str]
    labels_file: pathlib.Path | None = None
    model: keras.Model | None = None


def open_detector(path: str | os.PathLike) -> Detector:
    """Opens a trained or exported detector.

    Args:
        path: `.keras` file of a network by `keras_senet.detection.retinanet`, `faster_rcnn` or `detector`; or a `.tflite` file
            that `keras_senet.export` wrote of one.

    Returns:
        A `Detector`. The class names are those inside the file, or those of a labels.txt beside it.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if the file is damaged, or is no detector of RGB images.
        ImportError: if the package that runs such a file is not installed; the message names the extra to install.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None, include_top=False)
    >>> anchors = keras_senet.detection.Anchors(image_size=(64, 64), levels=(4, 5))
    >>> keras_senet.detection.retinanet(keras_senet.backbone(network, (4, 5)), 3, anchors, width=8, depth=1).save("net.keras")
    >>> opened = keras_senet.export.open_detector("net.keras")
    >>> opened.detections(np.zeros((1, 64, 64, 3), "float32"))["boxes"].shape
    (1, 100, 4)
    """
    path = network_path(path)
    return detector_of(open_runtime(path), path)


def detector_of(runtime: Runtime, path: pathlib.Path, image_size: int | None = None) -> Detector:
    """The network at `path`, opened in a runtime, as a detector; see `open_detector`."""
    check_task(DETECT, runtime.input_shape, runtime.output_shape, path)
    if runtime.model is not None:
        network = detecting_network(runtime.model)
        run, shape, classes = run_keras(network), network.input_shape, class_count(network)
    else:
        run, shape, classes = _run_exported(runtime, path)
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"{path} must take RGB images of shape (N, H, W, 3). It takes {tuple(shape)}.")
    height, width = map(int, shape[1:3])
    if image_size is not None and (height, width) != (image_size, image_size):
        raise InputError(f"{path} has anchors for images of {height} x {width} pixels, and takes no others.")
    names, labels_file = known_class_names(path, runtime.class_names, classes)
    interpolation = runtime.preprocessing.interpolation if runtime.preprocessing else "bilinear"
    return Detector(
        few_at_a_time(run),
        Letterbox(height, width, interpolation),
        classes,
        names or numbered_labels(classes),
        labels_file,
        runtime.model,
    )


def detecting_network(model: keras.Model) -> keras.Model:
    """The network that returns boxes, however unsure, of one that does not; `model` itself if it does."""
    return model if returns_boxes(model) else detection.detector(model, score_threshold=0.0)


def _run_exported(runtime: Runtime, path: pathlib.Path) -> tuple[Callable, tuple, int]:
    """What returns boxes in pixels, the shape of its input, and the number of classes, of a TFLite file."""
    shape = tuple(runtime.input_shape)
    if runtime.decoding is not None:
        decode = run_keras(runtime.decoding.network())

        def decoded(images):
            said = runtime.run(images)
            return decode(said | {"boxes": said["boxes"][..., VERTICAL_FIRST]})

        return decoded, shape, runtime.decoding.classes
    if "scores" not in runtime.output_shape or runtime.classes is None:
        raise InputError(f"{path} does not say how boxes are made of its outputs: export it by `keras_senet.export.tflite`.")
    _, height, width, _ = shape

    def run(images):
        found = runtime.run(images)  # with the number of detections, and boxes in shares of the sides
        boxes = found["boxes"] * np.array([width, height] * 2, "float32")
        return {"boxes": boxes, "scores": found["scores"], "classes": found["classes"]}

    return run, shape, runtime.classes


def few_at_a_time(run: Callable[[np.ndarray], dict]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The same function, of any number of images in no more memory."""

    def all_of(images):
        parts = [run(images[start : start + _AT_A_TIME]) for start in range(0, len(images), _AT_A_TIME)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return all_of
