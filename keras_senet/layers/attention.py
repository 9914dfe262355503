"""Attention by name: which layer, and where in a network."""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import keras

from keras_senet.errors import InputError
from keras_senet.layers.concurrent_squeeze_excite import ConcurrentSqueezeExcite
from keras_senet.layers.convolutional_block_attention import ConvolutionalBlockAttention
from keras_senet.layers.coordinate_attention import CoordinateAttention
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


@dataclasses.dataclass(frozen=True)
class AttentionConfig:
    """The attention of a network: the arguments about it that every constructor takes."""

    attention: str | Callable | None = setting("se", f"attention layer: {', '.join(ATTENTIONS)}, or none for the plain network")
    reduction: int = setting(16, "channels for each hidden unit of the excitation", minimum=1)
    squeeze: str | None = setting("avg", "how a channel is summarized: avg, max, or none for gates at each position")
    gate: str | Callable = setting("sigmoid", "activation that makes the gates")
    use_bias: bool = setting(True, "biases in the fully connected layers of the excitation; the paper's ablations have none")
    attention_position: str = setting("standard", "place of the attention in each block", choices=ATTENTION_POSITIONS)
    attention_stages: tuple[int, ...] | None = setting(None, "stages that get attention; by default all")

    def __post_init__(self):
        lists_as_tuples(self)


def attention_layer(attention: str | Callable | None, **excitation) -> Callable[..., keras.layers.Layer] | None:
    """The function that makes an attention layer: `make(name=...)`.

    Args:
        attention: key of `ATTENTIONS`, such a function, or None.
        **excitation: fields of `AttentionConfig`. A layer of `ATTENTIONS` gets those that are arguments of it; the others must
            have their default values.

    Returns:
        The function; None for None.

    Raises:
        ValueError: if there is no attention of this name, or it does not have an argument whose value is not the default.
    """
    layer = ATTENTIONS.get(attention) if isinstance(attention, str) else attention
    if attention is not None and not callable(layer):
        raise InputError(
            f"`attention` must be None, one of {', '.join(map(repr, ATTENTIONS))}, or a function `attention(name=...)` that "
            f"returns a layer. Received: attention={attention!r}"
        )
    accepted = inspect.signature(layer).parameters if layer is not attention else {}
    taken = {option: value for option, value in excitation.items() if option in accepted}
    for option, value in excitation.items():
        default = getattr(AttentionConfig, option)
        if option not in taken and value != default:
            raise InputError(
                f"attention={attention!r} takes no `{option}`: leave it as it is by default, {default!r}, or choose another "
                f"attention. Received: {option}={value!r}"
            )
    return functools.partial(layer, **taken) if taken else layer


@dataclasses.dataclass(frozen=True)
class Attention:
    """The attention of a network that is being built."""

    layer: Callable[..., keras.layers.Layer] | None  # makes a layer, `layer(name=...)`; None for a plain network
    position: str
    stages: tuple[int, ...]

    def in_block(self, stage: int, block: str) -> Callable:
        """The function `attend(x, here)` of one block: it applies attention if `here` is its position, else it returns `x`."""

        def attend(x, here: str = "standard"):
            if self.layer is None or here != self.position or stage not in self.stages:
                return x
            return self.layer(name=f"{block}_se")(x)

        return attend
