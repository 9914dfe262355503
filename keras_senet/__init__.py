"""Squeeze-and-Excitation networks for Keras 3."""

import importlib

from keras_senet import analysis, layers
from keras_senet.models import (
    SENet154,
    SEResNet18,
    SEResNet20,
    SEResNet32,
    SEResNet34,
    SEResNet44,
    SEResNet50,
    SEResNet56,
    SEResNet101,
    SEResNet110,
    SEResNet152,
    SEResNeXt50,
    SEResNeXt101,
    list_models,
)

__version__ = "0.1.0"

__all__ = [
    "SENet154",
    "SEResNeXt50",
    "SEResNeXt101",
    "SEResNet18",
    "SEResNet20",
    "SEResNet32",
    "SEResNet34",
    "SEResNet44",
    "SEResNet50",
    "SEResNet56",
    "SEResNet101",
    "SEResNet110",
    "SEResNet152",
    "analysis",
    "data",
    "export",
    "layers",
    "list_models",
    "training",
]


def __getattr__(name: str):
    # These import TensorFlow, so they wait until somebody needs them.
    if name in ("data", "export", "training"):
        return importlib.import_module(f"keras_senet.{name}")
    raise AttributeError(f"module 'keras_senet' has no attribute {name!r}")
