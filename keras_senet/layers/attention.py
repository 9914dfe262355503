"""Attention by name: which layer, and where in a network."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import keras

from keras_senet.errors import InputError
from keras_senet.layers.concurrent_squeeze_excite import ConcurrentSqueezeExcite
from keras_senet.layers.convolutional_block_attention import ConvolutionalBlockAttention
from keras_senet.layers.coordinate_attention import CoordinateAttention
from keras_senet.layers.data_format import channel_axis
from keras_senet.layers.effective_squeeze_excite import EffectiveSqueezeExcite
from keras_senet.layers.efficient_channel_attention import EfficientChannelAttention
from keras_senet.layers.feature_gate import FeatureGate
from keras_senet.layers.gather_excite import GatherExcite
from keras_senet.layers.global_context import GlobalContext
from keras_senet.layers.spatial_squeeze_excite import SpatialSqueezeExcite
from keras_senet.layers.squeeze_excite import SqueezeExcite
from keras_senet.settings import lists_as_tuples, setting

# Where attention stands in a residual unit (arXiv 1709.01507, section 6.5, figure 5): on the residual branch before the
# addition; before the unit; after the addition; on the identity branch; after the first 3x3 convolution.
ATTENTION_POSITIONS = ("standard", "pre", "post", "identity", "3x3")

ATTENTIONS: dict[str, type[FeatureGate]] = {
    "se": SqueezeExcite,
    "eca": EfficientChannelAttention,
    "ese": EffectiveSqueezeExcite,
    "cse": SqueezeExcite,  # as it is called beside the next two
    "sse": SpatialSqueezeExcite,
    "scse": ConcurrentSqueezeExcite,
    "cbam": ConvolutionalBlockAttention,
    "ge": GatherExcite,
    "gc": GlobalContext,
    "coord": CoordinateAttention,
}


# A network has the attention that it was published with, if nothing else is said.
_OWN: dict[str, Any] = {"default_text": "that of the network"}


@dataclasses.dataclass(frozen=True)
class AttentionConfig:
    """The attention of a network: the arguments about it that every constructor takes."""

    attention: str | Callable | None = setting(
        "se", f"attention layer: {', '.join(ATTENTIONS)}, or none for the plain network", **_OWN
    )
    reduction: int = setting(16, "channels for each hidden unit of the excitation", minimum=1, **_OWN)
    squeeze: str | None = setting("avg", "how a channel is summarized: avg, max, or none for gates at each position", **_OWN)
    gate: str | Callable = setting("sigmoid", "activation that makes the gates", **_OWN)
    use_bias: bool = setting(
        True, "biases in the fully connected layers of the excitation; the paper's ablations have none", **_OWN
    )
    attention_position: str = setting("standard", "place of the attention in each block", choices=ATTENTION_POSITIONS, **_OWN)
    attention_stages: tuple[int, ...] | None = setting(None, "stages that get attention, or none for all", **_OWN)

    def __post_init__(self):
        lists_as_tuples(self)


def attention_layer(
    config: AttentionConfig, default: AttentionConfig = AttentionConfig()
) -> Callable[..., keras.layers.Layer] | None:
    """The function that makes an attention layer: `make(name=...)`.

    Args:
        config: what to make. A layer of `ATTENTIONS` gets those fields that are arguments of it.
        default: the values that the other fields must have.

    Returns:
        The function; None for no attention.

    Raises:
        ValueError: if there is no attention of this name, or it does not have an argument whose value is not the default.
    """
    attention = config.attention
    layer = ATTENTIONS.get(attention) if isinstance(attention, str) else attention
    if attention is not None and not callable(layer):
        raise InputError(
            f"`attention` must be None, one of {', '.join(map(repr, ATTENTIONS))}, or a function `attention(name=...)` that "
            f"returns a layer. Received: attention={attention!r}"
        )
    accepted = inspect.signature(layer).parameters if layer is not attention else {}
    excitation = {option: getattr(config, option) for option in ("reduction", "squeeze", "gate", "use_bias")}
    taken = {option: value for option, value in excitation.items() if option in accepted}
    for option, value in excitation.items():
        if option not in taken and value != (expected := getattr(default, option)):
            raise InputError(
                f"attention={attention!r} takes no `{option}`: leave it as it is by default, {expected!r}, or choose another "
                f"attention. Received: {option}={value!r}"
            )
    return functools.partial(layer, **taken) if taken else layer


@dataclasses.dataclass(frozen=True)
class Attention:
    """The attention of a network that is being built."""

    layer: Callable[..., keras.layers.Layer] | None  # makes a layer, `layer(name=...)`; None for a plain network
    position: str
    stages: tuple[int, ...]
    reduction: int | None = None  # channels for each hidden unit of the excitation; None for a layer of the user
    hidden_divisor: int = 1  # the number of hidden units is rounded to a multiple of it

    def in_block(self, stage: int, block: str, channels: int | None = None) -> Callable:
        """The function `attend(x, here)` of one block: it applies attention if `here` is its position, else it returns `x`.

        Args:
            stage: number of the stage.
            block: name of the block.
            channels: the number of which the hidden units are a share; None for the channels of `x`.
        """

        def attend(x, here: str = "standard"):
            if self.layer is None or here != self.position or stage not in self.stages:
                return x
            return self.layer(name=f"{block}_se", **self._hidden_units(channels, x))(x)

        return attend

    def _hidden_units(self, channels: int | None, x) -> dict[str, int]:
        """The number of hidden units as an argument of the layer; none where that follows from its `reduction`."""
        follows = channels is None and self.hidden_divisor == 1
        if follows or not isinstance(self.reduction, int) or self.reduction < 1:  # the layer refuses what is no reduction
            return {}
        if "hidden_units" not in inspect.signature(self.layer).parameters:
            return {}
        share = (channels or x.shape[channel_axis()]) / self.reduction
        return {"hidden_units": make_divisible(share, self.hidden_divisor)}


def make_divisible(number: float, divisor: int) -> int:
    """The multiple of `divisor` next to `number`, but at least one of them, and never less than nine tenths of `number`."""
    multiple = max(1, math.floor(number / divisor + 0.5)) * divisor
    return multiple if multiple >= 0.9 * number else multiple + divisor
