"""TFLite files, for phones: float or quantized, with metadata that MediaPipe reads."""

import os
import pathlib
import tempfile
from collections.abc import Sequence

import keras
import numpy as np

from keras_senet.data import LabelledImages
from keras_senet.errors import InputError, did_you_mean, one_line
from keras_senet.export.conversion import convert
from keras_senet.export.detectors import detector_graph
from keras_senet.export.job import LEAST_CALIBRATION_IMAGES, ExportJob
from keras_senet.export.metadata import write_with_metadata
from keras_senet.export.proof import Limits, Proof, first_layer
from keras_senet.export.quantization import QUANTIZATIONS
from keras_senet.inference.detector import detector_of
from keras_senet.inference.labels import thresholds_in
from keras_senet.inference.runtimes import open_tflite, run_keras
from keras_senet.inference.tasks import CLASSIFY, DETECT, KINDS, SEGMENT
from keras_senet.keras_internals import all_layers
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.for_cpu import optimized_for_cpu
from keras_senet.rewrite.for_integers import optimized_for_integers
from keras_senet.rewrite.recognition import with_known_gates


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
    *,
    quantize: str | None = None,
    calibration: LabelledImages | np.ndarray | None = None,
    limits: Limits | None = None,
    keep_failed: bool = False,
    batch_size: int = 1,
    gates: str | None = None,
) -> Proof:
    """Writes a TFLite file that takes RGB pixels in [0, 255], shape `(1, H, W, 3)`, and classifies, detects or segments.

    A network in half precision, such as one with the policy `"mixed_bfloat16"`, is exported as it computes in float32.

    The graph is optimized for XNNPACK, the library that runs such files on a CPU (see `keras_senet.rewrite.for_cpu`, and
    `for_integers`). The file has metadata, so that MediaPipe's ImageClassifier, ObjectDetector or ImageSegmenter opens it as it
    is. Where an image can have several labels, the first returns those that reach their thresholds, with scores in which each
    threshold is 0.5.

    A detector returns "boxes" `(1, D, 4)`, left, top, right and bottom as shares of the sides of the image; "classes" and
    "scores" `(1, D)`, the surest first; and "count" `(1,)`, how many there are. It returns all of them, however unsure; for other
    settings export a network by `keras_senet.detection.detector`. In integers it returns what the network says of its anchors
    instead, "boxes" `(1, A, 4)` and "classes" `(1, A, classes)`, and the metadata says how MediaPipe and `open_detector` make
    boxes of that.
    A segmentation network returns "logits" `(1, H, W, classes)`, or "probabilities" if it ends in them.

    Args:
        model: network with its preprocessing inside: for images of one fixed square size with the top; or a detector by
            `keras_senet.detection`, or a segmentation network for images of one fixed size.
        path: `.tflite` file to write; an existing file is replaced.
        class_names: names of the classes, written into the file, and to labels.txt in the same folder.
        images: images to compare the model and the file on: labelled images from `keras_senet.data.load`, or float32 RGB pixels
            `(N, H, W, 3)` in [0, 255]. With labels, the proof is that accuracy, average precision or mean intersection over union
            stay. The default is a fifth of the calibration images, which is held out from the calibration,
            or noise if there is no calibration.
        quantize: None or "float32" for the numbers as trained; "float16", which halves the file; "dynamic", 8-bit weights and
            feature maps that are quantized as they are computed; "int8", integers only, which takes and returns uint8;
            "int8_float_io", the same with float32 pixels and probabilities; "int16x8", 16-bit feature maps and 8-bit weights,
            which XNNPACK does not support.
        calibration: at least 32 images like those that the file will see, as labelled images or pixels. Integer quantizations
            measure the ranges of feature maps on up to 200 of them.
        limits: accepted differences; by default those of the quantization, with a mean three times as large for detectors and
            segmentation networks.
        keep_failed: whether to keep a file that exceeds the limits, with a warning.
        batch_size: number of images that the file takes at a time.
        gates: name of a layer with one gate per channel, such as one of SE; its gates become a second output, `(1, C)`.
            MediaPipe does not open such a file.

    Returns:
        The result of the comparison, a `Proof`.

    Raises:
        ValueError: if the model has another kind of input or a layer that TFLite does not have, or is a detector in two stages
            and `quantize` one of integers; `path` does not end in `.tflite`, the images have another shape or range or are too
            few, or the file exceeds `limits`. Then the message says by how much, and at which layer the difference starts, and
            nothing is written.
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
    job = ExportJob.of(model, path, class_names, ".tflite", (CLASSIFY, DETECT, SEGMENT))
    model = job.model
    quantize = "float32" if quantize is None else quantize
    if quantize not in QUANTIZATIONS:
        near = did_you_mean(str(quantize), QUANTIZATIONS)
        raise InputError(f"`quantize` must be one of {tuple(QUANTIZATIONS)}. Received: {quantize!r}.{near}")
    quantization = QUANTIZATIONS[quantize]
    measured = None
    if quantization.calibrated:
        if calibration is None:
            raise InputError(
                f"{quantize} needs to measure, on images like those that it will see, which values there are: give at least "
                f"{LEAST_CALIBRATION_IMAGES} of them as `calibration` (--dataset on the command line)."
            )
        measured, held_out = job.calibration(calibration)
        images = held_out if images is None else images
    decoding = None
    if job.task == DETECT:
        inference, decoding = detector_graph(model, quantize)
        outputs = inference.output
    else:
        inference = optimized_for_cpu(model)
        if quantization.calibrated:
            inference = optimized_for_integers(inference)
        outputs = {job.outputs.name: inference.output}
    if gates is not None:
        if job.task != CLASSIFY:
            raise InputError(f"`gates` is for image classifiers. {model.name} is {KINDS[job.task]}.")
        outputs["gates"] = keras.layers.Flatten(dtype="float32")(_gates(model, inference, gates))

    def converted(part: keras.Model) -> bytes:
        return convert(part, quantize, batch_size, measured)

    def differs(part: keras.Model) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "part.tflite"
            file.write_bytes(converted(part))
            before, after = run_keras(part)(job.few(images)), open_tflite(file).run(job.few(images))
        return not np.sqrt(np.mean((after - before) ** 2)) <= quantization.layer_error * np.sqrt(np.mean(before**2)) + 1e-6

    def fails(part: keras.Model) -> bool:
        try:
            converted(part)
        except ValueError:
            return True
        return False

    with job.replacing() as partial:
        try:
            content = converted(keras.Model(inference.inputs, outputs))
        except ValueError as error:
            layer = None if job.task == DETECT else first_layer(inference, fails)
            quantized = any(layer.quantization_mode is not None for layer in all_layers(model))
            advice = (
                "Export it as it was before Keras quantized it, with `quantize`" if quantized else "Build it without that layer"
            )
            place = f", from the layer {layer} on" if layer else ""
            raise InputError(f"{model.name} cannot be converted to TFLite{place}: {one_line(error)}. {advice}.") from error
        write_with_metadata(
            content,
            partial,
            job.path.stem,
            model.name,
            quantize,
            job.class_names,
            job.preprocessing,
            thresholds_in(model),
            job.classes if job.task == DETECT else None,
            decoding,
        )
        runtime, accepted = open_tflite(partial), limits or quantization.limits_for(job.task)
        if job.task == DETECT:
            return job.prove(detector_of(runtime, partial).detections, images, accepted, keep_failed)
        return job.prove(runtime.run, images, accepted, keep_failed, lambda: first_layer(inference, differs))


def _gates(model: keras.Model, inference: keras.Model, name: str) -> keras.KerasTensor:
    """The gates of the layer `name` of `model`, as an output of `inference`, the network that is exported for it."""
    layers = [layer for layer in with_known_gates(model).layers if isinstance(layer, FeatureGate)]
    names = [layer.name for layer in layers if len(layer.gates(layer.input).shape) == 2]
    if name not in names:
        raise InputError(
            "`gates` must name an attention layer with one gate a channel for the whole map, as SE has with squeeze. "
            f"Received: {name!r}.{did_you_mean(name, names)}"
        )
    layer = inference.get_layer(name)
    return layer.gates(layer.input) if isinstance(layer, FeatureGate) else inference.get_layer(f"{name}_expand").output
