"""The tables of the paper, compared with our networks."""

import dataclasses
import functools
import itertools
import math

from keras_senet.analysis.cost import Profile, profile
from keras_senet.models.build import image_shape
from keras_senet.models.registry import find_model


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table: a network, and the numbers in the paper."""

    table: str
    network: str  # or what the row varies
    published: str  # error or precision, as in the table
    model: str  # name of our constructor
    options: dict = dataclasses.field(default_factory=dict)  # arguments of the constructor
    image_size: int | None = None  # pixels; None for the default of the network
    parameters: str = ""  # as in the paper: a number with M or G, or exact; "" if the paper does not say
    multiply_adds: str = ""  # as in the paper
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A row of the paper beside our network.

    Attributes:
        row: row of the paper.
        parameters: number of trainable parameters of our network.
        multiply_adds: number of multiply-adds of its convolutions and fully connected layers.
        equal: whether the paper's numbers equal ours, by some reading of what they count; None if the paper has no numbers.
        reading: what else the paper counts by that reading, in words; "" if the numbers are equal as they are.
    """

    row: Row
    parameters: int
    multiply_adds: int
    equal: bool | None
    reading: str


_RELEASED = "released networks, top-1 / top-5 error"
_IMAGENET = "ImageNet, top-1 / top-5 error"
_CIFAR = "CIFAR-10 / CIFAR-100, error"
_PLACES = "Places365, top-1 / top-5 error"
_COCO = "COCO, Faster R-CNN on this backbone, AP@0.5 / AP"
_ABLATION = "ablation on SE-ResNet-50, {}, top-1 / top-5 error"
_PLAIN = {"attention": None}

# The reference implementation, which keras.applications follows, is for 299 pixels.
_298_PIXELS = "at 298 pixels, where maps of 17 x 17 become 16 x 16; see keras-senet info SEInceptionResNetV2 for 299"


def _pair(table, network, model, published, multiply_adds=("", ""), parameters=("", ""), size=None, remark=""):
    """The rows of a backbone without and with SE."""
    for index, (name, options) in enumerate(((network, _PLAIN), (f"SE-{network}", {}))):
        yield Row(table, name, published[index], model, options, size, parameters[index], multiply_adds[index], remark)


def _ablation(study: str, published: str, parameters: str = "", multiply_adds: str = "", label: str = "", **options) -> Row:
    name = label or " ".join(f"{value}" for value in options.values())
    return Row(_ABLATION.format(study), name, published, "SEResNet50", options, None, parameters, multiply_adds)


