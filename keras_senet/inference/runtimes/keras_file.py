"""Keras: `.keras` files, and models in memory."""

import functools
import os
import zipfile
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_senet import detection  # noqa: F401  # registers the classes of detectors and of their backbones
from keras_senet.errors import InputError, existing_path, one_line
from keras_senet.files import refuse_stand_in
from keras_senet.inference.labels import class_names_in, thresholds_in
from keras_senet.inference.preprocessing import Preprocessing, image_shape_of, preprocessing_for
from keras_senet.inference.runtimes.runtime import Runtime
from keras_senet.inference.tasks import shapes_of


def load_keras_model(path: str | os.PathLike) -> keras.Model:
    """`keras.saving.load_model` of a `.keras` file, with errors that say what is wrong with the file."""
    path = existing_path(path)
    if not path.endswith(".keras"):
        raise InputError(f"A trained network is a .keras file. Received: {path}")
    refuse_stand_in(path)
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is damaged, or not a .keras file.")
    try:
        return keras.saving.load_model(path, compile=False)
    except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a Keras model: {one_line(error)}") from error


def run_keras(model: keras.Model, training: bool = False) -> Callable:
    """`model` as a function of NumPy arrays, or dictionaries of them, which computes as in evaluation, or as in `training`.

    `model.predict` would compile with XLA, which on a CPU is slower than TensorFlow's own kernels.
    """
    forward = functools.partial(model, training=training)
    if keras.backend.backend() == "tensorflow":
        forward = tf.function(forward, reduce_retracing=True)

    def run(inputs):
        tensors = keras.tree.map_structure(lambda array: keras.ops.convert_to_tensor(array, "float32"), inputs)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, forward(tensors))

    return run


def open_keras_model(model: keras.Model) -> Runtime:
    """A model in memory."""
    input_shape, output_shape = shapes_of(model)
    return Runtime(
        run_keras(model),
        input_shape,
        output_shape,
        model=model,
        class_names=class_names_in(model),
        preprocessing=preprocessing_of(model),
        thresholds=thresholds_in(model),
    )


def open_keras_file(path: str | os.PathLike) -> Runtime:
    """A `.keras` file."""
    return open_keras_model(load_keras_model(path))


def preprocessing_of(model: keras.Model) -> Preprocessing:
    """The preprocessing that `model` states, or, if it states none, the default for its image size."""
    try:
        return preprocessing_for(model)
    except ValueError:
        return Preprocessing(image_shape_of(model)[0])
