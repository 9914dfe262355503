"""Stochastic gradient descent as the recipes ask for it."""

import keras
from keras import ops

from keras_senet.training.recipe import Recipe


@keras.saving.register_keras_serializable(package="keras_senet")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule whose learning rate rises linearly from 0 in its first steps.

    Args:
        schedule: the `keras.optimizers.schedules.LearningRateSchedule` to follow.
        steps: number of steps until it applies in full.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 2.2.

    Example:

    >>> schedule = WarmUp(keras.optimizers.schedules.CosineDecay(0.6, decay_steps=1000), steps=100)
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        risen = (ops.cast(step, "float32") + 1) / max(self.steps, 1)
        return self.schedule(step) * ops.minimum(risen, 1)

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> WarmUp:
    """The schedule that `recipe` names: "step" divides by 10 after 30, 60 and 90 % of the epochs (paper, section 6.1)."""
    steps = recipe.epochs * steps_per_epoch
    if recipe.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    else:
        boundaries = [round(steps * share) for share in (0.3, 0.6, 0.9)]
        rates = [recipe.learning_rate / 10**drops for drops in range(4)]
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    return WarmUp(schedule, round(recipe.warmup_epochs * steps_per_epoch))


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD with momentum, and with weight decay on kernels only."""
    sgd = keras.optimizers.SGD(
        learning_rate(recipe, steps_per_epoch),
        momentum=recipe.momentum,
        # Keras shrinks the weights apart from the momentum. The paper's L2 penalty goes through it, which makes its effect
        # 1 / (1 - momentum) times as strong.
        weight_decay=recipe.weight_decay / (1 - recipe.momentum) or None,
    )
    sgd.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return sgd