ROWS = (
    Row(_RELEASED, "SE-BN-Inception", "23.62 / 7.04", "SEBNInception", {}, None, "11931622", "2.033 G"),
    Row(_RELEASED, "SE-ResNet-50", "22.37 / 6.36", "SEResNet50", {}, None, "28088024", "3.860 G"),
    Row(_RELEASED, "SE-ResNet-101", "21.75 / 5.72", "SEResNet101", {}, None, "49326872", "7.575 G"),
    Row(_RELEASED, "SE-ResNet-152", "21.34 / 5.54", "SEResNet152", {}, None, "66821848", "11.289 G"),
    Row(_RELEASED, "SE-ResNeXt-50 (32x4d)", "20.97 / 5.54", "SEResNeXt50", {}, None, "27559896", "4.233 G"),
    Row(_RELEASED, "SE-ResNeXt-101 (32x4d)", "19.81 / 4.96", "SEResNeXt101", {}, None, "48955416", "7.975 G"),
    Row(_RELEASED, "SENet-154", "18.68 / 4.47", "SENet154", {}, None, "115088984", "20.688 G"),
    *_pair(_IMAGENET, "ResNet-50", "SEResNet50", ("24.80 / 7.48", "23.29 / 6.62"), ("3.86 G", "3.87 G")),
    *_pair(_IMAGENET, "ResNet-101", "SEResNet101", ("23.17 / 6.52", "22.38 / 6.07"), ("7.58 G", "7.60 G")),
    *_pair(_IMAGENET, "ResNet-152", "SEResNet152", ("22.42 / 6.34", "21.57 / 5.73"), ("11.30 G", "11.32 G")),
    *_pair(_IMAGENET, "ResNeXt-50 (32x4d)", "SEResNeXt50", ("22.11 / 5.90", "21.10 / 5.49"), ("4.24 G", "4.25 G")),
    *_pair(
        _IMAGENET,
        "ResNeXt-101 (32x4d)",
        "SEResNeXt101",
        ("21.18 / 5.57", "20.70 / 5.01"),
        ("7.99 G", "8.00 G"),
    ),
    *_pair(_IMAGENET, "VGG-16", "SEVGG16", ("27.02 / 8.81", "25.22 / 7.70"), ("15.47 G", "15.48 G")),
    *_pair(_IMAGENET, "BN-Inception", "SEBNInception", ("25.38 / 7.89", "24.23 / 7.14"), ("2.03 G", "2.04 G")),
    *_pair(
        _IMAGENET,
        "Inception-ResNet-v2",
        "SEInceptionResNetV2",
        ("20.37 / 5.21", "19.80 / 4.79"),
        ("11.75 G", "11.76 G"),
        size=298,
        remark=_298_PIXELS,
    ),
    *_pair(_IMAGENET, "MobileNet", "SEMobileNet", ("28.4 / 9.4", "25.3 / 7.7"), ("569 M", "572 M"), ("4.2 M", "4.7 M")),
    *_pair(
        _IMAGENET,
        "ShuffleNet (1x, 3 groups)",
        "SEShuffleNet",
        ("32.6 / 12.5", "31.0 / 11.1"),
        ("140 M", "142 M"),
        ("1.8 M", "2.4 M"),
    ),
    Row(_IMAGENET, "SENet-154", "18.68 / 4.47", "SENet154"),
    Row(_IMAGENET, "SENet-154 at 320 pixels", "17.28 / 3.79", "SENet154", image_size=320),
    *_pair(_CIFAR, "ResNet-110", "SEResNet110", ("6.37 / 26.88", "5.21 / 23.85")),
    *_pair(_CIFAR, "ResNet-164 (pre-activation)", "SEResNet164", ("5.46 / 24.33", "4.39 / 21.31")),
    *_pair(_CIFAR, "WRN-16-8", "SEWideResNet", ("4.27 / 20.43", "3.88 / 19.14")),
    *_pair(_CIFAR, "Shake-Shake 26 2x96d + Cutout", "SEShakeShake26_2x96d", ("2.56 / 15.85", "2.12 / 15.41")),
    Row(_PLACES, "ResNet-152", "41.15 / 11.61", "SEResNet152", {"classes": 365, "attention": None}),
    Row(_PLACES, "SE-ResNet-152", "40.37 / 11.01", "SEResNet152", {"classes": 365}),
    *_pair(_COCO, "ResNet-50", "SEResNet50", ("57.9 / 38.0", "61.0 / 40.4")),
    *_pair(_COCO, "ResNet-101", "SEResNet101", ("60.1 / 39.9", "62.7 / 41.9")),
    _ablation("reduction ratio", "22.29 / 6.00", "45.7 M", reduction=2),
    _ablation("reduction ratio", "22.25 / 6.09", "35.7 M", reduction=4),
    _ablation("reduction ratio", "22.26 / 5.99", "30.7 M", reduction=8),
    _ablation("reduction ratio", "22.28 / 6.03", "28.1 M", reduction=16),
    _ablation("reduction ratio", "22.72 / 6.20", "26.9 M", reduction=32),
    _ablation("reduction ratio", "23.30 / 6.55", "25.6 M", label="plain", attention=None),
    _ablation("squeeze", "22.57 / 6.09", squeeze="max"),
    _ablation("squeeze", "22.28 / 6.03", squeeze="avg"),
    _ablation("squeeze", "22.93 / 6.39", "28.1 M", "4.27 G", label="none", squeeze=None),
    _ablation("excitation", "23.47 / 6.98", gate="relu"),
    _ablation("excitation", "23.00 / 6.38", gate="tanh"),
    _ablation("excitation", "22.28 / 6.03", gate="sigmoid"),
    _ablation("stage", "23.03 / 6.48", "25.6 M", label="2", attention_stages=(2,)),
    _ablation("stage", "23.04 / 6.32", "25.7 M", label="3", attention_stages=(3,)),
    _ablation("stage", "22.68 / 6.22", "26.4 M", label="4", attention_stages=(4,)),
    _ablation("stage", "22.28 / 6.03", label="all"),
    _ablation("position", "22.28 / 6.03", attention_position="standard"),
    _ablation("position", "22.23 / 6.00", attention_position="pre"),
    _ablation("position", "22.78 / 6.35", attention_position="post"),
    _ablation("position", "22.20 / 6.15", attention_position="identity"),
    _ablation("position", "22.48 / 6.02", "25.8 M", "3.86 G", attention_position="3x3"),
)


