"""The optimizers and learning-rate schedules that a recipe can name."""

from typing import Any

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.training.recipe import Recipe


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer that `recipe` names, with weight decay on kernels only, and a scaled loss where gradients are float16.

    float16 rounds everything below 6e-8 to zero, and most gradients of a network that has learned something are near that. So
    the loss is multiplied by a scale, and the gradients are divided by it in float32. Keras does the same by itself only if the
    whole model has the policy "mixed_float16"; ours keeps its first and last layers in float32.

    Source: Micikevicius et al., "Mixed Precision Training", arXiv 1710.03740, section 3.2.
    """
    # Variable paths begin with this name, and a state is keyed by them. Keras' default name counts the optimizers of the process.
    common: dict[str, Any] = {"name": recipe.optimizer}
    if recipe.ema_decay:
        common |= {"use_ema": True, "ema_momentum": recipe.ema_decay}
    rate = learning_rate(recipe, steps_per_epoch)
    if recipe.optimizer == "sgd":
        # Keras decouples weight decay from momentum. The paper's L2 penalty goes through the momentum, which makes it
        # 1 / (1 - momentum) times as strong.
        decay = recipe.weight_decay / (1 - recipe.momentum) or None
        result = keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay, **common)
    else:
        kind = {"adamw": keras.optimizers.AdamW, "lamb": keras.optimizers.Lamb}[recipe.optimizer]
        result = kind(rate, weight_decay=recipe.weight_decay, **common)
    result.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    if recipe.dtype_policy == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(result, name="loss_scale")
    return result


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> "WarmUp | float":
    """The schedule that `recipe` names, scaled with its batch size (Goyal et al., arXiv 1706.02677, section 2.1).

    "step" drops by default after 30, 60 and 90 % of the epochs (paper, section 6.1). The rate of "plateau" is a number.

    Raises:
        ValueError: if the warm-up takes more steps than the run.
    """
    highest = recipe.learning_rate * recipe.batch_size / (recipe.base_batch_size or recipe.batch_size)
    steps = recipe.epochs * steps_per_epoch
    if recipe.schedule == "plateau":
        return highest
    if recipe.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(highest, steps)
    else:
        epochs = recipe.decay_boundaries or [recipe.epochs * share for share in (0.3, 0.6, 0.9)]
        boundaries = [round(epoch * steps_per_epoch) for epoch in epochs]
        rates = [highest * recipe.decay_factor**drops for drops in range(len(boundaries) + 1)]
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    warmup = recipe.warmup_steps or round(recipe.warmup_epochs * steps_per_epoch)
    if warmup > steps:
        raise InputError(f"`warmup_steps` must be at most the {steps} steps of the run. Received: warmup_steps={warmup}")
    return WarmUp(schedule, warmup, recipe.warmup_factor)


@keras.saving.register_keras_serializable(package="keras_senet")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Follows another schedule, but with a smaller learning rate in the first steps.

    Args:
        schedule: the `keras.optimizers.schedules.LearningRateSchedule` to follow.
        steps: number of steps after which it applies in full.
        factor: share of the learning rate until then; None to let it rise linearly from 0.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 2.2: constant and gradual warm-up.

    Example:

    >>> from keras_senet.training.optimizers import WarmUp
    >>> schedule = WarmUp(keras.optimizers.schedules.CosineDecay(0.6, decay_steps=1000), steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 49, 99)]
    [0.006, 0.298, 0.586]
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int, factor: float | None = None):
        self.schedule = schedule
        self.steps = steps
        self.factor = factor

    def __call__(self, step):
        step = ops.cast(step, "float32")
        share = ops.minimum((step + 1) / max(self.steps, 1), 1)
        if self.factor is not None:
            share = ops.where(step < self.steps, self.factor, 1.0)
        return self.schedule(step) * share

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps, "factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"schedule": keras.saving.deserialize_keras_object(config["schedule"])})
