"""The layouts of published weights: the publisher's name of each parameter, and the architecture that the files imply."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras

from keras_senet.errors import InputError
from keras_senet.keras_internals import saved_parts


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one publisher stores a network."""

    names: Callable[[keras.Model], dict[str, str]]  # names of their parameters to paths of our weights
    classifier: str  # prefix of the names of the classifier's parameters
    architecture: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields that differ from our defaults
    mark: str | None = None  # name of a layer that only networks of that architecture have
    # The fields of the architecture that the names in a file show: those of parameters, or of layers for files of Keras.
    shown: Callable[[Iterable[str]], dict[str, Any]] = lambda names: {}


def parameter_names(model: keras.Model, layout: str) -> dict[str, str]:
    """The publisher's name of each weight of a network.

    Args:
        model: network of this package.
        layout: "timm legacy" for timm's legacy networks, which are also the authors' in PyTorch; "timm" for timm's later ones;
            "timm byobnet" for those of its byobnet.py; "timm regnet" and "torchvision regnet" for a RegNetY; "timm mobilenet" and
            "torchvision mobilenet" for MobileNetV3; "caffe" for the authors' definitions, where a parameter has the name of its
            Caffe layer, followed by `/weight` or `/bias`, or by `/running_mean` or `/running_var` for layers of type BatchNorm;
            "keras" for files of Keras, where a parameter has the name of its layer, the attributes that lead to a layer inside
            it, and a number.

    Returns:
        Dictionary from the publisher's name to our `weight.path`. Weights that the publisher does not have keep our names.

    Raises:
        ValueError: if `layout` is none of these.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None)
    >>> keras_senet.pretrained.parameter_names(network, "timm legacy")["layer1.0.bn1.weight"]
    'stage2_block1_bn1/gamma'
    """
    if layout not in LAYOUTS:
        raise InputError(f"`layout` must be one of {tuple(LAYOUTS)}. Received: {layout!r}")
    return LAYOUTS[layout].names(model)


_TORCH_KINDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_LEGACY_LAYERS = {"stem_conv": "layer0.conv1", "stem_bn": "layer0.bn1", "predictions": "last_linear"} | {
    f"stem_{kind}{index}": f"layer0.{kind}{index}" for kind in ("conv", "bn") for index in (1, 2, 3)
}
_LEGACY_PARTS = {
    "proj_conv": "downsample.0",
    "proj_bn": "downsample.1",
    "se_reduce": "se_module.fc1",
    "se_expand": "se_module.fc2",
}
_LATER_LAYERS = {
    "stem_conv": "conv1",
    "stem_bn": "bn1",
    "stem_conv1": "conv1.0",  # the numbers count the ReLUs between them, too
    "stem_bn1": "conv1.1",
    "stem_conv2": "conv1.3",
    "stem_bn2": "conv1.4",
    "stem_conv3": "conv1.6",
    "stem_bn3": "bn1",
    "stem_pool_conv": "maxpool.0",
    "stem_pool_bn": "maxpool.1",
    "predictions": "fc",
}
_LATER_PARTS = _LEGACY_PARTS | {"se_reduce": "se.fc1", "se_expand": "se.fc2", "se_conv": "se.conv"}
_POOLED_PARTS = _LATER_PARTS | {"proj_conv": "downsample.1", "proj_bn": "downsample.2"}  # after the pooling
_BYOBNET_LAYERS = {
    "head_conv": "final_conv.conv",
    "head_bn": "final_conv.bn",
    "predictions": "head.fc",
} | {f"stem_{kind}{index}": f"stem.conv{index}.{kind}" for kind in ("conv", "bn") for index in (1, 2, 3)}
_BYOBNET_PARTS = {"se_reduce": "attn.fc1", "se_expand": "attn.fc2"} | {
    f"{ours}{kind}{index}": f"{theirs}.{kind}"
    for kind in ("conv", "bn")
    for ours, index, theirs in (("", 1, "conv1_1x1"), ("", 2, "conv2_kxk"), ("", 3, "conv3_1x1"), ("proj_", "", "shortcut"))
}


def _legacy_names(model: keras.Model) -> dict[str, str]:
    return _torch_names(model, _LEGACY_LAYERS, _LEGACY_PARTS)


def _later_names(model: keras.Model) -> dict[str, str]:
    pooled = any(layer.name.endswith("_proj_pool") for layer in model.layers)
    return _torch_names(model, _LATER_LAYERS, _POOLED_PARTS if pooled else _LATER_PARTS)


def _byobnet_names(model: keras.Model) -> dict[str, str]:
    return _torch_names(model, _BYOBNET_LAYERS, _BYOBNET_PARTS, lambda stage, block: f"stages.{stage - 2}.{block - 1}")


