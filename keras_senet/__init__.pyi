"""Public names for editors and type checkers, which do not run the code that makes them. By tests/stubs.py."""

import os
from collections.abc import Callable

import keras

from keras_senet import analysis, data, export, layers, models, pretrained, training
from keras_senet.analysis import gates
from keras_senet.inference.preprocessing import Preprocessing, decode_predictions, preprocessing_for
from keras_senet.models.registry import list_checkpoints, list_models
from keras_senet.rewrite.adding import add_se
from keras_senet.rewrite.removing import remove_se

__version__: str
__all__ = [
    "Preprocessing",
    "SEBNInception",
    "SEInceptionResNetV2",
    "SEInceptionV3",
    "SEMobileNet",
    "SENet154",
    "SEResNeXt101",
    "SEResNeXt101D_32x8d",
    "SEResNeXt101_32x8d",
    "SEResNeXt101_64x4d",
    "SEResNeXt26",
    "SEResNeXt26D",
    "SEResNeXt26T",
    "SEResNeXt50",
    "SEResNeXtAA101D_32x8d",
    "SEResNeXtAA201D_32x8d",
    "SEResNet101",
    "SEResNet110",
    "SEResNet152",
    "SEResNet152D",
    "SEResNet164",
    "SEResNet18",
    "SEResNet20",
    "SEResNet32",
    "SEResNet34",
    "SEResNet44",
    "SEResNet50",
    "SEResNet56",
    "SEShakeShake26_2x96d",
    "SEShuffleNet",
    "SEVGG16",
    "SEWideResNet",
    "add_se",
    "analysis",
    "data",
    "decode_predictions",
    "export",
    "gates",
    "layers",
    "list_checkpoints",
    "list_models",
    "models",
    "preprocessing_for",
    "pretrained",
    "remove_se",
    "training",
]

def SEResNet18(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet18",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-18 for ImageNet."""

def SEResNet34(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet34",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-34 for ImageNet."""

def SEResNet50(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet50",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-50 for ImageNet."""

def SEResNet101(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet101",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-101 for ImageNet."""

def SEResNet152(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet152",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-152 for ImageNet."""

def SEResNet152D(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet152d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-152-D for ImageNet."""

def SEResNeXt26(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext26",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-26 (32x4d) for ImageNet."""

def SEResNeXt26D(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext26d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-26-D (32x4d) for ImageNet."""

def SEResNeXt26T(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext26t",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-26-T (32x4d) for ImageNet."""

def SEResNeXt50(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext50",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-50 (32x4d) for ImageNet."""

def SEResNeXt101(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext101",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-101 (32x4d) for ImageNet."""

def SEResNeXt101_64x4d(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext101_64x4d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-101 (64x4d) for ImageNet."""

def SEResNeXt101_32x8d(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext101_32x8d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-101 (32x8d) for ImageNet."""

def SEResNeXt101D_32x8d(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnext101d_32x8d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNeXt-101-D (32x8d) for ImageNet."""

def SEResNeXtAA101D_32x8d(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnextaa101d_32x8d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """Anti-aliased SE-ResNeXt-101-D (32x8d) for ImageNet."""

def SEResNeXtAA201D_32x8d(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnextaa201d_32x8d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """Anti-aliased SE-ResNeXt-201-D (32x8d) for ImageNet."""

def SENet154(
    include_top: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "senet154",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SENet-154 for ImageNet."""

def SEBNInception(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "sebninception",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-BN-Inception for ImageNet."""

def SEVGG16(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "sevgg16",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-VGG-16 with batch normalization for ImageNet."""

def SEShuffleNet(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seshufflenet",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
    groups: int = 3,
    scale: float = 1.0,
) -> keras.Model:
    """SE-ShuffleNet for ImageNet."""

def SEInceptionV3(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seinceptionv3",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-Inception-v3 for ImageNet, with SE after each concatenation."""

def SEInceptionResNetV2(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seinceptionresnetv2",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-Inception-ResNet-v2 for ImageNet, with SE at the end of each residual branch."""

def SEMobileNet(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "semobilenet",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
    width_multiplier: float = 1.0,
) -> keras.Model:
    """SE-MobileNet for ImageNet, with SE after each pointwise convolution."""

def SEResNet20(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet20",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-20 for images of CIFAR's size."""

def SEResNet32(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet32",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-32 for images of CIFAR's size."""

def SEResNet44(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet44",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-44 for images of CIFAR's size."""

def SEResNet56(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet56",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-56 for images of CIFAR's size."""

def SEResNet110(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet110",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-110 for images of CIFAR's size."""

def SEResNet164(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seresnet164",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-ResNet-164 with pre-activation for images of CIFAR's size."""

def SEWideResNet(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "sewideresnet",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
    depth: int = 16,
    width: int = 8,
) -> keras.Model:
    """SE-WRN, a wide residual network with SE of any depth and width, for images of CIFAR's size."""

def SEShakeShake26_2x96d(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "seshakeshake26_2x96d",
    *,
    include_preprocessing: bool = True,
    attention: str | Callable[..., keras.layers.Layer] | None = "se",
    reduction: int = 16,
    squeeze: str | None = "avg",
    gate: str | Callable = "sigmoid",
    attention_position: str = "standard",
    attention_stages: tuple[int, ...] | None = None,
) -> keras.Model:
    """SE-Shake-Shake-26 2x96d for images of CIFAR's size."""
