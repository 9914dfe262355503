"""Trained networks as files for other programs, each proven to compute what the network computes; and what they cost to run."""

from keras_senet.export.formats import EXPORTERS, exporter_for
from keras_senet.export.latency import Measurement, benchmark
from keras_senet.export.proof import Limits, Proof
from keras_senet.export.quantization import QUANTIZATIONS
from keras_senet.export.to_onnx import onnx
from keras_senet.export.to_openvino import openvino
from keras_senet.export.to_saved_model import saved_model
from keras_senet.export.to_tflite import tflite
from keras_senet.inference.classifier import Classifier, open_classifier
from keras_senet.inference.detector import Detector, open_detector
from keras_senet.inference.opening import open_network
from keras_senet.inference.segmenter import Segmenter, open_segmenter
from keras_senet.rewrite.folding import fold_batch_norm

__all__ = [
    "EXPORTERS",
    "QUANTIZATIONS",
    "Classifier",
    "Detector",
    "Limits",
    "Measurement",
    "Proof",
    "Segmenter",
    "benchmark",
    "exporter_for",
    "fold_batch_norm",
    "onnx",
    "open_classifier",
    "open_detector",
    "open_network",
    "open_segmenter",
    "openvino",
    "saved_model",
    "tflite",
]
