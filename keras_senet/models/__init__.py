"""Networks: one file for each family, and the contract that all constructors share."""

# In the order of `list_models`.
# isort: off
from keras_senet.models.registry import list_checkpoints, list_families, list_models
from keras_senet.models.resnet import (
    SENet154,
    SEResNet18,
    SEResNet34,
    SEResNet50,
    SEResNet101,
    SEResNet152,
    SEResNet152D,
    SEResNeXt26,
    SEResNeXt26D,
    SEResNeXt26T,
    SEResNeXt101_32x8d,
    SEResNeXt101_64x4d,
    SEResNeXt101D_32x8d,
    SEResNeXtAA101D_32x8d,
    SEResNeXtAA201D_32x8d,
    SEResNeXt50,
    SEResNeXt101,
)
from keras_senet.models.inception import SEBNInception
from keras_senet.models.vgg import SEVGG16
from keras_senet.models.shufflenet import SEShuffleNet
from keras_senet.models.applications import SEInceptionResNetV2, SEInceptionV3, SEMobileNet
from keras_senet.models.cifar import (
    SEResNet20,
    SEResNet32,
    SEResNet44,
    SEResNet56,
    SEResNet110,
    SEResNet110V1,
    SEResNet164,
    SEShakeEven29_2x4x64d,
    SEShakeShake26_2x96d,
    SEWideResNet,
)
# isort: on

__all__ = [
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
    "SEResNet110V1",
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
    "SEShakeEven29_2x4x64d",
    "SEShakeShake26_2x96d",
    "SEShuffleNet",
    "SEVGG16",
    "SEWideResNet",
    "list_checkpoints",
    "list_families",
    "list_models",
]
