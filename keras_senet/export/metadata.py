"""The metadata of a TFLite file, for MediaPipe Tasks on a phone and for this package.

Class names, preprocessing and thresholds are files in a zip archive at the end of the TFLite file, where MediaPipe expects them.
We build the metadata here, since the writers in MediaPipe's package cannot be imported: they need a compiled module it lacks.

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

from keras_senet.errors import InputError, require
from keras_senet.files import as_lines
from keras_senet.inference.labels import DEFAULT_THRESHOLD
from keras_senet.inference.metadata import CALIBRATION, LABELS, PREPROCESSING, calibration_of, read_metadata
from keras_senet.inference.preprocessing import Preprocessing


def write_with_metadata(
    content: bytes,
    path: pathlib.Path,
    name: str,
    network: str,
    numbers: str,
    class_names: Sequence[str] | None,
    preprocessing: Preprocessing,
    thresholds: Sequence[float],
    gates: bool,
) -> None:
    """Writes a TFLite file with metadata.

    Args:
        content: content of the file without metadata.
        path: path to write to.
        name: name of the file in the metadata.
        network: name of the network.
        numbers: quantization.
        class_names: names of the classes, if they are known.
        preprocessing: how images are cropped and resized.
        thresholds: the threshold of each label; empty if an image has one label.
        gates: whether the second output is gates.

    Raises:
        ImportError: if mediapipe is not installed.
    """
    info = require("mediapipe.tasks.python.metadata.metadata_writers.metadata_info", "mobile")
    schema = require("mediapipe.tasks.metadata.metadata_schema_py_generated", "mobile")
    litert = require("ai_edge_litert.tools.flatbuffer_utils", "mobile")
    file = litert.read_model_from_bytearray(bytearray(content))
    kind = {"tensor_type": file.subgraphs[0].tensors[file.subgraphs[0].inputs[0]].type}
    # Mean 0 and std 1, since our networks normalize the pixels themselves.
    pixels = info.InputImageTensorMd("images", "RGB pixels in [0, 255]", [0.0], [1.0], schema.ColorSpaceType.RGB, **kind)
    columns = file.subgraphs[0].tensors[file.subgraphs[0].outputs[0]].shape[-1]
    labels = [info.LabelFileMd(LABELS)] if class_names and len(class_names) == columns else None  # not one number for two
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
    outputs = [output]
    if gates:
        outputs.append(info.TensorMd("gates", "by what attention multiplies each channel").create_metadata())
    subgraph = schema.SubGraphMetadataT()
    subgraph.inputTensorMetadata = [pixels.create_metadata()]
    subgraph.outputTensorMetadata = outputs
    described = info.GeneralMd(name, description=f"{network}, {numbers}").create_metadata()
    described.subgraphMetadata, described.minParserVersion = [subgraph], "1.0.0"
    builder = flatbuffers.Builder()
    builder.Finish(described.Pack(builder), b"M001")
    file.buffers.append(litert.schema_fb.BufferT(np.frombuffer(builder.Output(), np.uint8)))
    file.metadata = [*(file.metadata or []), litert.schema_fb.MetadataT("TFLITE_METADATA", len(file.buffers) - 1)]
    path.write_bytes(litert.convert_object_to_bytearray(file))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(PREPROCESSING, json.dumps(dataclasses.asdict(preprocessing)))
        if class_names:
            archive.writestr(LABELS, as_lines(class_names))
        if thresholds:
            archive.writestr(CALIBRATION, calibration_of(thresholds))


def describe(path: str | os.PathLike) -> dict:
    """The metadata of a TFLite file for people to read; empty if there are none.

    Raises:
        ImportError: if mediapipe or ai-edge-litert is not installed.
        ValueError: if the file is damaged, or not an image classifier of this package.
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
    labels, preprocessing, thresholds = read_metadata(path)
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
