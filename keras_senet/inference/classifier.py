"""A trained network in any of its forms, opened to be run: a .keras file, a SavedModel, a TFLite file."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_senet.errors import InputError, MissingFileError, did_you_mean, existing_path, require
from keras_senet.export.metadata import read_metadata
from keras_senet.inference.preprocessing import Preprocessing, decode_predictions, preprocessing_for
from keras_senet.models.build import image_shape
from keras_senet.models.registry import find_model, list_checkpoints
from keras_senet.pretrained import find_checkpoint

LABELS_FILE = "labels.txt"


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A network that is ready to run.

    Attributes:
        probabilities: function from images, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, to an array of float32
            probabilities `(N, classes)`.
        preprocessing: the size of those images, and which part of a picture they show.
        classes: number of its classes.
        class_names: their names; "class 0" and so on where they are not known.
        labels_file: the file that holds these names; None if there is none.
        model: the Keras model, of a `.keras` file or of published weights; None of an exported file, which has no layers.
    """

    probabilities: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    classes: int
    class_names: list[str]
    labels_file: pathlib.Path | None = None
    model: keras.Model | None = None


def open_classifier(path: str | os.PathLike, image_size: int | None = None) -> Classifier:
    """Opens a network that was trained, exported or published.

    Args:
        path: a `.keras` file, or what the functions of `keras_senet.export` write: a `.tflite`, `.onnx` or `.xml` (OpenVINO)
            file, or the folder of a SavedModel. Or, where there is no such file, the name of one of
            `keras_senet.list_checkpoints()`, or of a network, for its published weights.
        image_size: height and width of the images that it shall take, pixels; by default those that it was made for. Exported
            networks take no others, nor do those with fully connected layers between feature map and classifier.

    Returns:
        A `Classifier`. Its class names are the lines of the file labels.txt in the same folder, if there is one, and those of
        ImageNet for published weights of 1000 classes; a `.tflite` file may bring them itself. `.keras` and `.tflite` files say
        how their images were cut and resized, if they are of this package; others look at what is usual for their size.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if it is damaged, of another kind, or not an image classifier with a fixed square input; or if it cannot take
            images of `image_size`.
        ImportError: if the package that runs such a file is not installed; the message names the extra that brings it.

    Example:

    >>> digits = keras_senet.export.open_classifier("saved_models/seresnet20_digits/model.tflite")
    >>> digits.probabilities(np.zeros((1, 32, 32, 3), "float32")).shape
    (1, 10)
    """
    if not os.path.exists(path) and (checkpoint := find_checkpoint(os.fspath(path))) is not None:
        shape = None if image_size is None else image_shape(image_size)
        model = find_model(checkpoint.model)(weights=checkpoint.name, classes=checkpoint.classes, input_shape=shape)
        names = _imagenet_names() if checkpoint.classes == 1000 else _numbers(checkpoint.classes)
        return Classifier(run_keras(model), preprocessing_of(model), checkpoint.classes, names, model=model)
    try:
        path = pathlib.Path(existing_path(path))
    except FileNotFoundError as error:
        near = did_you_mean(os.fspath(path), [name for one in list_checkpoints() for name in (one.name, one.model)])
        if not near:
            raise
        raise MissingFileError(f"{error}{near}") from error
    model = preprocessing = None
    if path.suffix == ".keras":
        model = load_keras_model(path)
        if image_size is not None:
            model = _at_size(model, image_size, path)
        preprocessing = preprocessing_of(model)
        run, input_shape, output_shape = run_keras(model), model.input_shape, model.output_shape
    elif path.suffix in _OPENERS:
        run, input_shape, output_shape = _OPENERS[path.suffix](path)
    elif (path / "saved_model.pb").is_file():
        run, input_shape, output_shape = open_saved_model(path)
    else:
        raise InputError(
            f"{path} is neither a .keras file, nor a .tflite, .onnx or .xml (OpenVINO) file, nor the folder of a SavedModel."
        )
    size, classes = classifier_sizes(input_shape, output_shape, path)
    if image_size not in (None, size):
        raise InputError(f"{path} takes images of {size} x {size} pixels and no others. Open the .keras file that it came from.")
    names, labels_file = read_labels(path, classes), path.with_name(LABELS_FILE)
    if path.suffix == ".tflite":
        inside, preprocessing = read_metadata(path)
        if not names:
            names, labels_file = inside, path
    return Classifier(
        run, preprocessing or Preprocessing(size), classes, names or _numbers(classes), labels_file if names else None, model
    )


