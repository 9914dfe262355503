"""SE in networks of keras.applications: Inception-v3, Inception-ResNet-v2 and MobileNet."""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

import keras

from keras_senet.errors import InputError
from keras_senet.layers.attention import Attention
from keras_senet.models.architecture import Architecture
from keras_senet.models.blocks import BATCH_NORM
from keras_senet.models.build import constructor
from keras_senet.rewrite.insertion import attend_after


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application(Architecture):
    """A network of keras.applications, and its layers that attention follows."""

    build: Callable[..., keras.Model]  # constructor of keras.applications
    arguments: dict = dataclasses.field(default_factory=dict)  # arguments of the constructor
    places: dict[str, tuple[int, str]]  # by layer name: the stage, and the block that gives the attention its name
    paper_settings: bool = False  # see `_PAPER_SETTINGS`
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)


def features(x, net: Application, attention: Attention):
    """The layers from the normalized image to the last feature map."""
    backbone = net.build(include_top=False, weights=None, input_shape=x.shape[1:], **net.arguments)
    config = _config_of_the_paper if net.paper_settings else operator.methodcaller("get_config")
    return attend_after(backbone, x, net.places, attention, config)


def _config_of_the_paper(layer: keras.Layer) -> dict:
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        config |= BATCH_NORM
    for initializer in config.keys() & {"kernel_initializer", "depthwise_initializer"}:
        config[initializer] = "he_normal"
    return config


_PAPER_SETTINGS = (
    "whether to train it as the paper trained its networks: convolutions start as in He et al. (arXiv 1502.01852), and batch "
    "normalization has momentum 0.9 and epsilon 1e-5. By default both are as in keras.applications."
)


def _places(layer: str, blocks: dict[int, range]) -> dict[str, tuple[int, str]]:
    """The places of attention after the layers named by the pattern `layer`, for the block numbers of each stage."""
    names = {layer.format(number): stage for stage, numbers in blocks.items() for number in numbers}
    return {name: (stage, name.removesuffix("_conv").removesuffix("_relu")) for name, stage in names.items()}


# Stages by resolution, as in BN-Inception: maps of 35 x 35, 17 x 17 and 8 x 8.
_INCEPTION: dict[str, Any] = {
    "family": "SE-Inception",
    "stages": (3, 4, 5),
    "input_size": 299,
    "crop_ratio": 299 / 352,
    "min_size": 75,
}

SEInceptionV3 = constructor(
    "SEInceptionV3",
    functools.partial(
        Application,
        build=keras.applications.InceptionV3,
        places=_places("mixed{}", {3: range(4), 4: range(4, 9), 5: range(9, 11)}),
        **_INCEPTION,
    ),
    features,
    "SE-Inception-v3 for ImageNet, with SE after each concatenation.",
    paper_settings=_PAPER_SETTINGS,
)
SEInceptionResNetV2 = constructor(
    "SEInceptionResNetV2",
    functools.partial(
        Application,
        build=keras.applications.InceptionResNetV2,
        places=_places("block35_{}_conv", {3: range(1, 11)})
        | _places("block17_{}_conv", {4: range(1, 21)})
        | _places("block8_{}_conv", {5: range(1, 11)}),
        **_INCEPTION,
    ),
    features,
    "SE-Inception-ResNet-v2 for ImageNet, with SE at the end of each residual branch.",
    paper_settings=_PAPER_SETTINGS,
)


def mobilenet(width_multiplier: float = 1.0, paper_settings: bool = False) -> Application:
    """The architecture of a MobileNet, with attention after each pointwise convolution.

    Raises:
        ValueError: if a layer would have no channels.

    Source: Howard et al., arXiv 1704.04861, table 1 and section 3.3.
    """
    if int(32 * width_multiplier) < 1:
        raise InputError(f"`width_multiplier` must leave the 32 channels of the stem at least one. Received: {width_multiplier}")
    # Stages by resolution, as in a ResNet: stage 1 has half the resolution of the image.
    blocks = {1: range(1, 2), 2: range(2, 4), 3: range(4, 6), 4: range(6, 12), 5: range(12, 14)}
    return Application(
        family="SE-MobileNet",
        build=keras.applications.MobileNet,
        arguments={"alpha": width_multiplier},
        places=_places("conv_pw_{}_relu", blocks),
        stages=tuple(blocks),
        paper_settings=paper_settings,
        dropout=0.001,
    )


SEMobileNet = constructor(
    "SEMobileNet",
    mobilenet,
    features,
    "SE-MobileNet for ImageNet, with SE after each pointwise convolution.",
    width_multiplier="factor on the channels of every layer, such as 1, 0.75 or 0.5.",
    paper_settings=_PAPER_SETTINGS,
)
