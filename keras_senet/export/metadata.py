"""The metadata of a TFLite file, for MediaPipe Tasks on a phone and for this package.

Class names, preprocessing, thresholds and anchors are files in a zip archive at the end of the TFLite file, where MediaPipe
expects them. We build the metadata here, since the writers in MediaPipe's package cannot be imported: they need a compiled
module it lacks.

MediaPipe filters scores by one threshold for all classes. So where each class has its own, we use its score calibration, which
shifts the logit of each class such that its threshold becomes 0.5. MediaPipe then returns shifted scores; the labels are ours.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np

from keras_senet.detection.anchors import VARIANCE
from keras_senet.detection.detecting import Decoding
from keras_senet.errors import FileError, InputError, require
from keras_senet.files import as_lines
from keras_senet.inference.labels import DEFAULT_THRESHOLD
from keras_senet.inference.metadata import CALIBRATION, DETECTOR, LABELS, PREPROCESSING, calibration_of, read_metadata
from keras_senet.inference.preprocessing import Preprocessing


def write_with_metadata(
    content: bytes,
    path: pathlib.Path,
    name: str,
    network: str,
    numbers: str,
    class_names: Sequence[str] | None,
    preprocessing: Preprocessing,
    thresholds: Sequence[float] = (),
    classes: int | None = None,
    decoding: Decoding | None = None,
) -> None:
    """Writes a TFLite file with metadata, and its outputs in the order in which MediaPipe expects them.

    Args:
        content: content of the file without metadata; the names of its outputs say what they are.
        path: path to write to.
        name: name of the file in the metadata.
        network: name of the network.
        numbers: quantization.
        class_names: names of the classes, if they are known.
        preprocessing: how images are cropped and resized.
        thresholds: the threshold of each label; empty if an image has one label.
        classes: of a detector, the number of its classes.
        decoding: of a detector that does not return boxes, what makes boxes of its outputs.

    Raises:
        ImportError: if mediapipe is not installed.
    """
    info = require("mediapipe.tasks.python.metadata.metadata_writers.metadata_info", "mobile")
    schema = require("mediapipe.tasks.metadata.metadata_schema_py_generated", "mobile")
    litert = require("ai_edge_litert.tools.flatbuffer_utils", "mobile")
    file = litert.read_model_from_bytearray(bytearray(content))
    if not file.signatureDefs:  # which the converter loses without a word where it cannot write its temporary files
        path.write_bytes(content)  # raises what is wrong, such as a full disk
        raise FileError(f"{path} has no names of its outputs: TensorFlow could not write to its folder for temporary files.")
    graph = file.subgraphs[0]
    tensors = {output.name.decode(): output.tensorIndex for output in file.signatureDefs[0].outputs}
    kind = {"tensor_type": graph.tensors[graph.inputs[0]].type}
    # Mean 0 and std 1, since our networks normalize the pixels themselves.
    pixels = info.InputImageTensorMd("images", "RGB pixels in [0, 255]", [0.0], [1.0], schema.ColorSpaceType.RGB, **kind)
    columns = classes or graph.tensors[tensors[next(iter(tensors.keys() & {"probabilities", "logits"}))]].shape[-1]
    known = class_names and len(class_names) == columns  # not one number for two
    subgraph = schema.SubGraphMetadataT()
    subgraph.inputTensorMetadata = [pixels.create_metadata()]
    labels = [info.LabelFileMd(LABELS)] if known else None
    if "boxes" in tensors:
        described = _raw_detections(labels) if decoding else _detections(labels)
        subgraph.customMetadata = [_ssd(decoding)] if decoding else None
        if not decoding:
            group = schema.TensorGroupT()
            group.name, group.tensorNames = "detection_result", ["location", "category", "score"]
            subgraph.outputTensorGroups = [group]
    elif len(graph.tensors[graph.outputs[0]].shape) == 4:
        described = {next(iter(tensors)): info.SegmentationMaskMd("masks", "a number for each class", labels).create_metadata()}
        subgraph.customMetadata = [_activation("logits" in tensors)]
    else:
        described = _probabilities(tensors, labels, thresholds, kind)
    subgraph.outputTensorMetadata = list(described.values())
    graph.outputs = [tensors[name] for name in described]
    general = info.GeneralMd(name, description=f"{network}, {numbers}").create_metadata()
    general.subgraphMetadata, general.minParserVersion = [subgraph], "1.0.0"
    file.buffers.append(litert.schema_fb.BufferT(_packed(general, b"M001")))
    file.metadata = [*(file.metadata or []), litert.schema_fb.MetadataT("TFLITE_METADATA", len(file.buffers) - 1)]
    path.write_bytes(litert.convert_object_to_bytearray(file))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(PREPROCESSING, json.dumps(dataclasses.asdict(preprocessing)))
        if class_names:
            archive.writestr(LABELS, as_lines(class_names))
        if thresholds:
            archive.writestr(CALIBRATION, calibration_of(thresholds))
        if classes:
            archive.writestr(DETECTOR, json.dumps({"classes": classes} if decoding is None else dataclasses.asdict(decoding)))


def _packed(table, identifier: bytes) -> np.ndarray:
    builder = flatbuffers.Builder()
    builder.Finish(table.Pack(builder), identifier)
    return np.frombuffer(builder.Output(), np.uint8)


def _probabilities(tensors: dict[str, int], labels, thresholds: Sequence[float], kind: dict) -> dict:
    """The metadata of the outputs of a classifier, by their names in the file."""
    info = require("mediapipe.tasks.python.metadata.metadata_writers.metadata_info", "mobile")
    schema = require("mediapipe.tasks.metadata.metadata_schema_py_generated", "mobile")
    output = info.ClassificationTensorMd("probabilities", "one for each class", labels, **kind).create_metadata()
    if thresholds:
        file_of_calibration = info.AssociatedFileMd(
            CALIBRATION, "moves each threshold to 0.5", schema.AssociatedFileType.TENSOR_AXIS_SCORE_CALIBRATION
        )
        output.associatedFiles = [*(output.associatedFiles or []), file_of_calibration.create_metadata()]
        calibration, thresholding = schema.ProcessUnitT(), info.ScoreThresholdingMd(DEFAULT_THRESHOLD).create_metadata()
        calibration.optionsType = schema.ProcessUnitOptions.ScoreCalibrationOptions
        calibration.options = schema.ScoreCalibrationOptionsT(schema.ScoreTransformationType.INVERSE_LOGISTIC)
        output.processUnits = [calibration, thresholding]
    (name,) = tensors.keys() - {"gates"}
    if "gates" not in tensors:
        return {name: output}
    return {name: output, "gates": info.TensorMd("gates", "by what attention multiplies each channel").create_metadata()}


def _detections(labels) -> dict:
    """The metadata of the outputs of a detector that returns boxes."""
    info = require("mediapipe.tasks.python.metadata.metadata_writers.metadata_info", "mobile")
    axis = {"content_range_md": info.ValueRangeMd(2, 2)}
    location = info.LocationTensorMd("location", "left, top, right and bottom as shares of the sides", **axis).create_metadata()
    location.content.contentProperties.index = [0, 1, 2, 3]
    return {
        "boxes": location,
        "classes": info.CategoryTensorMd("category", "from 0", labels, **axis).create_metadata(),
        "scores": info.ClassificationTensorMd("score", "probability", **axis).create_metadata(),
        "count": info.TensorMd("number of detections", "the surest first").create_metadata(),
    }


def _raw_detections(labels) -> dict:
    """The metadata of the outputs of a detector of which others make boxes."""
    info = require("mediapipe.tasks.python.metadata.metadata_writers.metadata_info", "mobile")
    return {
        "boxes": info.LocationTensorMd("location", "what is to be decoded by the anchors").create_metadata(),
        "classes": info.ClassificationTensorMd("score", "logits", labels).create_metadata(),
    }


def _ssd(decoding: Decoding):
    """How MediaPipe makes boxes: as detectors of the family of SSD do."""
    made = require("mediapipe.tasks.metadata.object_detector_metadata_schema_py_generated", "mobile")
    height, width = decoding.anchors.image_size
    boxes = decoding.anchors.boxes() / np.array([width, height] * 2)
    anchors = made.FixedAnchorsSchemaT()
    anchors.anchors = []
    for left, top, right, bottom in boxes.tolist():
        anchor = made.FixedAnchorT()
        anchor.xCenter, anchor.yCenter = (left + right) / 2, (top + bottom) / 2
        anchor.width, anchor.height = right - left, bottom - top
        anchors.anchors.append(anchor)
    said = made.TensorsDecodingOptionsT()
    said.numClasses, said.numBoxes, said.numCoords = decoding.classes, len(boxes), 4
    said.keypointCoordOffset, said.numKeypoints, said.numValuesPerKeypoint = 0, 0, 2
    said.xScale, said.yScale, said.wScale, said.hScale = (1 / each for each in VARIANCE)
    said.applyExponentialOnBoxSize = said.sigmoidScore = True
    options = made.ObjectDetectorOptionsT()
    options.ssdAnchorsOptions, options.tensorsDecodingOptions = made.SsdAnchorsOptionsT(), said
    options.ssdAnchorsOptions.fixedAnchorsSchema = anchors
    return _custom("DETECTOR_METADATA", options)


def _activation(logits: bool):
    """What MediaPipe makes probabilities of pixels by."""
    made = require("mediapipe.tasks.metadata.image_segmenter_metadata_schema_py_generated", "mobile")
    options = made.ImageSegmenterOptionsT()
    options.activation = made.Activation.SOFTMAX if logits else made.Activation.NONE
    return _custom("SEGMENTER_METADATA", options)


def _custom(name: str, options):
    schema = require("mediapipe.tasks.metadata.metadata_schema_py_generated", "mobile")
    custom = schema.CustomMetadataT()
    custom.name, custom.data = name, _packed(options, b"V001")
    return custom


def describe(path: str | os.PathLike) -> dict:
    """The metadata of a TFLite file for people to read; empty if there are none.

    Raises:
        ImportError: if mediapipe or ai-edge-litert is not installed.
        ValueError: if the file is damaged, or not one of this package.
    """
    schema = require("mediapipe.tasks.metadata.metadata_schema_py_generated", "mobile")
    litert = require("ai_edge_litert.tools.flatbuffer_utils", "mobile")
    try:
        file = litert.read_model(os.fspath(path))
        packed = [file.buffers[entry.buffer].data for entry in file.metadata or [] if entry.name == b"TFLITE_METADATA"]
        if not packed:
            return {}
        metadata = schema.ModelMetadataT.InitFromPackedBuf(bytearray(packed[0]))
        (subgraph,) = metadata.subgraphMetadata
        (pixels,), (normalization,) = subgraph.inputTensorMetadata, subgraph.inputTensorMetadata[0].processUnits
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"{path} is damaged, or has other metadata than an image classifier of this package.") from error
    labels, preprocessing, thresholds, *_ = read_metadata(path)
    return {
        "name": metadata.name.decode(),
        "description": metadata.description.decode(),
        "input": pixels.description.decode(),
        "mean": [float(value) for value in normalization.options.mean],
        "std": [float(value) for value in normalization.options.std],
        "preprocessing": preprocessing and dataclasses.asdict(preprocessing),
        "labels": labels,
        "thresholds": thresholds,
    }
