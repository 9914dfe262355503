"""Whether an exported file computes what its network computes: on images, and if not, from which layer on."""

import bisect
import dataclasses
from collections.abc import Callable, Iterable

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an export may lose.

    Attributes:
        largest: the largest difference in the probability of any class of any image, in [0, 1].
        mean: the mean over the images of the largest difference of each.
        agreement: the least share of images that get the same most probable class, in [0, 1].
        accuracy: the largest loss of top-1 accuracy, where the images have labels; a share of the images.
    """

    largest: float
    mean: float
    agreement: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Proof:
    """What was found when a network and its export saw the same images.

    Attributes:
        images: number of images.
        largest: the largest difference in the probability of any class of any image, in [0, 1].
        mean: the mean over the images of the largest difference of each.
        agreement: share of the images that got the same most probable class, in [0, 1].
        accuracy: top-1 accuracy of the export, where the images have labels.
        model_accuracy: that of the network.
    """

    images: int
    largest: float
    mean: float
    agreement: float
    accuracy: float | None = None
    model_accuracy: float | None = None

    def misses(self, limits: Limits) -> list[str]:
        """What is beyond the limits, in words."""
        misses = []
        if not self.largest <= limits.largest:
            misses.append(f"the largest difference in probability is {self.largest:.2g}, and {limits.largest:g} is accepted")
        if not self.mean <= limits.mean:
            misses.append(f"the mean difference in probability is {self.mean:.2g}, and {limits.mean:g} is accepted")
        if self.agreement < limits.agreement:
            misses.append(f"{self.agreement:.2%} of the images keep their top-1 class, and {limits.agreement:.2%} must")
        if self.accuracy is not None and self.model_accuracy - self.accuracy > limits.accuracy:
            fall = f"from {self.model_accuracy:.2%} to {self.accuracy:.2%}"
            misses.append(f"top-1 accuracy falls {fall}, and {limits.accuracy:.2%} may be lost")
        return misses

    def __str__(self) -> str:
        text = (
            f"on {self.images} images top-1 agrees for {self.agreement:.2%}, probabilities differ by at most {self.largest:.2g}"
        )
        text += f" and on average {self.mean:.2g}"
        if self.accuracy is not None:
            text += f"; top-1 accuracy is {self.accuracy:.2%} and was {self.model_accuracy:.2%}"
        return text


def compare(
    model: Callable[[np.ndarray], np.ndarray],
    export: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]],
) -> Proof:
    """Runs a network and its export side by side.

    Args:
        model: the network, a function from float32 RGB pixels `(N, H, W, 3)` in [0, 255] to probabilities `(N, classes)`.
        export: the same of its export.
        batches: pairs of such pixels and of one-hot labels `(N, classes)`, or None.

    Returns:
        A `Proof`.
    """
    differences, agree, right, right_before = [], [], [], []
    for pixels, labels in batches:
        before, after = model(pixels), export(pixels)
        differences.append(np.abs(after - before).max(axis=1))
        top_before, top_after = before.argmax(axis=1), after.argmax(axis=1)
        agree.append(top_before == top_after)
        if labels is not None:
            truth = labels.argmax(axis=1)
            right.append(top_after == truth)
            right_before.append(top_before == truth)
    differences = np.concatenate(differences)
    return Proof(
        images=len(differences),
        largest=float(differences.max()),
        mean=float(differences.mean()),
        agreement=float(np.concatenate(agree).mean()),
        accuracy=float(np.concatenate(right).mean()) if right else None,
        model_accuracy=float(np.concatenate(right_before).mean()) if right else None,
    )


def first_layer(model: keras.Model, is_wrong: Callable[[keras.Model], bool]) -> str | None:
    """The layer at which something goes wrong, by bisection.

    Args:
        model: a functional model.
        is_wrong: whether it does in a part of the model, from its input to the output of one layer. What is wrong is expected to
            stay so to the end.

    Returns:
        The name of the first such layer; None if there is none.
    """
    names = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    wrong = bisect.bisect_left(names, True, key=lambda name: is_wrong(keras.Model(model.inputs, model.get_layer(name).output)))
    return names[wrong] if wrong < len(names) else None
