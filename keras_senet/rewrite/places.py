"""The places of SE in the networks of keras.applications, and layers that a caller chooses by name or function."""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable

import keras

from keras_senet.errors import InputError, did_you_mean, named
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.graph import layers_by_name, models_within
from keras_senet.rewrite.recognition import se_blocks

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


@dataclasses.dataclass(frozen=True)
class Family:
    """Networks of keras.applications that name their layers alike.

    Attributes:
        name: of the family.
        sign: regular expression of the name of a layer that all networks of this family have, and those of no other family.
        places: regular expression of the names of the layers that SE follows.
    """

    name: str
    sign: str
    places: str


# SE stands at the end of each residual branch, before the addition; after each concatenation of Inception and NASNet; after
# each pointwise convolution of MobileNet and Xception; and after each convolution of VGG, which has its ReLU inside.
FAMILIES = (
    Family("ResNet", r"conv2_block1_3_bn", r"conv\d_block\d+_3_bn"),
    Family("ResNet V2", r"post_bn", r"conv\d_block\d+_3_conv"),
    Family("DenseNet", r"pool2_conv", r"conv\d_block\d+_2_conv"),  # its branches are concatenated, not added
    Family("Inception-ResNet", r"block8_10_conv", r"block\d+_\d+_conv"),
    Family("Inception", r"mixed10", r"mixed\d+"),
    Family("MobileNet", r"conv_pw_13_relu", r"conv_pw_\d+_relu"),
    # Only the blocks that have a shortcut.
    Family("MobileNet V2", r"expanded_conv_project_BN", r"block_([245789]|1[1245])_project_BN"),
    Family("Xception", r"block14_sepconv2_bn", r"block\d+_sepconv\d_bn"),
    Family("NASNet", r"normal_concat_0", r"(normal|reduction)_concat_.*"),
    Family("ConvNeXt", r".*_stage_0_block_0_layer_scale", r".*_stage_\d_block_\d+_layer_scale"),
    Family("VGG", r"block5_conv3", r"block\d_conv\d"),
)


def usual_places(model: keras.Model) -> list[str]:
    """The names of the layers that SE follows if `add_se` is called without `after`.

    Args:
        model: a network of `keras.applications`, or a functional or sequential model that contains some.

    Raises:
        ValueError: if `model` has SE already, or is and contains no network of a known family.
    """
    layers = layers_by_name(model)
    if found := [*(name for name, layer in layers.items() if isinstance(layer, FeatureGate)), *se_blocks(model)]:
        raise InputError(f"This network has SE already, in {found[0]!r}. To put more into it say where with `after`.")
    places = []
    for prefix, inner in models_within(model):
        names = [layer.name for layer in inner.layers]
        for family in FAMILIES:
            if any(re.fullmatch(family.sign, name) for name in names):
                places += [prefix + name for name in names if re.fullmatch(family.places, name)]
    if places:
        return places
    raise InputError(
        "This network is of no family of keras.applications whose usual places for SE are known: say with `after` which layers "
        f"it shall follow{_example(layers)}."
    )


def _example(layers: dict[str, keras.layers.Layer]) -> str:
    """ ", such as ..." with the last layer that attention can follow; nothing if there is none."""
    maps = [name for name, layer in layers.items() if type(layer) in _CONVOLUTIONS and layer.quantization_mode is None]
    return f", such as after={maps[-1]!r}" if maps else ""


def matching_layers(
    layers: dict[str, keras.layers.Layer], after: str | Iterable[str] | Callable[[keras.layers.Layer], bool]
) -> list[str]:
    """The names of the layers that the argument `after` of `add_se` means.

    Raises:
        ValueError: if it is neither a regular expression, nor names, nor a function, or matches no layer.
    """
    if callable(after) and not isinstance(after, keras.layers.Layer):
        if matching := [name for name, layer in layers.items() if after(layer)]:
            return matching
        raise InputError(
            f"`after` is a function that chooses none of the {len(layers)} layers: name some{_example(layers)}. "
            f"Received: after={after}"
        )
    texts = [after] if isinstance(after, str) else list(after) if isinstance(after, Iterable) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError(f"`after` must be a regular expression, names of layers, or a function. Received: after={after!r}")
    literal = not isinstance(after, str)
    return [name for text in texts for name in matching_names(text, layers, argument="after", literal=literal)]


def matching_names(text: str, names: Collection[str], argument: str, literal: bool = False) -> list[str]:
    """The names of the layers that `text` means, which matches a whole name, with the models around a layer or without.

    Args:
        text: a regular expression, or a name if it is `literal`.
        names: names of all layers.
        argument: name of the argument that `text` was passed as, for the message.
        literal: whether `text` is a name.

    Raises:
        ValueError: if `text` is no regular expression, or matches no layer; the message suggests the nearest names.
    """
    try:
        pattern = re.compile(re.escape(text) if literal else text)
    except re.error as error:
        raise InputError(
            f"`{argument}` must be a regular expression, in which .* stands for any letters, and {error}. Received: {text!r}"
        ) from error
    matching = [name for name in names if pattern.fullmatch(name) or pattern.fullmatch(name.rpartition("/")[2])]
    if not matching:
        near = did_you_mean(text, names) or f" The layers are {named(names)}."
        raise InputError(f"`{argument}` matches none of the {len(names)} layers. Received: {text!r}.{near}")
    return matching
