"""The proof that an exported file computes what its network computes; if it does not, the layer where the difference starts."""

import bisect
import dataclasses
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np

from keras_senet.inference.outputs import PROBABILITIES, Outputs

# By what must be the same.
_KEPT = {
    "top-1": "images keep their top-1 class",
    "labels": "images keep their labels",
    "objects": "objects are found again",
    "pixels": "pixels keep their class",
}
_MEASURE = {
    "top-1": "top-1 accuracy",
    "labels": "labels accuracy",
    "objects": "average precision",
    "pixels": "mean intersection over union",
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Accepted differences between an exported file and its network.

    Attributes:
        largest: largest difference in the probability of any class of any image, in [0, 1].
        mean: mean over the images of the largest difference of each image, in [0, 1].
        agreement: smallest share of images with the same most probable class, or the same labels, in [0, 1]; of objects that are
            found again; of pixels of the same class.
        accuracy: largest loss of accuracy, as a share of the images, if they have labels; of average precision; of mean
            intersection over union.

    Example:

    >>> limits = keras_senet.export.Limits(largest=0.01, mean=0.005, agreement=0.99, accuracy=0.01)
    >>> keras_senet.export.Proof(images=8, largest=0.02, mean=0.001, agreement=1.0).misses(limits)
    ['the largest difference in probability is 0.02, and 0.01 is accepted']
    """

    largest: float
    mean: float
    agreement: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Proof:
    """Differences between an exported file and its network on the same images.

    Attributes:
        images: number of images.
        largest: largest difference in the probability of any class of any image, in [0, 1]; for logits, relative to the largest
            absolute logit of the network; for detectors, in the score of the surest object, the second, and so on.
        mean: mean over the images of the largest difference of each image, likewise.
        agreement: share of images with the same most probable class, or with the same labels, in [0, 1]; of the objects that the
            network finds with a probability of a half, those that the file finds; of the pixels, those of the same class.
        accuracy: share of images of which the file is right, in the most probable class, or in all labels; average precision, or
            mean intersection over union; None if the images have no labels.
        model_accuracy: that of the network; None if the images have no labels.
        outputs: what was compared, "probability", "relative logit" or "score".
        classes: what must be the same, "top-1" or "labels": those that reach their thresholds, if the network has thresholds; or
            "objects" or "pixels".

    Example:

    >>> print(keras_senet.export.Proof(images=8, largest=0.02, mean=0.001, agreement=1.0))
    on 8 images top-1 agrees for 100.00%, probabilities differ by at most 0.02 and on average 0.001
    """

    images: int
    largest: float
    mean: float
    agreement: float
    accuracy: float | None = None
    model_accuracy: float | None = None
    outputs: str = "probability"
    classes: str = "top-1"

    def misses(self, limits: Limits) -> list[str]:
        """A sentence for each limit that is exceeded."""
        misses = []
        if not self.largest <= limits.largest:
            misses.append(f"the largest difference in {self.outputs} is {self.largest:.2g}, and {limits.largest:g} is accepted")
        if not self.mean <= limits.mean:
            misses.append(f"the mean difference in {self.outputs} is {self.mean:.2g}, and {limits.mean:g} is accepted")
        if self.agreement < limits.agreement:
            misses.append(f"{self.agreement:.2%} of the {_KEPT[self.classes]}, and {limits.agreement:.2%} must")
        if self.accuracy is not None and self.model_accuracy - self.accuracy > limits.accuracy:
            fall = f"from {self.model_accuracy:.2%} to {self.accuracy:.2%}"
            misses.append(f"{_MEASURE[self.classes]} falls {fall}, and {limits.accuracy:.2%} may be lost")
        return misses

    def __str__(self) -> str:
        many = "probabilities" if self.outputs == "probability" else f"{self.outputs}s"
        agree = "agrees" if self.classes == "top-1" else "agree"
        text = f"on {self.images} images {self.classes} {agree} for {self.agreement:.2%}"
        text += f", {many} differ by at most {self.largest:.2g} and on average {self.mean:.2g}"
        if self.accuracy is not None:
            text += f"; {_MEASURE[self.classes]} is {self.accuracy:.2%} and was {self.model_accuracy:.2%}"
        return text


def compare(
    model: Callable[[np.ndarray], np.ndarray],
    export: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]],
    outputs: Outputs = PROBABILITIES,
    thresholds: Sequence[float] = (),
) -> Proof:
    """Runs a network and its exported file on the same images.

    Args:
        model: function of the network, from float32 RGB pixels `(N, H, W, 3)` in [0, 255] to outputs `(N, outputs)`.
        export: the same function of the file.
        batches: pairs of such pixels and of one-hot or multi-hot labels `(N, classes)`, or None instead of labels.
        outputs: what the outputs are.
        thresholds: the threshold of each label; empty to compare the most probable classes.

    Returns:
        A `Proof`.
    """
    differences, agree, right, right_before, scale = [], [], [], [], 1.0
    for pixels, labels in batches:
        before, after = model(pixels), export(pixels)
        differences.append(np.abs(after - before).max(axis=1))
        if outputs.name == "logits":
            scale = max(scale, float(np.abs(before).max()))
        chosen_before, chosen_after = (_chosen(outputs.probabilities(each), thresholds) for each in (before, after))
        agree.append((chosen_before == chosen_after).all(axis=1))
        if labels is not None:
            right.append((chosen_after == labels).all(axis=1))
            right_before.append((chosen_before == labels).all(axis=1))
    largest = np.concatenate(differences) / scale  # of each image
    return Proof(
        images=len(largest),
        largest=float(largest.max()),
        mean=float(largest.mean()),
        agreement=float(np.concatenate(agree).mean()),
        accuracy=float(np.concatenate(right).mean()) if right else None,
        model_accuracy=float(np.concatenate(right_before).mean()) if right else None,
        outputs="relative logit" if outputs.name == "logits" else "probability",
        classes="labels" if thresholds else "top-1",
    )


def _chosen(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """The most probable class of each image, or the classes that reach their thresholds; boolean, `(N, classes)`."""
    if thresholds:
        return probabilities >= np.array(thresholds)
    return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, np.newaxis]


def first_layer(model: keras.Model, is_wrong: Callable[[keras.Model], bool]) -> str | None:
    """The first layer at which something goes wrong, found by bisection.

    Args:
        model: functional model.
        is_wrong: function that says whether a part of the model is wrong, from the input to the output of one layer. After a
            wrong layer, all later layers are expected to be wrong, too.

    Returns:
        Name of the layer; None if there is none.
    """
    names = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    wrong = bisect.bisect_left(names, True, key=lambda name: is_wrong(keras.Model(model.inputs, model.get_layer(name).output)))
    return names[wrong] if wrong < len(names) else None
