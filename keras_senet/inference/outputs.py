"""What the outputs of a network are, and the probabilities that they stand for."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Outputs:
    """A kind of outputs.

    Attributes:
        name: what they are: "probabilities", or "logits".
        probabilities: function from outputs `(N, outputs)` to probabilities `(N, classes)`.
        note: what that function does, for people; "" if the outputs are the probabilities.
    """

    name: str
    probabilities: Callable[[np.ndarray], np.ndarray]
    note: str = ""


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _two_classes(second: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - second, second], axis=-1)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * logits))  # which does not overflow


PROBABILITIES = Outputs("probabilities", lambda outputs: outputs)
LOGITS = Outputs("logits", _softmax, "It puts out logits: the probabilities are their softmax.")
INDEPENDENT = Outputs(
    "probabilities", lambda outputs: outputs, "Its probabilities are of each class by itself: they do not sum to 1."
)
ONE_PROBABILITY = Outputs(
    "probabilities", _two_classes, "It puts out one probability, which is that of the second of two classes."
)
ONE_LOGIT = Outputs(
    "logits",
    lambda outputs: _two_classes(_sigmoid(outputs)),
    "It puts out one logit: its sigmoid is the probability of the second of two classes.",
)


def outputs_of(model: keras.Model) -> Outputs | None:
    """The kind of outputs that a model says it has by its last activation; None if it does not say."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return outputs_of(last)
    activation = keras.activations.softmax if isinstance(last, keras.layers.Softmax) else getattr(last, "activation", None)
    one = model.output_shape[-1] == 1
    if activation is keras.activations.softmax and not one:
        return PROBABILITIES
    if activation is keras.activations.sigmoid:
        return ONE_PROBABILITY if one else INDEPENDENT
    if activation is keras.activations.linear:
        return ONE_LOGIT if one else LOGITS
    return None


def outputs_like(values: np.ndarray) -> Outputs:
    """The kind of outputs that these may be, `(N, outputs)`, of images of noise."""
    classes = values.shape[-1]
    if values.min() < -0.01 or values.max() > 1.01:
        return ONE_LOGIT if classes == 1 else LOGITS
    if classes == 1:
        return ONE_PROBABILITY
    # In integers each probability is off by up to 1 / 512.
    sums_to_one = np.abs(values.sum(axis=-1) - 1).max() <= max(0.02, classes / 512)
    return PROBABILITIES if sums_to_one else INDEPENDENT
