"""Networks of PyTorch that are not in this package, told by the names of their parameters, so that a refusal can name them."""

import re
from collections.abc import Iterable

# How a name begins that only networks of each kind have.
_BEGINNINGS = {
    r"blocks\.0\.0\.ghost1\.": "a GhostNet",
    r"bn2\.weight|features\.\d\.\d\.block\.": "an EfficientNet, or a network of its kin",
    r"cls_token|pos_embed|patch_embed\.": "a vision transformer",
    r"features\.denseblock1\.": "a DenseNet",
    r"stages\.0\.blocks\.0\.conv_dw\.": "a ConvNeXt",
    r"stages\.0\.blocks\.0\.conv_concat\.": "a VoVNet",
}
_REGNET_BLOCK = re.compile(r"(?:s\d\.b\d+|trunk_output\.block\d\.block\d-\d+)\.(.+)")


def other_network(names: Iterable[str]) -> str | None:
    """What the network is, in words, whose parameters are called `names`; None for one of this package, or where none tells."""
    names = set(names)
    for beginning, network in _BEGINNINGS.items():
        if any(re.match(beginning, name) for name in names):
            return network
    if "layer1.0.conv1.weight" in names and not any(re.search(r"\.se(_module)?\.", name) for name in names):
        return "a ResNet without SE"
    return _other_regnet({match[1] for name in names if (match := _REGNET_BLOCK.match(name))})


def _other_regnet(parts: set[str]) -> str | None:
    """The same for a RegNet, from the names of the parameters in its blocks, without those of the blocks."""
    if not parts:
        return None
    if "norm1.weight" in parts:
        return "a RegNetV, which normalizes before each convolution"
    if not any("se." in part for part in parts):
        return "a RegNetX, which has no SE"
    if not parts & {"downsample.conv.weight", "proj.0.weight"}:
        return "a RegNetZ, which has other blocks"
    if not any(part.endswith("running_mean") for part in parts):
        return "a RegNetY with group normalization"
    return None
