"""Exports, each run and compared with the network it came from before it takes its place."""

import os
import pathlib
import tempfile
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_senet.data import LabelledImages, evaluation_image
from keras_senet.errors import InputError, did_you_mean, require
from keras_senet.export.conversion import MODES, convert
from keras_senet.export.metadata import write_with_metadata
from keras_senet.export.proof import Limits, Proof, first_layer
from keras_senet.export.source import LEAST_CALIBRATION_IMAGES, Source
from keras_senet.files import replacing
from keras_senet.inference.runtimes import open_onnx, open_openvino, open_saved_model, open_tflite, run_keras
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.inference import cheaper_to_run, fold_batch_norm


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
) -> Proof:
    """Writes a SavedModel for TensorFlow Serving and other TensorFlow programs, in the graph that `tflite` uses.

    It has two signatures: `serving_default` takes `images`, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, and
    `serve_encoded` takes `image_bytes`, JPEG or PNG files as strings `(N,)`, whose centre it crops and resizes as evaluation
    does. Both give `probabilities` `(N, classes)`.

    Args:
        model: a network with its preprocessing inside, for images of one fixed square size, with the top.
        path: the folder to write; a SavedModel that is there already is replaced.
        class_names: names of the classes, written to labels.txt in the same folder as `path`.
        images: on what the two are compared, as for `tflite`.

    Returns:
        What the comparison found, a `Proof`.

    Raises:
        ValueError: if the model takes another kind of input, `path` is something else than a SavedModel, or the result does not
            compute what the model computes: the largest difference in probability is over 1e-4. Then nothing is left behind.
        FileNotFoundError: if the folder that `path` lies in does not exist.

    Example:

    >>> images = keras.Input((32, 32, 3))
    >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    >>> model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    >>> keras_senet.export.saved_model(model, "saved_model").agreement
    1.0
    """
    source = Source.of(model, path, class_names)
    if source.path.exists() and not (source.path / "saved_model.pb").is_file():
        raise InputError(f"{path} exists and is not a SavedModel: choose another folder.")
    inference = cheaper_to_run(model)

    def run(images):
        return {"probabilities": inference(images, training=False)}

    def decode(image_bytes):
        return tf.map_fn(
            lambda encoded: evaluation_image(encoded, source.preprocessing),
            image_bytes,
            fn_output_signature=tf.TensorSpec(model.input_shape[1:], tf.float32),
        )

    with source.replacing() as partial:
        archive = keras.export.ExportArchive()
        archive.track(inference)
        archive.add_endpoint("serving_default", run, [source.images(batch_size=None)])
        signature = [tf.TensorSpec((None,), tf.string, name="image_bytes")]
        archive.add_endpoint("serve_encoded", lambda image_bytes: run(decode(image_bytes)), signature)
        archive.write_out(str(partial), verbose=False)
        files = np.array([tf.io.encode_png(image).numpy() for image in source.noise().astype("uint8")])
        encoded = open_saved_model(partial, "serve_encoded")
        source.prove(lambda pixels: encoded.run(files), decode(tf.constant(files)).numpy())
        return source.prove(open_saved_model(partial).run, images)


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
    *,
    quantize: str | None = None,
    calibration: LabelledImages | np.ndarray | None = None,
    limits: Limits | None = None,
    keep: bool = False,
    batch_size: int = 1,
    gates: str | None = None,
) -> Proof:
    """Writes a TFLite file that classifies images: RGB pixels in [0, 255], shape `(1, H, W, 3)`.

    The graph is shaped for XNNPACK, the library that computes such files on a CPU (`keras_senet.rewrite.inference` says how), and
    metadata makes it a file that MediaPipe's ImageClassifier opens as it is.

    Args:
        model: a network with its preprocessing inside, for images of one fixed square size, with the top.
        path: the `.tflite` file to write; one that is there already is replaced.
        class_names: names of the classes, written into the file, and to labels.txt in the same folder.
        images: on what the model and the file are compared: labelled images from `keras_senet.data.load`, or float32 RGB pixels
            `(N, H, W, 3)` in [0, 255]. By default a fifth of the calibration, which is held out from it then, or noise.
        quantize: None or "float32" for the numbers as trained; "float16", which halves the file; "dynamic", with weights of 8
            bits and maps quantized as they come; "int8", integers alone, which takes and gives uint8; "int8_float_io", the same
            between float32 pixels and probabilities; "int16x8", with maps of 16 bits and weights of 8, which XNNPACK does not
            compute.
        calibration: images like those that the file will see, at least 32, as labelled images or pixels. The modes of integers
            measure on up to 200 of them which values there are.
        limits: what may be lost, in place of the mode's own.
        keep: whether to keep a file that loses more, with a warning.
        batch_size: number of images that the file takes at a time.
        gates: name of a layer with one gate a channel, as those of SE, which are a second output, `(1, C)`; MediaPipe does not
            open such a file.

    Returns:
        What the comparison found, a `Proof`.

    Raises:
        ValueError: if the model takes another kind of input, has a layer that TFLite cannot compute, `path` does not end in
            `.tflite`, images are of another shape or range or too few, or the file loses more than `limits`: the message says
            what, and at which layer the difference starts. Then nothing is left behind.
        FileNotFoundError: if the folder of `path` does not exist.
        ImportError: if ai-edge-litert, which runs the file, or mediapipe, which writes its metadata, is not installed.

    Example:

    >>> images = keras.Input((32, 32, 3))
    >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    >>> model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    >>> photographs = np.random.uniform(0, 255, (40, 32, 32, 3))
    >>> proof = keras_senet.export.tflite(model, "model.tflite", quantize="int8", calibration=photographs)
    >>> proof.images, proof.agreement
    (8, 1.0)
    """
    source = Source.of(model, path, class_names, ".tflite")
    quantize = "float32" if quantize is None else quantize
    if quantize not in MODES:
        raise InputError(f"`quantize` must be one of {tuple(MODES)}. Received: {quantize!r}.{did_you_mean(str(quantize), MODES)}")
    mode = MODES[quantize]
    measured = None
    if mode.calibrated:
        if calibration is None:
            raise InputError(
                f"{quantize} needs to measure, on images like those that it will see, which values there are: give at least "
                f"{LEAST_CALIBRATION_IMAGES} of them as `calibration` (--dataset on the command line)."
            )
        measured, held_out = source.calibration(calibration)
        images = held_out if images is None else images
    inference = cheaper_to_run(model)
    outputs = {"probabilities": inference.output}
    if gates is not None:
        outputs["gates"] = keras.layers.Flatten()(_gates(model, inference, gates))

    def converted(part: keras.Model) -> bytes:
        return convert(part, quantize, batch_size, measured)

    def differs(part: keras.Model) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "part.tflite"
            file.write_bytes(converted(part))
            before, after = run_keras(part)(source.few(images)), open_tflite(file).run(source.few(images))
        return not np.sqrt(np.mean((after - before) ** 2)) <= mode.layer_error * np.sqrt(np.mean(before**2)) + 1e-6

    def fails(part: keras.Model) -> bool:
        try:
            converted(part)
        except ValueError:
            return True
        return False

    with source.replacing() as partial:
        try:
            content = converted(keras.Model(inference.inputs, outputs))
        except ValueError as error:
            layer = first_layer(inference, fails)
            raise InputError(
                f"{model.name} cannot be converted to TFLite, from the layer {layer} on: {error}. Build it without that layer."
            ) from error
        write_with_metadata(
            content, partial, source.path.stem, model.name, quantize, class_names, source.preprocessing, bool(gates)
        )
        accepted = limits or mode.limits
        return source.prove(open_tflite(partial).run, images, accepted, keep, lambda: first_layer(inference, differs))


