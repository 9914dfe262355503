"""Published weights: their catalogue, their download, and the conversion of every format and layout."""

from keras_senet.pretrained.assignment import assign
from keras_senet.pretrained.catalogue import CHECKPOINTS, Checkpoint, checkpoints_of, find_checkpoint
from keras_senet.pretrained.download import keras_file
from keras_senet.pretrained.layouts import parameter_names
from keras_senet.pretrained.readers import SUFFIXES, read_weights
from keras_senet.pretrained.weights import Weights

__all__ = [
    "CHECKPOINTS",
    "SUFFIXES",
    "Checkpoint",
    "Weights",
    "assign",
    "checkpoints_of",
    "find_checkpoint",
    "keras_file",
    "parameter_names",
    "read_weights",
]
