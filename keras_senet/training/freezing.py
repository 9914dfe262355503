"""What of a network is trained, and at which share of the learning rate, by its stages."""

import keras

from keras_senet.errors import InputError
from keras_senet.models.registry import find_model
from keras_senet.models.stages import layer_stages
from keras_senet.training.recipe import Recipe


def check_stage(recipe: Recipe) -> None:
    """Refuses to freeze a stage that the network lacks.

    Raises:
        ValueError: if there is no such stage.
    """
    stages = find_model(recipe.model).architecture.stages
    if recipe.freeze.isdecimal() and not stages[0] - 1 <= int(recipe.freeze) <= stages[-1]:
        raise InputError(
            f"{recipe.model} has the stages {stages[0]} to {stages[-1]}, and {stages[0] - 1} for its stem. "
            f"Received: freeze={recipe.freeze}"
        )


def frozen_layers(model: keras.Model, recipe: Recipe) -> list[keras.layers.Layer]:
    """The layers that `recipe.freeze` keeps as they are, from the input to the output."""
    if recipe.freeze == "none":
        return []
    stages = layer_stages(model, recipe.model)
    last = int(recipe.freeze) if recipe.freeze.isdecimal() else max(stages.values()) - 1
    return [layer for layer in model.layers if stages[layer.name] <= last]


def of_classifier(model: keras.Model, recipe: Recipe) -> list[bool]:
    """Whether each trainable variable of `model` belongs to the classifier."""
    stages = layer_stages(model, recipe.model)
    return [stages[layer.name] == max(stages.values()) for layer in model.layers for _ in layer.trainable_variables]


def rate_scales(model: keras.Model, recipe: Recipe) -> list[float] | None:
    """The factor on the learning rate of each trainable variable of `model`; None if all are 1.

    `recipe.layer_decay` counts stages from the classifier back, as layers are counted in Clark et al., "ELECTRA", arXiv
    2003.10555, appendix B.
    """
    if recipe.layer_decay == recipe.head_lr_scale == 1:
        return None
    stages = layer_stages(model, recipe.model)
    head = max(stages.values())
    return [
        recipe.head_lr_scale if stages[layer.name] == head else recipe.layer_decay ** (head - stages[layer.name])
        for layer in model.layers
        for _ in layer.trainable_variables
    ]