_REGNET_LAYERS = {"stem_conv": "stem.conv", "stem_bn": "stem.bn", "predictions": "head.fc"}
_REGNET_PARTS = {f"{kind}{index}": f"conv{index}.{kind}" for kind in ("conv", "bn") for index in (1, 2, 3)} | {
    "proj_conv": "downsample.conv",
    "proj_bn": "downsample.bn",
    "se_reduce": "se.fc1",
    "se_expand": "se.fc2",
}
_TORCHVISION_REGNET_LAYERS = {"stem_conv": "stem.0", "stem_bn": "stem.1", "predictions": "fc"}
_TORCHVISION_REGNET_PARTS = {
    "conv1": "f.a.0",
    "bn1": "f.a.1",
    "conv2": "f.b.0",
    "bn2": "f.b.1",
    "conv3": "f.c.0",
    "bn3": "f.c.1",
    "proj_conv": "proj.0",
    "proj_bn": "proj.1",
    "se_reduce": "f.se.fc1",
    "se_expand": "f.se.fc2",
}


def _regnet_names(model: keras.Model) -> dict[str, str]:
    return _torch_names(model, _REGNET_LAYERS, _REGNET_PARTS, lambda stage, block: f"s{stage - 1}.b{block}")


def _torchvision_regnet_names(model: keras.Model) -> dict[str, str]:
    def name_of_block(stage: int, block: int) -> str:
        return f"trunk_output.block{stage - 1}.block{stage - 1}-{block - 1}"

    return _torch_names(model, _TORCHVISION_REGNET_LAYERS, _TORCHVISION_REGNET_PARTS, name_of_block)


def _resnet_block(stage: int, block: int) -> str:
    return f"layer{stage - 1}.{block - 1}"


def _torch_names(
    model: keras.Model,
    layers: dict[str, str],
    parts: dict[str, str],
    name_of_block: Callable[[int, int], str] = _resnet_block,
) -> dict[str, str]:
    def name(layer: str) -> str:
        block = _BLOCK.fullmatch(layer)
        if block is None:
            return layers.get(layer, layer)
        stage, number, part = block.groups()
        return f"{name_of_block(int(stage), int(number))}.{parts.get(part, part)}"

    return {f"{name(layer)}.{_TORCH_KINDS.get(kind, kind)}": path for layer, kind, path in _weights(model)}


_TIMM_MOBILENET = {"stem_conv": "conv_stem", "stem_bn": "bn1", "fc1": "conv_head", "predictions": "classifier"}
_TORCHVISION_KINDS = {"conv": "0", "bn": "1"}


def _blocks_of(model: keras.Model) -> dict[tuple[str, str], list[str]]:
    """The parts with weights of each block, in the order of the network, by the numbers of its stage and itself."""
    parts: dict[tuple[str, str], list[str]] = {}
    for layer in model.layers:
        if layer.weights and (match := _BLOCK.fullmatch(layer.name)):
            parts.setdefault((match[1], match[2]), []).append(match[3])
    return parts


def _timm_mobilenet_names(model: keras.Model) -> dict[str, str]:
    blocks = _blocks_of(model)
    last = f"blocks.{max((int(stage) for stage, _ in blocks), default=0)}.0"
    layers = _TIMM_MOBILENET | {"last_conv": f"{last}.conv", "last_bn": f"{last}.bn1"}

    def name(layer: str) -> str:
        if not (match := _BLOCK.fullmatch(layer)):
            return layers.get(layer, layer)
        stage, block, part = match.groups()
        expands = "conv3" in blocks[stage, block]
        convs = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
        renamed = {f"conv{index}": conv for index, conv in enumerate(convs, start=1)}
        renamed |= {"se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
        return f"blocks.{int(stage) - 1}.{int(block) - 1}.{renamed.get(part, part)}"

    return {f"{name(layer)}.{_TORCH_KINDS.get(kind, kind)}": path for layer, kind, path in _weights(model)}


def _torchvision_mobilenet_names(model: keras.Model) -> dict[str, str]:
    blocks = _blocks_of(model)
    numbers = {block: number for number, block in enumerate(blocks, start=1)}
    layers = {"fc1": "classifier.0", "predictions": "classifier.3"}
    for ours, number in (("stem", 0), ("last", len(blocks) + 1)):
        layers |= {f"{ours}_{kind}": f"features.{number}.{theirs}" for kind, theirs in _TORCHVISION_KINDS.items()}

    def name(layer: str) -> str:
        if not (match := _BLOCK.fullmatch(layer)):
            return layers.get(layer, layer)
        stage, block, part = match.groups()
        prefix = f"features.{numbers[stage, block]}.block"
        order = [other for other in blocks[stage, block] if not other.startswith("bn")]
        if part.startswith("se_"):
            return f"{prefix}.{order.index('se')}.{'fc1' if part == 'se_reduce' else 'fc2'}"
        kind, index = part[:-1], part[-1]
        return f"{prefix}.{order.index(f'conv{index}')}.{_TORCHVISION_KINDS[kind]}"

    return {f"{name(layer)}.{_TORCH_KINDS.get(kind, kind)}": path for layer, kind, path in _weights(model)}


_BLOCK = re.compile(r"stage(\d)_block(\d+)_(\w+)")


def _weights(model: keras.Model) -> Iterator[tuple[str, str, str]]:
    """The layer, the kind (such as "kernel"), and the path of each weight."""
    for weight in model.weights:
        *_, layer, kind = weight.path.split("/")
        yield layer, kind, weight.path


_CAFFE_KINDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "bn/scale/weight",
    "beta": "bn/scale/bias",
    "moving_mean": "bn/running_mean",
    "moving_variance": "bn/running_var",
}
_CAFFE_LAYERS = {
    "stem": "conv1/7x7_s2",
    "stem1": "conv1_1/3x3_s2",
    "stem2": "conv1_2/3x3",
    "stem3": "conv1_3/3x3",
    "stem_3x3_reduce": "conv2/3x3_reduce",
    "stem_3x3": "conv2/3x3",
    "predictions": "classifier",
}
_CAFFE_PARTS = {
    "1": "1x1_reduce",
    "2": "3x3",
    "3": "1x1_increase",
    "proj": "1x1_proj",
    "se_reduce": "1x1_down",
    "se_expand": "1x1_up",
}


