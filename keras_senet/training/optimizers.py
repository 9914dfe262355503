"""The optimizers and learning-rate schedules that a recipe can name."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.keras_internals import UpdateHooks
from keras_senet.training.freezing import of_classifier, rate_scales
from keras_senet.training.recipe import Recipe

_SMALLEST_NORM = 1e-3  # of weights in adaptive clipping, so that those that are zero can grow


def optimizer(recipe: Recipe, steps_per_epoch: int, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer that `recipe` names, with weight decay on kernels only, and a scaled loss where gradients are float16.

    Args:
        recipe: names it.
        steps_per_epoch: number of steps in an epoch.
        model: what it is for, as it will be when the optimizer is built.

    float16 rounds everything below 6e-8 to zero, and most gradients of a network that has learned something are near that. So
    the loss is multiplied by a scale, and the gradients are divided by it in float32. Keras does the same by itself only if the
    whole model has the policy "mixed_float16"; ours keeps its first and last layers in float32.

    Source: Micikevicius et al., "Mixed Precision Training", arXiv 1710.03740, section 3.2.
    """
    # Variable paths begin with this name, and a state is keyed by them. Keras' default name counts the optimizers of the process.
    common: dict[str, Any] = {"name": recipe.optimizer}
    if recipe.ema_decay:
        common |= {"use_ema": True, "ema_momentum": recipe.ema_decay}
    if recipe.gradient_accumulation > 1:
        common["gradient_accumulation_steps"] = recipe.gradient_accumulation
    rate = learning_rate(recipe, steps_per_epoch)
    kind = {"sgd": keras.optimizers.SGD, "adamw": keras.optimizers.AdamW, "lamb": keras.optimizers.Lamb}[recipe.optimizer]
    scales = rate_scales(model, recipe)
    if scales or recipe.clip_norm or recipe.adaptive_clip:
        kind = _changing_updates(kind, scales, recipe.clip_norm, recipe.adaptive_clip, of_classifier(model, recipe))
    if recipe.optimizer == "sgd":
        # Keras decouples weight decay from momentum. The paper's L2 penalty goes through the momentum, which makes it
        # 1 / (1 - momentum) times as strong.
        decay = recipe.weight_decay / (1 - recipe.momentum) or None
        result = kind(rate, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay, **common)
    else:
        result = kind(rate, weight_decay=recipe.weight_decay, **common)
    result.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    if recipe.dtype_policy == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(result, name="loss_scale")
    return result


def _changing_updates(
    kind: type, scales: Sequence[float] | None, clip_norm: float | None, adaptive_clip: float | None, exempt: Sequence[bool]
) -> type:
    """The class `kind` of optimizers with a learning rate for each variable, and with clipping.

    Args:
        kind: a class of Keras' optimizers.
        scales: the factor on the learning rate of each trainable variable; None if all are 1.
        clip_norm: the largest norm of all gradients together; None for any.
        adaptive_clip: the largest norm of a unit's gradient, as a share of that of its weights; None for any.
        exempt: whether each trainable variable is exempt from adaptive clipping.

    Source: adaptive clipping, Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", arXiv
        2102.06171, section 4.1.
    """

    class Changing(UpdateHooks, kind):  # type: ignore[misc,valid-type]
        def change_gradients(self, gradients):
            if clip_norm is None:
                return gradients
            norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in gradients))
            factor = clip_norm / ops.maximum(norm, clip_norm)
            return [gradient * ops.cast(factor, gradient.dtype) for gradient in gradients]

        def change_step(self, gradient, variable, index, learning_rate):
            if adaptive_clip is not None and not exempt[index]:
                largest = adaptive_clip * ops.maximum(_unit_norms(ops.convert_to_tensor(variable)), _SMALLEST_NORM)
                gradient = gradient * (largest / ops.maximum(_unit_norms(gradient), largest))
            return gradient, learning_rate if scales is None else learning_rate * scales[index]

    return Changing


def _unit_norms(values):
    """The norm of the weights of each unit, in a shape that fits `values`; a bias or a scale is one unit."""
    units = len(values.shape) - (2 if len(values.shape) == 4 and values.shape[-1] == 1 else 1)  # those of a depthwise kernel
    axes = [axis for axis in range(len(values.shape)) if axis != units] if len(values.shape) > 1 else None
    return ops.sqrt(ops.sum(ops.square(values), axis=axes, keepdims=True))


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> "WarmUp | float":
    """The schedule that `recipe` names, scaled with its batch size (Goyal et al., arXiv 1706.02677, section 2.1).

    "step" drops by default after 30, 60 and 90 % of the epochs (paper, section 6.1). The rate of "plateau" is a number.

    Raises:
        ValueError: if the warm-up takes more steps than the run.
    """
    batch_size = recipe.batch_size * recipe.gradient_accumulation
    highest = recipe.learning_rate * batch_size / (recipe.base_batch_size or batch_size)
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
