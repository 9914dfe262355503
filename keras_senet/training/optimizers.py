"""The optimizers and learning-rate schedules that a recipe can name."""

from typing import Any

import keras
from keras import ops

from keras_senet.training.recipe import Recipe


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer that `recipe` names, with weight decay on kernels only."""
    # Variable paths begin with this name, and a state is keyed by them. Keras' default name counts the optimizers of the process.
    common: dict[str, Any] = {"name": recipe.optimizer}
    if recipe.ema_decay:
        common |= {"use_ema": True, "ema_momentum": recipe.ema_decay}
    rate = learning_rate(recipe, steps_per_epoch)
    if recipe.optimizer == "sgd":
        # Keras decouples weight decay from momentum. The paper's L2 penalty goes through the momentum, which makes it
        # 1 / (1 - momentum) times as strong.
        decay = recipe.weight_decay / (1 - recipe.momentum) or None
        result = keras.optimizers.SGD(rate, momentum=recipe.momentum, weight_decay=decay, **common)
    else:
        kind = {"adamw": keras.optimizers.AdamW, "lamb": keras.optimizers.Lamb}[recipe.optimizer]
        result = kind(rate, weight_decay=recipe.weight_decay, **common)
    result.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return result


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> "WarmUp | float":
    """The schedule that `recipe` names, scaled with its batch size (Goyal et al., arXiv 1706.02677, section 2.1).

    "step" divides by 10 after 30, 60 and 90 % of the epochs (paper, section 6.1). The rate of "plateau" is a number.
    """
    highest = recipe.learning_rate * recipe.batch_size / (recipe.base_batch_size or recipe.batch_size)
    steps = recipe.epochs * steps_per_epoch
    if recipe.schedule == "plateau":
        return highest
    if recipe.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(highest, steps)
    else:
        boundaries = [round(steps * share) for share in (0.3, 0.6, 0.9)]
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, [highest / 10**drops for drops in range(4)])
    return WarmUp(schedule, round(recipe.warmup_epochs * steps_per_epoch))


@keras.saving.register_keras_serializable(package="keras_senet")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Follows another schedule, but raises the learning rate linearly from 0 over the first steps.

    Args:
        schedule: the `keras.optimizers.schedules.LearningRateSchedule` to follow.
        steps: number of steps after which it applies in full.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 2.2.

    Example:

    >>> from keras_senet.training.optimizers import WarmUp
    >>> schedule = WarmUp(keras.optimizers.schedules.CosineDecay(0.6, decay_steps=1000), steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 49, 99)]
    [0.006, 0.298, 0.586]
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        progress = (ops.cast(step, "float32") + 1) / max(self.steps, 1)
        return self.schedule(step) * ops.minimum(progress, 1)

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])
