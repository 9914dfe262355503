"""The losses that a recipe can name."""

import keras
from keras import ops

from keras_senet.training.recipe import Recipe


def loss(recipe: Recipe) -> keras.losses.Loss:
    """The cross-entropy that `recipe` names, for labels that may be mixed."""
    kind = {"categorical": keras.losses.CategoricalCrossentropy, "binary": _BinaryCrossentropy}[recipe.loss]
    # Validation on several replicas pads the last batch with images of weight 0.
    return kind(label_smoothing=recipe.label_smoothing, reduction="mean_with_sample_weight")


class _BinaryCrossentropy(keras.losses.Loss):
    """Treats each class by itself; every class in a mixed image counts in full (arXiv 2110.00476, section 2)."""

    def __init__(self, label_smoothing: float, **kwargs):
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, labels, probabilities):
        present = ops.cast(labels > 0, probabilities.dtype)
        present = present * (1 - self.label_smoothing) + self.label_smoothing / labels.shape[-1]
        return ops.mean(ops.binary_crossentropy(present, probabilities), axis=-1)
