"""Squeeze-and-Excitation networks for Keras 3."""

import importlib
import sys

if sys.argv[:1] == ["-m"]:  # `python -m keras_senet` runs this file before __main__.py; sys.argv says so in the meantime
    from keras_senet_command import silence_tensorflow

    silence_tensorflow()

from keras_senet import analysis, layers, models, pretrained
from keras_senet.analysis import gates
from keras_senet.inference.preprocessing import Preprocessing, decode_predictions, preprocessing_for
from keras_senet.models import *  # noqa: F403 - all of models.__all__
from keras_senet.rewrite.adding import add_se
from keras_senet.rewrite.removing import remove_se

__version__ = "0.1.0"

# These import TensorFlow, so they wait until somebody needs them.
_WAITING = ("data", "export", "training")

__all__ = [
    *models.__all__,
    *_WAITING,
    "Preprocessing",
    "add_se",
    "analysis",
    "pretrained",
    "decode_predictions",
    "gates",
    "layers",
    "preprocessing_for",
    "remove_se",
]


def __getattr__(name: str):
    if name in _WAITING:
        return importlib.import_module(f"keras_senet.{name}")
    raise AttributeError(f"module 'keras_senet' has no attribute {name!r}")
