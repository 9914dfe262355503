"""Loss, learning rate and optimizer as the recipes ask for them."""

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

    >>> from keras_senet.training.optimization import WarmUp
    >>> schedule = WarmUp(keras.optimizers.schedules.CosineDecay(0.6, decay_steps=1000), steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 49, 99)]
    [0.006, 0.298, 0.586]
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


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Divides the learning rate by 10 when the held-out loss has not fallen for ten epochs.

    Attributes:
        state: what it remembers of the epochs so far, for JSON.
    """

    def __init__(self):
        super().__init__(monitor="val_loss", factor=0.1, patience=10)

    def on_train_begin(self, logs=None):
        """Nothing: Keras forgets here, but a resumed run is more than one `fit`."""

    @property
    def state(self) -> dict[str, float]:
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    @state.setter
    def state(self, state: dict[str, float]):
        vars(self).update(state)


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> WarmUp | float:
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


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer that `recipe` names, with weight decay on kernels only."""
    # Keras' own name would count the optimizers of this process; the names of variables begin with it.
    common = {"name": recipe.optimizer}
    if recipe.ema_decay:
        common |= {"use_ema": True, "ema_momentum": recipe.ema_decay}
    rate = learning_rate(recipe, steps_per_epoch)
    if recipe.optimizer == "sgd":
        # Keras shrinks the weights apart from the momentum. The paper's L2 penalty goes through it, which makes its effect
        # 1 / (1 - momentum) times as strong.
        decay = recipe.weight_decay / (1 - recipe.momentum) or None
        made = keras.optimizers.SGD(rate, momentum=recipe.momentum, weight_decay=decay, **common)
    else:
        kind = {"adamw": keras.optimizers.AdamW, "lamb": keras.optimizers.Lamb}[recipe.optimizer]
        made = kind(rate, weight_decay=recipe.weight_decay, **common)
    made.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return made


class _BinaryCrossentropy(keras.losses.Loss):
    """Of each class by itself; every class in a mixed image counts in full (arXiv 2110.00476, section 2)."""

    def __init__(self, label_smoothing: float, **kwargs):
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, labels, probabilities):
        present = ops.cast(labels > 0, probabilities.dtype)
        present = present * (1 - self.label_smoothing) + self.label_smoothing / labels.shape[-1]
        return ops.mean(ops.binary_crossentropy(present, probabilities), axis=-1)


def loss(recipe: Recipe) -> keras.losses.Loss:
    """The cross-entropy that `recipe` names, of labels that may be mixed."""
    kind = {"categorical": keras.losses.CategoricalCrossentropy, "binary": _BinaryCrossentropy}[recipe.loss]
    # In evaluation on several replicas the last batch is filled up with images of weight 0.
    return kind(label_smoothing=recipe.label_smoothing, reduction="mean_with_sample_weight")