def onnx(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
) -> Proof | None:
    """Writes an ONNX file by Keras' own exporter, with batch normalization folded.

    Args:
        model: a network with its preprocessing inside, for images of one fixed square size, with the top.
        path: the `.onnx` file to write.
        class_names: names of the classes, written to labels.txt in the same folder.
        images: on what the two are compared, as for `tflite`.

    Returns:
        What the comparison found, a `Proof`; None, with a warning, if onnxruntime, which runs the file, is not installed.

    Raises:
        ValueError: as `saved_model`.
        FileNotFoundError: if the folder of `path` does not exist.
        ImportError: if tf2onnx, by which Keras exports, is not installed.
    """
    require("tf2onnx", "runtimes")
    source = Source.of(model, path, class_names, ".onnx")
    folded = fold_batch_norm(model)
    for layer in folded.layers:
        if isinstance(layer, keras.layers.Normalization):  # tf2onnx takes tensors that a function finds outside itself for inputs
            layer.mean, layer.variance = map(keras.ops.convert_to_numpy, (layer.mean, layer.variance))
    with source.replacing() as partial:
        source.export_by_keras(folded, partial, "onnx")
        try:
            require("onnxruntime", "runtimes")
        except ImportError as error:
            warnings.warn(f"{source.path.name} was not checked. {error}", stacklevel=2)
            return None
        return source.prove(open_onnx(partial).run, images)


def openvino(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
) -> Proof:
    """Writes OpenVINO's pair of files by Keras' own exporter, with batch normalization folded.

    Args:
        model: a network with its preprocessing inside, for images of one fixed square size, with the top.
        path: the `.xml` file to write; the weights come beside it in a `.bin` file.
        class_names: names of the classes, written to labels.txt in the same folder.
        images: on what the two are compared, as for `tflite`.

    Returns:
        What the comparison found, a `Proof`.

    Raises:
        ValueError: as `saved_model`.
        FileNotFoundError: if the folder of `path` does not exist.
        ImportError: if openvino, which writes and runs the files, is not installed.
    """
    require("openvino", "runtimes")
    source = Source.of(model, path, class_names, ".xml")
    with replacing(source.path.with_suffix(".bin")), source.replacing() as partial:  # OpenVINO names both alike
        source.export_by_keras(fold_batch_norm(model), partial, "openvino")
        return source.prove(open_openvino(partial).run, images)


def _gates(model: keras.Model, inference: keras.Model, name: str) -> keras.KerasTensor:
    """The gates of a layer of `model`, in the network that was made of it to be exported."""
    layers = [layer for layer in model.layers if isinstance(layer, FeatureGate)]
    of_channels = [layer.name for layer in layers if len(layer.gates(layer.input).shape) == 2]
    if name not in of_channels:
        raise InputError(
            "`gates` must name an attention layer with one gate a channel for the whole map, as SE has with squeeze. "
            f"Received: {name!r}.{did_you_mean(name, of_channels)}"
        )
    layer = inference.get_layer(name)
    return layer.gates(layer.input) if isinstance(layer, FeatureGate) else inference.get_layer(f"{name}_expand").output
