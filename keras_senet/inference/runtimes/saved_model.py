"""TensorFlow: the folders of SavedModels."""

import os
import pathlib

import tensorflow as tf

from keras_senet.inference.runtimes.runtime import Runtime, cannot_open


def is_saved_model(path: str | os.PathLike) -> bool:
    """Whether `path` is the folder of a SavedModel."""
    return (pathlib.Path(path) / "saved_model.pb").is_file()


def open_saved_model(path: str | os.PathLike, signature: str = "serving_default") -> Runtime:
    """One signature of a SavedModel that takes one array and returns one."""
    try:
        loaded = tf.saved_model.load(os.fspath(path))
        forward = loaded.signatures[signature]
        ((argument, source),) = forward.structured_input_signature[1].items()
        ((output, result),) = forward.structured_outputs.items()
    except (KeyError, OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise cannot_open(path, "a SavedModel that classifies images", "tensorflow", error) from error

    # The default argument keeps `loaded` alive, since a signature dies with the object that it was loaded with.
    def run(inputs, _loaded=loaded):
        return forward(**{argument: tf.convert_to_tensor(inputs)})[output].numpy()

    return Runtime(run, source.shape.as_list(), result.shape.as_list())
