"""A trained network as a file for another program, each checked to compute what was trained; and what it costs to run."""

from keras_senet.export.conversion import MODES
from keras_senet.export.exporters import onnx, openvino, saved_model, tflite
from keras_senet.export.latency import Measurement, benchmark
from keras_senet.export.proof import Limits, Proof
from keras_senet.inference.classifier import Classifier, open_classifier
from keras_senet.rewrite.inference import fold_batch_norm

__all__ = [
    "MODES",
    "Classifier",
    "Limits",
    "Measurement",
    "Proof",
    "benchmark",
    "fold_batch_norm",
    "onnx",
    "open_classifier",
    "openvino",
    "saved_model",
    "tflite",
]
