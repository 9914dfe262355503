"""The losses that a recipe can name."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_senet.training.recipe import Recipe


def loss(recipe: Recipe, counts: Sequence[int] | None = None) -> keras.losses.Loss:
    """The cross-entropy that `recipe` names, for labels that may be mixed.

    Args:
        recipe: names it.
        counts: number of training images of each class, for `recipe.class_weights`.
    """
    kind = {"categorical": keras.losses.CategoricalCrossentropy, "binary": _BinaryCrossentropy}[recipe.loss]
    # Validation on several replicas pads the last batch with images of weight 0.
    result = kind(label_smoothing=recipe.label_smoothing, reduction="mean_with_sample_weight")
    return _Weighted(result, counts) if recipe.class_weights else result


class _Weighted(keras.losses.Loss):
    """Weighs the loss of each image by how rare its classes are; the mean weight of the training images is 1."""

    def __init__(self, unweighted: keras.losses.Loss, counts: Sequence[int]):
        super().__init__(reduction=unweighted.reduction)
        self.unweighted = unweighted
        self.weights = [sum(counts) / (len(counts) * max(count, 1)) for count in counts]

    def call(self, labels, probabilities):
        weights = ops.matmul(labels, ops.convert_to_tensor(self.weights, labels.dtype))
        return self.unweighted.call(labels, probabilities) * weights


class _BinaryCrossentropy(keras.losses.Loss):
    """Treats each class by itself; every class in a mixed image counts in full (arXiv 2110.00476, section 2)."""

    def __init__(self, label_smoothing: float, **kwargs):
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, labels, probabilities):
        present = ops.cast(labels > 0, probabilities.dtype)
        present = present * (1 - self.label_smoothing) + self.label_smoothing / labels.shape[-1]
        return ops.mean(ops.binary_crossentropy(present, probabilities), axis=-1)
