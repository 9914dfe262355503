"""A trained network in any of its forms, opened to classify images."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from keras_senet.errors import InputError, MissingFileError, did_you_mean, existing_path, one_line
from keras_senet.inference.labels import check_thresholds, imagenet_labels, known_class_names, numbered_labels
from keras_senet.inference.outputs import Outputs, outputs_like, outputs_of
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.inference.runtimes import Runtime, open_keras_model, open_runtime
from keras_senet.inference.tasks import CLASSIFY, check_task
from keras_senet.models.build import image_shape
from keras_senet.models.registry import find_model, list_checkpoints
from keras_senet.pretrained import find_checkpoint
from keras_senet.rewrite.clone import rewritten


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A network that is ready to classify images.

    Attributes:
        probabilities: function from images, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, to float32 probabilities
            `(N, classes)`.
        preprocessing: how to crop and resize an image for the network.
        classes: number of classes.
        class_names: names of the classes; "class 0" and so on if they are not known.
        labels_file: file that contains the names, the network's own or labels.txt; None if they are not known.
        note: what had to be done to the network's outputs, such as logits, to get probabilities; "" for nothing.
        thresholds: for a network that gives an image several labels, the probability that each class must reach; else empty.
        model: Keras model of a `.keras` file or of published weights; None for an exported file, which has no layers to read.

    Example:

    >>> digits = keras_senet.export.open_classifier("saved_models/seresnet20_digits/model.tflite")
    >>> digits.classes, digits.preprocessing.image_size, digits.class_names[:3]
    (10, 32, ['0', '1', '2'])
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    classes: int
    class_names: list[str]
    labels_file: pathlib.Path | None = None
    model: keras.Model | None = None
    note: str = ""
    thresholds: Sequence[float] = ()


def open_classifier(path: str | os.PathLike, image_size: int | None = None) -> Classifier:
    """Opens a trained, exported or published network.

    Args:
        path: `.keras` file; or a file that `keras_senet.export` wrote: a `.tflite`, `.onnx` or `.xml` (OpenVINO) file, or the
            folder of a SavedModel. If there is no such file: the name of one of `keras_senet.list_checkpoints()`, or of a
            network for its published weights.
        image_size: height and width of the images to classify, pixels; by default those that the network was made for. Exported
            networks, and networks with fully connected layers before the classifier, take no other size.

    Returns:
        A `Classifier`. The class names are those inside the file: `train` keeps them in a `.keras` file, and the export copies
        them into a `.tflite` file. Other networks have the lines of a labels.txt, which is in the folder of a SavedModel and
        beside other files, or the names of ImageNet for published weights with 1000 classes. If both are there and differ, a
        warning says so. `.keras` and `.tflite` files of this package say how their images are cropped and resized; others get the
        default of their size. A network that puts out logits, or one number for two classes, gets what makes probabilities of
        them, and `note` says so.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if the file is damaged, is not an image classifier with a fixed square input, or cannot take images of
            `image_size`.
        ImportError: if the package that runs such a file is not installed; the message names the extra to install.

    Example:

    >>> digits = keras_senet.export.open_classifier("saved_models/seresnet20_digits/model.tflite")
    >>> digits.probabilities(np.zeros((1, 32, 32, 3), "float32")).shape
    (1, 10)
    """
    published = published_classifier(path, image_size)
    if published is not None:
        return published
    path = network_path(path)
    return classifier_of(open_runtime(path), path, image_size)


def published_classifier(path: str | os.PathLike, image_size: int | None = None) -> Classifier | None:
    """The published network of this name, if there is one and no file of this name; see `open_classifier`."""
    if os.path.exists(path) or (checkpoint := find_checkpoint(os.fspath(path))) is None:
        return None
    if checkpoint.classes is None:
        raise InputError(f"{checkpoint.name} has no classifier: train one on it, or choose other weights.")
    shape = None if image_size is None else image_shape(image_size)
    construct = find_model(checkpoint.model)
    model = construct(weights=checkpoint.name, classes=checkpoint.classes, input_shape=shape, **checkpoint.options)
    runtime = open_keras_model(model)
    names = imagenet_labels() if checkpoint.classes == 1000 else numbered_labels(checkpoint.classes)
    return Classifier(runtime.run, runtime.preprocessing, checkpoint.classes, names, model=model)


def network_path(path: str | os.PathLike) -> pathlib.Path:
    """The path of a network, which exists.

    Raises:
        FileNotFoundError: if there is nothing; the message lists similar names of files and of published networks.
    """
    try:
        return pathlib.Path(existing_path(path))
    except FileNotFoundError as error:
        published = [name for checkpoint in list_checkpoints() for name in (checkpoint.name, checkpoint.model)]
        near = did_you_mean(os.fspath(path), published)
        if not near:
            raise
        raise MissingFileError(f"{error}{near}") from error


def classifier_of(runtime: Runtime, path: pathlib.Path, image_size: int | None = None) -> Classifier:
    """The network at `path`, opened in a runtime, as a classifier; see `open_classifier`."""
    if image_size is not None and runtime.model is not None:
        runtime = open_keras_model(at_size(runtime.model, image_size, path))
    size, classes = classifier_sizes(runtime.input_shape, runtime.output_shape, path)
    if image_size not in (None, size):
        raise InputError(f"{path} takes images of {size} x {size} pixels and no others. Open the .keras file that it came from.")
    outputs = _outputs(runtime, size)
    classes = max(2, classes)
    thresholds = runtime.thresholds if len(runtime.thresholds) == classes else ()
    check_thresholds(thresholds, path)
    names, labels_file = known_class_names(path, runtime.class_names, classes)
    return Classifier(
        lambda images: outputs.probabilities(runtime.run(images)),
        runtime.preprocessing or Preprocessing(size),
        classes,
        names or numbered_labels(classes),
        labels_file,
        runtime.model,
        "" if thresholds else outputs.note,
        thresholds,
    )


def _outputs(runtime: Runtime, size: int) -> Outputs:
    """What the outputs of the network are: what its model says, or else what they look like on noise."""
    said = None if runtime.model is None else outputs_of(runtime.model)
    return said or outputs_like(runtime.run(np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")))


def at_size(model: keras.Model, image_size: int, owner: object) -> keras.Model:
    """A copy of `model`, with its weights, for images of another size."""
    try:
        return rewritten(model, inputs=keras.Input((image_size, image_size, 3)))
    except ValueError as error:
        raise InputError(f"{owner} cannot take images of {image_size} x {image_size} pixels: {one_line(error)}") from error


def classifier_sizes(input_shape: Sequence | Mapping, output_shape: Sequence | Mapping, owner: object) -> tuple[int, int]:
    """The height and width of the images that `owner` takes, and the number of its classes.

    Raises:
        ValueError: if its input is not RGB images of one fixed square size, or its output is not one number for each class.
    """
    check_task(CLASSIFY, input_shape, output_shape, owner)
    if (
        isinstance(input_shape, Mapping)
        or len(input_shape) != 4
        or not isinstance(input_shape[1], int)
        or tuple(input_shape[2:]) != (input_shape[1], 3)
    ):
        raise InputError(
            f"{owner} must take RGB images of one fixed square size, shape (N, size, size, 3); build it with such an "
            f"`input_shape`. It takes {tuple(input_shape)}."
        )
    if isinstance(output_shape, Mapping) or len(output_shape) != 2 or not isinstance(output_shape[1], int):
        raise InputError(
            f"{owner} must give one probability a class, shape (N, classes); build it with `include_top=True`. "
            f"It gives {tuple(output_shape)}."
        )
    return input_shape[1], output_shape[1]