def _caffe_names(model: keras.Model) -> dict[str, str]:
    inception = any(layer.name.endswith("_concat") for layer in model.layers)

    def name(layer: str) -> str:
        block = _BLOCK.fullmatch(layer)
        part = layer if block is None else block[3]
        part = re.sub(r"_?(?:conv|bn)(\d?)$", r"\1", part)  # a convolution and its normalization share one name
        if block is None:
            return _CAFFE_LAYERS.get(part, part)
        stage, number = block[1], block[2]
        if not inception:
            return f"conv{stage}_{number}_{_CAFFE_PARTS.get(part, part)}"
        module = f"inception_{stage}{'abcdefghij'[int(number) - 1]}"
        return f"{module}_{_CAFFE_PARTS[part]}" if part.startswith("se_") else f"{module}/{part}"

    return {f"{name(layer)}/{_CAFFE_KINDS.get(kind, kind)}": path for layer, kind, path in _weights(model)}


def _keras_names(model: keras.Model) -> dict[str, str]:
    """The names in a file of Keras: a layer, the attributes that lead to a layer inside it, and a number."""
    names = {}

    def visit(layer: keras.Layer, prefix: str) -> None:
        own = [weight.path for weight in layer.weights if weight.path.split("/")[-2] == layer.name]
        names.update({f"{prefix}/{number}": path for number, path in enumerate(own)})
        for name, part in saved_parts(layer):
            visit(part, f"{prefix}/{name}")

    for layer in model.layers:
        visit(layer, layer.name)
    return names


def _minimalistic(names: Iterable[str], sign: str) -> dict[str, Any]:
    """Whether a file is of a minimalistic MobileNetV3, in which no name has this sign."""
    return {"minimalistic": not any(sign in name for name in names)}


LAYOUTS = {
    # timm's senet.py
    "timm legacy": Layout(_legacy_names, "last_linear.", {"relu_before_attention": True}, "stage2_block1_relu2"),
    # timm's resnet.py
    "timm": Layout(_later_names, "fc.", {"stride_in_3x3": True, "caffe_pooling": False}, "stem_pool_border"),
    # timm's byobnet.py
    "timm byobnet": Layout(_byobnet_names, "head.fc.", {"stride_in_3x3": True, "caffe_pooling": False}),
    # timm's regnet.py
    "timm regnet": Layout(_regnet_names, "head.fc."),
    # torchvision's regnet.py
    "torchvision regnet": Layout(_torchvision_regnet_names, "fc."),
    # timm's mobilenetv3.py. Where it has the authors' weights, it pads as they do, which does not show in the file.
    "timm mobilenet": Layout(
        _timm_mobilenet_names, "classifier.", {"publisher": "timm"}, "stem_pad", lambda names: _minimalistic(names, ".se.")
    ),
    # torchvision's mobilenetv3.py
    "torchvision mobilenet": Layout(
        _torchvision_mobilenet_names,
        "classifier.3.",
        {"publisher": "torchvision"},
        "stem_border",
        lambda names: _minimalistic(names, ".fc1."),
    ),
    # github.com/hujie-frank/SENet, folder models; those networks subtract a mean from pixels, and do not divide
    "caffe": Layout(_caffe_names, "classifier/", {"mean": (123 / 255, 117 / 255, 104 / 255), "std": (1 / 255,) * 3}),
    "keras": Layout(_keras_names, "predictions/", shown=lambda names: _minimalistic(names, "_hard_silu")),
}