def _at_size(model: keras.Model, image_size: int, owner: object) -> keras.Model:
    """A copy of `model`, with its weights, for images of another size."""
    try:
        copy = keras.models.clone_model(model, input_tensors=keras.Input((image_size, image_size, 3)))
        copy.set_weights(model.get_weights())
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{owner} cannot take images of {image_size} x {image_size} pixels: {reason}") from error
    return copy


def preprocessing_of(model: keras.Model) -> Preprocessing:
    """What `model` says of its images, or what is usual for their size where it says nothing."""
    try:
        return preprocessing_for(model)
    except ValueError:
        return Preprocessing(model.input_shape[1])


def _numbers(classes: int) -> list[str]:
    return [f"class {index}" for index in range(classes)]


def _imagenet_names() -> list[str]:
    """The names of ImageNet's classes, which Keras downloads."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # for its progress
            return [name for ((_, name, _),) in decode_predictions(np.eye(1000), top=1)]
    except Exception as error:  # Keras has no class for it
        warnings.warn(f"Classes have numbers in place of names, which could not be downloaded: {error}", stacklevel=2)
        return _numbers(1000)


def classifier_sizes(input_shape: Sequence, output_shape: Sequence, owner: object) -> tuple[int, int]:
    """The H and W of the images that `owner` takes, and the number of its classes.

    Raises:
        ValueError: if it takes anything else than RGB images of one fixed square size, or gives anything else than one number
            a class.
    """
    if len(input_shape) != 4 or not isinstance(input_shape[1], int) or tuple(input_shape[2:]) != (input_shape[1], 3):
        raise InputError(
            f"{owner} must take RGB images of one fixed square size, shape (N, size, size, 3); build it with such an "
            f"`input_shape`. It takes {tuple(input_shape)}."
        )
    if len(output_shape) != 2 or not isinstance(output_shape[1], int):
        raise InputError(
            f"{owner} must give one probability a class, shape (N, classes); build it with `include_top=True`. "
            f"It gives {tuple(output_shape)}."
        )
    return input_shape[1], output_shape[1]


def read_labels(path: pathlib.Path, classes: int) -> list[str]:
    """The class names from the file beside the network at `path`; none if there is no such file."""
    labels = path.with_name(LABELS_FILE)
    if not labels.is_file():
        return []
    names = labels.read_text(encoding="utf-8").splitlines()
    if len(names) != classes:
        raise InputError(
            f"{labels} names {len(names)} classes, but the network beside it has {classes}: correct it, or choose "
            "another folder for the network."
        )
    return names


def load_keras_model(path: str | os.PathLike) -> keras.Model:
    """`keras.saving.load_model` of a `.keras` file, with errors that say what is wrong with the file."""
    path = existing_path(path)
    if not path.endswith(".keras"):
        raise InputError(f"A trained network is a .keras file. Received: {path}")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is damaged, or not a .keras file.")
    try:
        return keras.saving.load_model(path, compile=False)
    except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a Keras model: {' '.join(str(error).split())}") from error


def run_keras(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """`model` as a function from images to probabilities; not by `predict`, which uses XLA, on a CPU slower than TensorFlow."""
    forward = functools.partial(model, training=False)
    if keras.backend.backend() == "tensorflow":
        forward = tf.function(forward, reduce_retracing=True)
    return lambda images: keras.ops.convert_to_numpy(forward(keras.ops.convert_to_tensor(images, "float32")))


def open_saved_model(path: str | os.PathLike, signature: str = "serving_default") -> tuple[Callable, list, list]:
    """One signature of a SavedModel: a function of one array, the shape that this has, the shape of the result."""
    try:
        loaded = tf.saved_model.load(os.fspath(path))
        forward = loaded.signatures[signature]
        ((argument, source),) = forward.structured_input_signature[1].items()
        ((output, result),) = forward.structured_outputs.items()
    except (KeyError, OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(f"{path} cannot be read as a SavedModel that classifies images: {error}") from error
    # A signature lives only as long as the object that it was loaded with, hence the default argument.
    return (
        lambda inputs, keep=loaded: forward(**{argument: tf.convert_to_tensor(inputs)})[output].numpy(),
        source.shape.as_list(),
        result.shape.as_list(),
    )


def open_tflite(path: str | os.PathLike) -> tuple[Callable, list, list]:
    """A TFLite file: a function of a number of images, float32 pixels, the shapes of its input and of its output."""
    litert = require("ai_edge_litert.interpreter", "mobile")
    try:
        interpreter = litert.Interpreter(model_path=os.fspath(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        (source,) = interpreter.get_input_details()
        outputs = interpreter.get_signature_runner().get_output_details() if interpreter.get_signature_list() else {}
        result = outputs["probabilities"] if "probabilities" in outputs else interpreter.get_output_details()[0]
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path} is damaged, or not a TFLite image classifier: {' '.join(str(error).split())}") from error
    batch_size = source["shape"][0]

    def run_batch(images):
        batch = np.resize(images, source["shape"])  # the last one is filled up
        interpreter.set_tensor(source["index"], _quantized(batch, source))
        interpreter.invoke()
        return _dequantized(interpreter.get_tensor(result["index"]), result)[: len(images)]

    def run(images):
        return np.concatenate([run_batch(images[start : start + batch_size]) for start in range(0, len(images), batch_size)])

    return run, source["shape"].tolist(), result["shape"].tolist()


def _quantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    if not np.issubdtype(tensor["dtype"], np.integer):
        return values.astype(tensor["dtype"])
    scale, zero = tensor["quantization"]
    accepted = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / (scale or 1) + zero), accepted.min, accepted.max).astype(tensor["dtype"])


def _dequantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    scale, zero = tensor["quantization"]
    return (values.astype("float32") - zero) * scale if scale else values


def open_onnx(path: str | os.PathLike) -> tuple[Callable, list, list]:
    """An ONNX file: a function of a batch, the shapes of its input and of its output."""
    runtime = require("onnxruntime", "runtimes")
    try:
        session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        (source,), (result, *_) = session.get_inputs(), session.get_outputs()
    except Exception as error:  # the runtime's own error classes are not public
        raise InputError(f"{path} is damaged, or not an ONNX image classifier: {' '.join(str(error).split())}") from error
    return (
        lambda images: session.run([result.name], {source.name: np.asarray(images, "float32")})[0],
        source.shape,
        result.shape,
    )


def open_openvino(path: str | os.PathLike) -> tuple[Callable, list, list]:
    """An OpenVINO file, with its weights beside it: a function of a batch, the shapes of its input and of its output."""
    runtime = require("openvino", "runtimes")
    try:
        # OpenVINO computes in 16 bits where a processor has them, unless told otherwise.
        compiled = runtime.Core().compile_model(os.fspath(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        shapes = [
            [dimension.get_length() if dimension.is_static else None for dimension in port.partial_shape]
            for port in (compiled.input(0), compiled.output(0))
        ]
    except RuntimeError as error:
        raise InputError(f"{path} is damaged, or not an OpenVINO image classifier: {' '.join(str(error).split())}") from error
    return (lambda images: compiled(np.asarray(images, "float32"))[0], *shapes)


_OPENERS = {".tflite": open_tflite, ".onnx": open_onnx, ".xml": open_openvino}
