"""SE networks for 32 x 32 images: a stem of one 3x3 convolution, and three stages with the units of four papers."""

import functools
from typing import Any

from keras_senet.errors import InputError
from keras_senet.layers.attention import ATTENTION_POSITIONS
from keras_senet.models.blocks import preactivated_residual, shake_shake_residual
from keras_senet.models.build import constructor
from keras_senet.models.resnet import ResNet, features


def _architecture(depths: int, **fields) -> ResNet:
    common: dict[str, Any] = {
        "family": "CIFAR",
        "depths": (depths,) * 3,
        "stages": (2, 3, 4),
        "bottleneck": False,
        "widths": (16, 32, 64),
        "stem_kernel_size": 3,
        "stem_widths": (16,),
        "stem_pooling": None,
        "mean": (0.4914, 0.4822, 0.4465),
        "std": (0.2470, 0.2435, 0.2616),
        "classes": 10,
        "input_size": 32,
        "min_size": 8,
    }
    return ResNet(**common | fields)


def _network(name: str, architecture, description: str, **options: str):
    return constructor(name, architecture, features, f"{description} for images of CIFAR's size.", **options)


def _basic(depth: int, suffix: str = ""):
    # He et al., arXiv 1512.03385, section 4.2.
    return _network(
        f"SEResNet{depth}{suffix}", _architecture((depth - 2) // 6, projection="padded"), f"SE-ResNet-{depth}{suffix}"
    )


SEResNet20, SEResNet32, SEResNet44, SEResNet56 = (_basic(depth) for depth in (20, 32, 44, 56))
SEResNet110V1 = _basic(110, "V1")


def _preactivated(depth: int, **fields):
    # He et al., arXiv 1603.05027, section 5 and appendix.
    architecture = _architecture(18, unit=preactivated_residual, projection="linear", activated_stem=True, **fields)
    return _network(f"SEResNet{depth}", architecture, f"SE-ResNet-{depth} with pre-activation")


# The paper's tables 4 and 5 have this ResNet-110, not that of 2015: they cite 1603.05027, and its error of 6.37 %.
SEResNet110 = _preactivated(110)
SEResNet164 = _preactivated(164, bottleneck=True)


def wide_resnet(depth: int = 16, width: int = 8) -> ResNet:
    """The architecture of a wide residual network.

    Raises:
        ValueError: if there is no such network of this depth or width.

    Source: Zagoruyko and Komodakis, arXiv 1605.07146, section 3 and table 1.
    """
    if not (isinstance(depth, int) and isinstance(width, int)) or depth < 10 or (depth - 4) % 6 or width < 1:
        raise InputError(
            "A wide residual network has a `depth` of 10, 16, 22, 28, ... (4 more than a multiple of 6) and a `width` of 1, 2, "
            f"3, ... Received: depth={depth}, width={width}"
        )
    widths = (16 * width, 32 * width, 64 * width)
    return _architecture((depth - 4) // 6, unit=preactivated_residual, widths=widths, projection="linear")


SEWideResNet = _network(
    "SEWideResNet",
    wide_resnet,
    "SE-WRN, a wide residual network with SE of any depth and width,",
    depth="number of convolutions in its longest path: 10, 16, 22, 28, ...",
    width="width of the stages, as a multiple of those of a ResNet.",
)

# There is no single first 3x3 convolution: each branch has one.
_POSITIONS = tuple(position for position in ATTENTION_POSITIONS if position != "3x3")

# Gastaldi, arXiv 1705.07485, section 2.1.
SHAKE_SHAKE = _architecture(4, unit=shake_shake_residual, widths=(96, 192, 384), projection="shifted", positions=_POSITIONS)
SEShakeShake26_2x96d = _network("SEShakeShake26_2x96d", SHAKE_SHAKE, "SE-Shake-Shake-26 2x96d")

# The same, section 2.2, on ResNeXt-29 2x4x64d: bottlenecks with 4 groups of 64 channels and their multiples.
SEShakeEven29_2x4x64d = _network(
    "SEShakeEven29_2x4x64d",
    _architecture(
        3,
        unit=functools.partial(shake_shake_residual, backward="even"),
        bottleneck=True,
        widths=(64, 128, 256),
        groups=4,
        stride_in_3x3=True,
        positions=_POSITIONS,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        classes=100,
    ),
    "SE-Shake-Even-29 2x4x64d",
)
