"""Published weights: the table of them, download and cache, and the conversion of every layout into ours."""

from keras_senet.checkpoints.cache import keras_file
from keras_senet.checkpoints.files import SUFFIXES, Weights, assign, read_weights
from keras_senet.checkpoints.layouts import parameter_names
from keras_senet.checkpoints.table import CHECKPOINTS, Checkpoint

__all__ = ["CHECKPOINTS", "SUFFIXES", "Checkpoint", "Weights", "assign", "keras_file", "parameter_names", "read_weights"]
