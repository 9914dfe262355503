"""Exports, each run and compared with the network it came from before it takes its place."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_senet.data import evaluation_image
from keras_senet.export.classifier import (
    LABELS_FILE,
    classifier_sizes,
    open_saved_model,
    open_tflite,
    preprocessing_of,
    read_labels,
    run_keras,
)
from keras_senet.files import replacing, write_text
from keras_senet.layers.grouped_conv2d import one_operator

TOLERANCE = 1e-4  # largest difference in probability between a network and its export
_CHECKED_IMAGES = 4


def saved_model(model: keras.Model, path: str | os.PathLike, class_names: Sequence[str] | None = None) -> None:
    """Writes a SavedModel for TensorFlow Serving and other TensorFlow programs.

    It has two signatures: `serving_default` takes `images`, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, and
    `serve_encoded` takes `image_bytes`, JPEG or PNG files as strings `(N,)`, whose centre it crops and resizes as evaluation
    does. Both give `probabilities` `(N, classes)`.

    Args:
        model: a network with its preprocessing inside, for images of one fixed square size, with the top.
        path: the folder to write; a SavedModel that is there already is replaced.
        class_names: names of the classes, written to labels.txt in the same folder as `path`.

    Raises:
        ValueError: if the model takes another kind of input, `path` is something else than a SavedModel, or the result does not
            compute what the model computes: the largest difference in probability, on a batch of random images, is over 1e-4.
            Then nothing is left behind.
        FileNotFoundError: if the folder that `path` lies in does not exist.

    Example:

    >>> model = keras_senet.SEResNet20(weights="saved_models/seresnet20_digits/model.keras")
    >>> keras_senet.export.saved_model(model, "digits")
    """
    image_size, _ = classifier_sizes(model.input_shape, model.output_shape, model.name)
    preprocessing = preprocessing_of(model)
    path = pathlib.Path(path)
    if path.exists() and not (path / "saved_model.pb").is_file():
        raise ValueError(f"{path} exists and is not a SavedModel: choose another folder.")

    def decode_and_run(image_bytes):
        images = tf.map_fn(
            lambda encoded: evaluation_image(encoded, preprocessing),
            image_bytes,
            fn_output_signature=tf.TensorSpec((image_size, image_size, 3), tf.float32),
        )
        return {"probabilities": model(images, training=False)}

    def outputs(partial, images):
        yield open_saved_model(partial)[0](images), images
        encoded = [tf.io.encode_png(image.astype("uint8")).numpy() for image in images]
        decoded = np.stack([evaluation_image(one, preprocessing) for one in encoded])
        yield open_saved_model(partial, "serve_encoded")[0](np.array(encoded)), decoded

    with _checked(model, path, class_names, outputs) as partial:
        archive = _archive(model, tf.TensorSpec((None, image_size, image_size, 3), tf.float32, name="images"))
        archive.add_endpoint("serve_encoded", decode_and_run, [tf.TensorSpec((None,), tf.string, name="image_bytes")])
        archive.write_out(str(partial), verbose=False)


def tflite(model: keras.Model, path: str | os.PathLike, class_names: Sequence[str] | None = None) -> None:
    """Writes a float32 TFLite file that classifies one image: RGB pixels in [0, 255], shape `(1, H, W, 3)`.

    Args:
        model: a network with its preprocessing inside, for images of one fixed square size, with the top.
        path: the `.tflite` file to write; one that is there already is replaced.
        class_names: names of the classes, written to labels.txt in the same folder.

    Raises:
        ValueError: if the model takes another kind of input, `path` does not end in `.tflite`, or the result does not compute
            what the model computes: the largest difference in probability, on a batch of random images, is over 1e-4. Then
            nothing is left behind.
        FileNotFoundError: if the folder of `path` does not exist.
        ImportError: if ai-edge-litert, which runs the file to check it, is not installed.

    Example:

    >>> model = keras_senet.SEResNet20(weights="saved_models/seresnet20_digits/model.keras")
    >>> keras_senet.export.tflite(model, "digits.tflite")
    """
    image_size, _ = classifier_sizes(model.input_shape, model.output_shape, model.name)
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        raise ValueError(f"The name of a TFLite file ends in .tflite. Received: {path}")

    def outputs(partial, images):
        yield open_tflite(partial)[0](images), images

    with _checked(model, path, class_names, outputs) as partial, tempfile.TemporaryDirectory() as folder, one_operator():
        archive = _archive(model, tf.TensorSpec((1, image_size, image_size, 3), tf.float32, name="images"))
        archive.write_out(folder, verbose=False)
        try:
            converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
        except Exception as error:  # the converter's own error class is not public
            raise ValueError(f"{model.name} cannot be converted to TFLite: {error}") from error
        partial.write_bytes(converted)


def _archive(model: keras.Model, images: tf.TensorSpec) -> keras.export.ExportArchive:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", lambda images: {"probabilities": model(images, training=False)}, [images])
    return archive


@contextlib.contextmanager
def _checked(model: keras.Model, path: pathlib.Path, class_names: Sequence[str] | None, outputs: Callable):
    """A temporary name for the export, which takes the place of `path` once it is shown to compute what the model computes.

    `outputs(partial, images)` gives pairs of what the export computed, and the images that the model gets for comparison.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Export runs on the TensorFlow backend, and Keras uses {keras.backend.backend()}: set KERAS_BACKEND=tensorflow. "
            "A .keras file that was saved on another backend loads there."
        )
    classes = model.output_shape[-1]
    if class_names and len(class_names) != classes:
        raise ValueError(f"`class_names` has {len(class_names)} names, but {model.name} has {classes} classes.")
    labels = path.with_name(LABELS_FILE)
    beside = read_labels(path, classes)
    if beside and class_names and beside != list(class_names):
        raise ValueError(f"{labels} holds the class names of another network: choose another folder for {path.name}.")
    with replacing(path) as partial:
        try:
            yield partial
        except tf.errors.OpError as error:  # how TensorFlow says that a disk is full
            raise OSError(error.message) from error
        size = model.input_shape[1]
        images = np.random.default_rng(0).integers(0, 256, (_CHECKED_IMAGES, size, size, 3)).astype("float32")
        run = run_keras(model)
        for exported, compared in outputs(partial, images):
            difference = float(np.max(np.abs(exported - run(compared))))
            if not difference <= TOLERANCE:
                raise ValueError(
                    f"The export of {model.name} does not compute what the model computes: the largest difference in "
                    f"probability is {difference:.2g}, and {TOLERANCE:g} is accepted. Nothing was written."
                )
    if class_names:
        write_text(labels, "".join(f"{name}\n" for name in class_names))
