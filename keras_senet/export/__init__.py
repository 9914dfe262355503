"""A trained network as a SavedModel or a TFLite file, each checked to compute what was trained, and what running it costs."""

from keras_senet.export.benchmark import Measurement, benchmark
from keras_senet.export.classifier import Classifier, open_classifier
from keras_senet.export.exporters import saved_model, tflite

__all__ = ["Classifier", "Measurement", "benchmark", "open_classifier", "saved_model", "tflite"]
