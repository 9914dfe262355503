"""Squeeze-and-Excitation networks for Keras 3."""

import importlib

from keras_senet import analysis, checkpoints, layers
from keras_senet.models import (
    SEVGG16,
    SEBNInception,
    SEInceptionResNetV2,
    SEInceptionV3,
    SEMobileNet,
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
    SEResNet152D,
    SEResNet164,
    SEResNeXt26,
    SEResNeXt26D,
    SEResNeXt26T,
    SEResNeXt50,
    SEResNeXt101,
    SEResNeXt101_32x8d,
    SEResNeXt101_64x4d,
    SEResNeXt101D_32x8d,
    SEResNeXtAA101D_32x8d,
    SEResNeXtAA201D_32x8d,
    SEShakeShake26_2x96d,
    SEShuffleNet,
    SEWideResNet,
    SEWideResNet16_8,
    list_checkpoints,
    list_models,
)
from keras_senet.preprocessing import Preprocessing, decode_predictions, preprocessing_for

__version__ = "0.1.0"

__all__ = [
    "Preprocessing",
    "SEBNInception",
    "SEInceptionResNetV2",
    "SEInceptionV3",
    "SEMobileNet",
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
    "SEResNet152D",
    "SEResNeXt26",
    "SEResNeXt26D",
    "SEResNeXt26T",
    "SEResNeXt101_32x8d",
    "SEResNeXt101_64x4d",
    "SEResNeXt101D_32x8d",
    "SEResNeXtAA101D_32x8d",
    "SEResNeXtAA201D_32x8d",
    "SEResNet164",
    "SEShakeShake26_2x96d",
    "SEShuffleNet",
    "SEVGG16",
    "SEWideResNet",
    "SEWideResNet16_8",
    "analysis",
    "checkpoints",
    "decode_predictions",
    "data",
    "export",
    "layers",
    "list_checkpoints",
    "list_models",
    "preprocessing_for",
    "training",
]


def __getattr__(name: str):
    # These import TensorFlow, so they wait until somebody needs them.
    if name in ("data", "export", "training"):
        return importlib.import_module(f"keras_senet.{name}")
    raise AttributeError(f"module 'keras_senet' has no attribute {name!r}")
