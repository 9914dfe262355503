"""Networks: one file for each family, and the contract that all their constructors keep."""

from keras_senet.models.cifar import SEResNet20, SEResNet32, SEResNet44, SEResNet56, SEResNet110
from keras_senet.models.constructor import find_model, list_models
from keras_senet.models.resnet import (
    SENet154,
    SEResNet18,
    SEResNet34,
    SEResNet50,
    SEResNet101,
    SEResNet152,
    SEResNeXt50,
    SEResNeXt101,
)

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
    "find_model",
    "list_models",
]