@functools.cache
def network_cost(model: str, **arguments) -> tuple[Profile, int]:
    """The cost of a network, and the number of all its weights, with the moving statistics of batch normalization.

    Building the network takes nearly all of the time, and many rows have the same one, so results are cached.

    Args:
        model: name of a constructor.
        **arguments: its arguments, but for `weights`.
    """
    network = find_model(model)(weights=None, **arguments)
    return profile(network), network.count_params()


def compare(row: Row) -> Comparison:
    """Builds the network of a row and counts.

    The paper does not say what its figures count. So where the plain count differs, these are tried: parameters with the moving
    statistics of batch normalization, or cut off instead of rounded; multiply-adds with one operation for each value that a gate
    scales, that a ReLU passes, or two where Inception-ResNet scales and adds a residual.
    """
    size = {} if row.image_size is None else {"input_shape": image_shape(row.image_size)}
    cost, weights = network_cost(row.model, **size, **row.options)

    def activations(*kinds: str) -> int:
        return sum(layer.activations for layer in cost.layers if layer.kind in kinds)

    extras = {
        "the gates' products": cost.attention.activations,
        "the scaled residuals": 2 * activations("CustomScaleLayer"),  # of Inception-ResNet: a product and an addition
        "the ReLUs": activations("ReLU", "Activation"),
    }
    parameters = _reading(
        row.parameters,
        {
            "": _rounded(cost.total.parameters, row.parameters),
            "parameters with moving statistics": _rounded(weights, row.parameters),
            "parameters cut off, not rounded": _rounded(cost.total.parameters, row.parameters, math.floor),
        },
    )
    multiply_adds = _reading(
        row.multiply_adds,
        {
            "multiply-adds with " * bool(extra) + " and ".join(extra): _rounded(
                cost.total.multiply_adds + sum(extras[name] for name in extra), row.multiply_adds
            )
            for count in range(len(extras) + 1)
            for extra in itertools.combinations(extras, count)
        },
    )
    equal = None not in (parameters, multiply_adds) if row.parameters or row.multiply_adds else None
    reading = "; ".join(filter(None, (parameters, multiply_adds)))
    return Comparison(row, cost.total.parameters, cost.total.multiply_adds, equal, reading)


def _reading(published: str, figures: dict[str, str]) -> str | None:
    """The first reading by which our figure is the published one; "" where none was published, None where none fits."""
    return next((reading for reading, figure in figures.items() if figure == published), None) if published else ""


def _rounded(value: int, like: str, rounding=round) -> str:
    """`value` in the unit and with as many digits as the figure `like`."""
    number, _, unit = like.partition(" ")
    places = len(number.partition(".")[2])
    scaled = value / {"": 1, "M": 1e6, "G": 1e9}[unit] * 10**places
    return f"{rounding(scaled) / 10**places:.{places}f} {unit}".strip()
