"""Which stage of its network a layer belongs to, for what goes stage by stage: freezing and learning rates."""

import re

import keras

from keras_senet.models.registry import find_model

# How the names of the layers begin that detect and segment.
_HEADS = ("fpn_", "rpn_", "roi_", "box_", "class_", "decoder", "aspp_", "logits")


def layer_stages(network: keras.Model, model: str) -> dict[str, int]:
    """The number of its stage for each layer of a network.

    The stem has the number before the first stage, and the classifier, from global pooling on, the one after the last stage; so
    has what detects or segments. In a network of keras.applications the stem counts as part of the first stage.

    Args:
        network: a network, or a copy of it whose layers have the same names.
        model: the name of its constructor.

    Returns:
        The numbers by the names of the layers.

    Example:

    >>> from keras_senet.models.stages import layer_stages
    >>> stages = layer_stages(keras_senet.SEResNet20(weights=None), "SEResNet20")
    >>> stages["stem_conv"], stages["stage2_block1_conv1"], stages["predictions"]
    (1, 2, 5)
    """
    architecture = find_model(model).architecture
    first, last = architecture.stages[0], architecture.stages[-1]
    # The layers that end the blocks of a network of keras.applications; the names of its other layers do not tell the stage.
    ends = {name: stage for name, (stage, _) in getattr(architecture, "places", {}).items()}
    stages, stage = {}, last
    for layer in reversed(network.layers):
        if match := re.match(r"stage(\d+)_", layer.name):
            stage = int(match[1])
        elif layer.name.startswith("stem_"):
            stage = first - 1
        stage = ends.get(layer.name, stage)
        # Some layers of detectors have several outputs, or are called at several levels.
        is_head = layer.name.startswith(_HEADS) or len(getattr(layer.output, "shape", ())) != 4
        stages[layer.name] = last + 1 if is_head else stage
    return stages
