"""What the networks of the paper's tables cost here, beside what the paper says."""

import dataclasses
import functools
import itertools
import math

import keras

from keras_senet import detection
from keras_senet.analysis.cost import Profile, profile
from keras_senet.analysis.paper_tables import Entry
from keras_senet.models.build import image_shape
from keras_senet.models.registry import find_model
from keras_senet.rewrite.pyramid import backbone


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The cost of our network beside that in the paper.

    Attributes:
        parameters: number of trainable parameters of our network.
        multiply_adds: number of multiply-adds of its convolutions and fully connected layers.
        equal: whether both, rounded as in the paper, are its numbers; None where it has none.
        explanation: another way to count that gives the paper's numbers, in words; "" if they are equal, or none does.
    """

    parameters: int
    multiply_adds: int
    equal: bool | None
    explanation: str


@functools.cache
def network_cost(model: str, detector: bool = False, **arguments) -> tuple[Profile, int]:
    """The cost of a network, and the number of all its weights, with the moving statistics of batch normalization.

    Building the network takes nearly all of the time, and many rows have the same one, so results are cached.

    Args:
        model: name of a constructor.
        detector: whether to count the network that returns boxes, a Faster R-CNN for COCO on this one.
        **arguments: arguments of the constructor, but for `weights`.
    """
    network = find_model(model)(weights=None, include_top=not detector, **arguments)
    if detector:
        network = _faster_rcnn(network)
    return profile(network), network.count_params()


def _faster_rcnn(network: keras.Model) -> keras.Model:
    """With the anchors of the paper, for the 80 classes of COCO."""
    height, width, _ = network.input_shape[1:]
    anchors = detection.Anchors((height, width), levels=(2, 3, 4, 5, 6), scale=8.0, octaves=(1.0,))
    return detection.detector(detection.faster_rcnn(backbone(network), 80, anchors))


def compare(entry: Entry) -> Comparison:
    """Builds the network of an entry, which has one, and counts."""
    cost, _ = _cost(entry, entry.image_size)
    figures = (entry.parameters, cost.total.parameters), (entry.multiply_adds, cost.total.multiply_adds)
    published = [(figure, ours) for figure, ours in figures if figure]
    equal = all(rounded(ours, figure) == figure for figure, ours in published) if published else None
    explanation = _explanation(entry) if equal is False else ""
    return Comparison(cost.total.parameters, cost.total.multiply_adds, equal, explanation)


def _cost(entry: Entry, image_size: int | None) -> tuple[Profile, int]:
    size = {} if image_size is None else {"input_shape": image_shape(image_size)}
    return network_cost(entry.model, entry.detector, **size, **entry.options)


def _explanation(entry: Entry) -> str:
    """How else the paper may have counted, which it does not say; "" if no way that we know gives all of its numbers."""
    for size in (entry.image_size, entry.other_size) if entry.other_size else (entry.image_size,):
        cost, weights = _cost(entry, size)
        total = cost.total
        parameters = _first(
            entry.parameters,
            {
                "": rounded(total.parameters, entry.parameters),
                "parameters with moving statistics": rounded(weights, entry.parameters),
                "parameters cut off, not rounded": rounded(total.parameters, entry.parameters, math.floor),
            },
        )
        extras = {
            "the gates' products": cost.attention.activations,
            "the scaled residuals": 2 * _activations(cost, "CustomScaleLayer"),  # of Inception-ResNet: a product and an addition
            "the ReLUs": _activations(cost, "ReLU", "Activation"),
        }
        multiply_adds = _first(
            entry.multiply_adds,
            {
                "multiply-adds with " * bool(extra) + " and ".join(extra): rounded(
                    total.multiply_adds + sum(extras[name] for name in extra), entry.multiply_adds
                )
                for count in range(len(extras) + 1)
                for extra in itertools.combinations(extras, count)
            },
        )
        if None not in (parameters, multiply_adds):
            at = "" if size == entry.image_size else f"at {size} pixels"
            return ", ".join(filter(None, (parameters, multiply_adds, at)))
    return ""


def _activations(cost: Profile, *kinds: str) -> int:
    return sum(layer.activations for layer in cost.layers if layer.kind in kinds)


def _first(published: str, figures: dict[str, str]) -> str | None:
    """The first way to count that gives the published figure; "" where none was published, None where no way gives it."""
    return next((reading for reading, figure in figures.items() if figure == published), None) if published else ""


def rounded(value: int, like: str, rounding=round) -> str:
    """`value` in the unit and with as many digits as the figure `like`."""
    number, _, unit = like.partition(" ")
    places = len(number.partition(".")[2])
    scaled = value / {"": 1, "M": 1e6, "G": 1e9}[unit] * 10**places
    return f"{rounding(scaled) / 10**places:.{places}f} {unit}".strip()
