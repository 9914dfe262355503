"""The losses that a recipe can name."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_senet.training.recipe import Recipe


def loss(recipe: Recipe, counts: Sequence[int] | None = None) -> keras.losses.Loss:
    """The loss that `recipe` names, for labels that may be mixed.

    Args:
        recipe: names it.
        counts: number of training images of each class, for `recipe.class_weights`.
    """
    kinds = {
        "categorical": keras.losses.CategoricalCrossentropy,
        "binary": _BinaryCrossentropy,
        "asymmetric": AsymmetricLoss,
    }
    # Validation on several replicas pads the last batch with images of weight 0.
    result = kinds[recipe.loss](label_smoothing=recipe.label_smoothing, reduction="mean_with_sample_weight")
    return _Weighted(result, counts) if recipe.class_weights else result


class _Weighted(keras.losses.Loss):
    """Weighs the loss of each image by how rare its class is; the mean weight of the training images is 1."""

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
        return ops.mean(ops.binary_crossentropy(_present(labels, self.label_smoothing, probabilities), probabilities), axis=-1)


@keras.saving.register_keras_serializable("keras_senet")
class AsymmetricLoss(keras.losses.Loss):
    """The asymmetric loss for several labels an image: it cares less for the many classes that an image does not show.

    With `p` the probability of a class that the image shows, and `n` that of a class which it does not show, lowered by `margin`,
    the losses are `-(1 - p) ** gamma_positive * log(p)` and `-n ** gamma_negative * log(1 - n)`. The loss of an image is their
    sum over the classes. Every class in a mixed image counts in full, as in the binary cross-entropy of a recipe.

    Args:
        gamma_negative: focusing of the classes that an image does not show; 0 for none.
        gamma_positive: focusing of the classes that it shows.
        margin: probability below which a class that the image does not show costs nothing, in [0, 1).
        label_smoothing: share of each label that is spread over all classes.
        **kwargs: arguments of `keras.losses.Loss`.

    Labels and probabilities: float, `(N, classes)`.

    Source: Ridnik et al., "Asymmetric Loss For Multi-Label Classification", arXiv 2009.14119, equations 4 to 7.

    Example:

    >>> loss = keras_senet.training.AsymmetricLoss()
    >>> surely_wrong, hardly_wrong = (loss(np.array([[0.0]]), np.array([[p]])) for p in (0.9, 0.2))
    >>> float(surely_wrong) > 1000 * float(hardly_wrong)
    True
    """

    def __init__(
        self,
        gamma_negative: float = 4.0,
        gamma_positive: float = 0.0,
        margin: float = 0.05,
        label_smoothing: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.gamma_negative = gamma_negative
        self.gamma_positive = gamma_positive
        self.margin = margin
        self.label_smoothing = label_smoothing

    def call(self, labels, probabilities):
        present = _present(labels, self.label_smoothing, probabilities)
        epsilon = keras.config.epsilon()
        shown = ops.clip(probabilities, epsilon, 1 - epsilon)
        absent = ops.clip(probabilities - self.margin, 0, 1 - epsilon)
        positive = ops.power(1 - shown, self.gamma_positive) * ops.log(shown)
        negative = ops.power(absent, self.gamma_negative) * ops.log(1 - absent)
        return -ops.sum(present * positive + (1 - present) * negative, axis=-1)

    def get_config(self):
        names = ("gamma_negative", "gamma_positive", "margin", "label_smoothing")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _present(labels, label_smoothing: float, probabilities):
    """Which classes an image shows, 0 or 1 but for the smoothing, in the type of the probabilities."""
    present = ops.cast(labels > 0, probabilities.dtype)
    return present * (1 - label_smoothing) + label_smoothing / labels.shape[-1]
