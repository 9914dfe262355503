"""The names of parameters in the authors' Caffe definitions of SE-ResNet, SE-ResNeXt, SENet-154 and SE-BN-Inception.

Source: the released network definitions, github.com/hujie-frank/SENet, folder models.
"""

import re

import keras

# Rules from the names of our layers to theirs; the first that fits the whole name holds.
_RESIDUAL_UNIT = (
    (r"stage(\d)_block(\d+)_(?:conv|bn)1", r"conv\1_\2_1x1_reduce"),
    (r"stage(\d)_block(\d+)_(?:conv|bn)2", r"conv\1_\2_3x3"),
    (r"stage(\d)_block(\d+)_(?:conv|bn)3", r"conv\1_\2_1x1_increase"),
    (r"stage(\d)_block(\d+)_proj_(?:conv|bn)", r"conv\1_\2_1x1_proj"),
    (r"stage(\d)_block(\d+)_se_reduce", r"conv\1_\2_1x1_down"),
    (r"stage(\d)_block(\d+)_se_expand", r"conv\1_\2_1x1_up"),
)
_INCEPTION_MODULE = (
    (r"stage(\d)_block(\w)_se_reduce", r"inception_\1\2_1x1_down"),
    (r"stage(\d)_block(\w)_se_expand", r"inception_\1\2_1x1_up"),
    (r"stage(\d)_block(\w)_(\w+)_(?:conv|bn)", r"inception_\1\2/\3"),
)
_STEM_AND_HEAD = (
    (r"stem_(?:conv|bn)", "conv1/7x7_s2"),
    (r"stem_(?:conv|bn)1", "conv1_1/3x3_s2"),
    (r"stem_(?:conv|bn)([23])", r"conv1_\1/3x3"),
    (r"stem_(3x3|3x3_reduce)_(?:conv|bn)", r"conv2/\1"),
    (r"predictions", "classifier"),
)
_PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "bn/scale/weight",
    "beta": "bn/scale/bias",
    "moving_mean": "bn/running_mean",
    "moving_variance": "bn/running_var",
}


def parameter_names(model: keras.Model) -> dict[str, str]:
    """A table from the names of the authors' parameters to the paths of our weights.

    A parameter's name is that of its Caffe layer, then `/weight`, `/bias`, or for the layers of type BatchNorm `/running_mean`
    and `/running_var`.

    Args:
        model: one of the networks that the authors released, built by this package.

    Returns:
        Their name to our `weight.path`, for each weight of the model.

    Raises:
        ValueError: if a weight of the model has no counterpart in a network that the authors released.

    Example:

    >>> names = keras_senet.checkpoints.caffe.parameter_names(keras_senet.SEResNet50(weights=None))
    >>> names["conv2_1_1x1_reduce/bn/scale/weight"]
    'stage2_block1_bn1/gamma'
    """
    inception = any(layer.name.endswith("_concat") for layer in model.layers)
    return {_name(weight, inception): weight.path for weight in model.weights}


def _name(weight, inception: bool) -> str:
    *_, layer, kind = weight.path.split("/")
    if inception:  # where they count blocks by letters
        layer = re.sub(r"(?<=_block)\d+", lambda number: "abcdefghij"[int(number[0]) - 1], layer)
    for pattern, replacement in (*_STEM_AND_HEAD, *(_INCEPTION_MODULE if inception else _RESIDUAL_UNIT)):
        if re.fullmatch(pattern, layer) and kind in _PARAMETERS:
            theirs = re.sub(pattern, replacement, layer)
            # The convolutions of a basic block, or of a stem for CIFAR, are called like theirs and are of other sizes.
            size = "x".join(map(str, weight.shape[:2])) if len(weight.shape) == 4 else ""
            if inception or size in theirs or theirs.endswith("_proj"):
                return f"{theirs}/{_PARAMETERS[kind]}"
    raise ValueError(f"The authors released no network with a weight like {weight.path!r}, {tuple(weight.shape)}.")
