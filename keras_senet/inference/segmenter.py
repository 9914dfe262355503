"""A trained segmentation network in any of its forms, opened to classify the pixels of images."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from keras_senet.errors import InputError
from keras_senet.inference.classifier import at_size, network_path
from keras_senet.inference.labels import known_class_names, numbered_labels
from keras_senet.inference.preprocessing import Letterbox
from keras_senet.inference.runtimes import Runtime, open_keras_model, open_runtime
from keras_senet.inference.tasks import SEGMENT, check_task


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """A network that is ready to classify pixels.

    Attributes:
        masks: function from images, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, to the most probable class of each
            pixel, int64 `(N, H, W)`.
        preprocessing: how an image becomes the input of the network.
        classes: number of classes, the background among them.
        class_names: names of the classes; "class 0" and so on if they are not known.
        labels_file: file that contains the names, the network's own or labels.txt; None if they are not known.
        model: Keras model of a `.keras` file; None for an exported file.

    Example:

    >>> from keras_senet.inference.preprocessing import Letterbox
    >>> def bright(images):
    ...     return np.int64(images.mean(axis=-1) > 127)
    >>> segmenter = keras_senet.export.Segmenter(bright, Letterbox(64, 64), classes=2, class_names=["dark", "bright"])
    >>> np.unique(segmenter.masks(np.full((1, 64, 64, 3), 255, "float32")))
    array([1])
    """

    masks: Callable[[np.ndarray], np.ndarray]
    preprocessing: Letterbox
    classes: int
    class_names: list[str]
    labels_file: pathlib.Path | None = None
    model: keras.Model | None = None


def open_segmenter(path: str | os.PathLike, image_size: int | None = None) -> Segmenter:
    """Opens a trained or exported segmentation network.

    Args:
        path: `.keras` file of a network with one number for each class at each pixel, such as those by
            `keras_senet.segmentation.unet` and `deeplab`; or a `.tflite` file that `keras_senet.export` wrote of one.
        image_size: height and width of the images, pixels; by default those that the network was made for. A network for images
            of any size needs it, and an exported one takes no other than its own.

    Returns:
        A `Segmenter`. The class names are those inside the file, or those of a labels.txt beside it.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if the file is damaged, is no segmentation network of RGB images, or cannot take images of `image_size`.
        ImportError: if the package that runs such a file is not installed; the message names the extra to install.

    Example:

    >>> backbone = keras_senet.backbone(keras_senet.SEResNet18(weights=None, include_top=False), levels=(2, 4))
    >>> keras_senet.segmentation.unet(backbone, classes=5).save("network.keras")
    >>> opened = keras_senet.export.open_segmenter("network.keras", image_size=64)
    >>> opened.masks(np.zeros((1, 64, 64, 3), "float32")).shape
    (1, 64, 64)
    """
    path = network_path(path)
    return segmenter_of(open_runtime(path), path, image_size)


def segmenter_of(runtime: Runtime, path: pathlib.Path, image_size: int | None = None) -> Segmenter:
    """The network at `path`, opened in a runtime, as a segmenter; see `open_segmenter`."""
    if image_size is not None and runtime.model is not None:
        runtime = open_keras_model(at_size(runtime.model, image_size, path))
    shape, outputs = tuple(runtime.input_shape), runtime.output_shape
    if is_of_any_size(runtime):
        raise InputError(f"{path} takes images of any size: say which by `image_size` (--image-size on the command line).")
    check_task(SEGMENT, shape, outputs, path)
    if image_size is not None and shape[1:3] != (image_size, image_size):
        raise InputError(f"{path} takes images of {shape[1]} x {shape[2]} pixels and no others.")
    if shape[3] != 3:
        raise InputError(f"{path} must take RGB images of shape (N, H, W, 3). It takes {shape}.")
    classes = int(tuple(outputs)[-1])
    names, labels_file = known_class_names(path, runtime.class_names, classes)
    interpolation = runtime.preprocessing.interpolation if runtime.preprocessing else "bilinear"
    return Segmenter(
        lambda images: runtime.run(images).argmax(axis=-1),
        Letterbox(int(shape[1]), int(shape[2]), interpolation),
        classes,
        names or numbered_labels(classes),
        labels_file,
        runtime.model,
    )


def is_of_any_size(runtime: Runtime) -> bool:
    """Whether a network turns images of any size into maps: a segmenter, or the backbone of another network."""
    shapes = tuple(runtime.input_shape), tuple(runtime.output_shape)
    return all(len(shape) == 4 for shape in shapes) and None in shapes[0][1:3]
