"""The tables of the paper (arXiv 1709.01507) as data: what it reports of each network, and the network of this package.

Table 1 is an architecture, which `keras-senet info SEResNet50` shows. Tables 2 to 16 have 67 rows.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network of a row: the errors that the paper reports, its cost where the paper has it, and how to build it.

    Attributes:
        column: heading of its column in the table; "" where a row has one network.
        error: the errors or precisions, as in the table.
        model: name of our constructor; None if no network of this package is it, or if it stands in the next column, too.
        options: arguments of the constructor.
        image_size: height and width of the images at evaluation, pixels; None for the default of the network.
        parameters: as in the paper, a number with M, or exact; "" if the table has none.
        multiply_adds: as in the paper, a number with M or G; "" if the table has none.
        other_size: another size of the images, at which the paper may have counted.
        published: weights that the authors published and whose error this is: a network's name, or a .caffemodel file; "" for
            none.
        detector: whether a Faster R-CNN on the network is meant.
        weights: file from which its training starts, of the run that another row has; "" for none.
    """

    column: str
    error: str
    model: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    image_size: int | None = None
    parameters: str = ""
    multiply_adds: str = ""
    other_size: int | None = None
    published: str = ""
    detector: bool = False
    weights: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table, with the recipe that trains its networks; None where nothing here can measure them yet."""

    name: str
    entries: tuple[Entry, ...]
    recipe: str | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper; `number` is None for what stands in the authors' repository instead."""

    number: int | None
    title: str
    dataset: str
    rows: tuple[Row, ...]


_PLAIN = {"attention": None}


def _backbone(
    name: str,
    model: str,
    errors: tuple[str, str, str],
    multiply_adds: tuple[str, str],
    parameters: tuple[str, str] = ("", ""),
    recipe: str = "paper",
    **fields,
) -> Row:
    """A row of tables 2 and 3: as reported by others, trained by the authors of the paper, and with SE."""
    options = fields.pop("options", {})
    plain, se = (
        Entry(column, error, model, options | attention, parameters=count, multiply_adds=operations, **fields)
        for column, error, attention, count, operations in zip(
            ("re-implementation", "SENet"), errors[1:], (_PLAIN, {}), parameters, multiply_adds, strict=True
        )
    )
    return Row(name, (Entry("original", errors[0]), plain, se), recipe)


def _cifar(name: str, model: str, original: str, se: str, recipe: str, classes: int) -> Row:
    options = {"classes": classes}
    return Row(name, (Entry("original", original, model, options | _PLAIN), Entry("SENet", se, model, options)), recipe)


def _coco(name: str, model: str, options: dict, precision: str, trained: str) -> Row:
    """A row of table 7: a detector on a network of table 2, which was trained there."""
    weights = f"runs/table2-{trained}/last.keras"
    return Row(name, (Entry("", precision, model, options, 800, detector=True, weights=weights),), "coco")


def _others(name: str, at_224: str, larger: str = "") -> Row:
    """A network that this package does not have."""
    return Row(name, tuple(Entry(*cell) for cell in (("224", at_224), ("320 / 299", larger)) if cell[1]), None)


def _ablation(name: str, error: str, parameters: str = "", multiply_adds: str = "", **options) -> Row:
    if options.get("attention", "se") is not None:
        options["use_bias"] = False
    return Row(name, (Entry("", error, "SEResNet50", options, None, parameters, multiply_adds),), "ablation")


def _released(name: str, model: str, error: str, parameters: str, multiply_adds: str) -> Row:
    recipe = "senet154" if model == "SENet154" else "paper"
    published = "SE-BN-Inception.caffemodel" if model == "SEBNInception" else model  # the only one that timm does not have
    return Row(name, (Entry("", error, model, {}, None, parameters, multiply_adds, published=published),), recipe)


_TOP = "top-1 / top-5 error, %"
_ABLATION = f"ImageNet, SE-ResNet-50, {{}}: {_TOP}"
_PAPER_SETTINGS = {"paper_settings": True}

TABLES = (
    Table(
        2,
        f"ImageNet, 224 x 224 (Inception-ResNet-v2: 299 x 299): {_TOP}",
        "imagenet2012",
        (
            _backbone("ResNet-50", "SEResNet50", ("24.7 / 7.8", "24.80 / 7.48", "23.29 / 6.62"), ("3.86 G", "3.87 G")),
            _backbone("ResNet-101", "SEResNet101", ("23.6 / 7.1", "23.17 / 6.52", "22.38 / 6.07"), ("7.58 G", "7.60 G")),
            _backbone("ResNet-152", "SEResNet152", ("23.0 / 6.7", "22.42 / 6.34", "21.57 / 5.73"), ("11.30 G", "11.32 G")),
            _backbone("ResNeXt-50", "SEResNeXt50", ("22.2 / -", "22.11 / 5.90", "21.10 / 5.49"), ("4.24 G", "4.25 G")),
            _backbone("ResNeXt-101", "SEResNeXt101", ("21.2 / 5.6", "21.18 / 5.57", "20.70 / 5.01"), ("7.99 G", "8.00 G")),
            _backbone("VGG-16", "SEVGG16", ("- / -", "27.02 / 8.81", "25.22 / 7.70"), ("15.47 G", "15.48 G")),
            _backbone("BN-Inception", "SEBNInception", ("25.2 / 7.82", "25.38 / 7.89", "24.23 / 7.14"), ("2.03 G", "2.04 G")),
            _backbone(
                "Inception-ResNet-v2",
                "SEInceptionResNetV2",
                ("19.9 / 4.9", "20.37 / 5.21", "19.80 / 4.79"),
                ("11.75 G", "11.76 G"),
                options=_PAPER_SETTINGS,
                other_size=298,
            ),
        ),
    ),
    Table(
        3,
        f"ImageNet, small networks: {_TOP}",
        "imagenet2012",
        (
            _backbone(
                "MobileNet",
                "SEMobileNet",
                ("29.4 / -", "28.4 / 9.4", "25.3 / 7.7"),
                ("569 M", "572 M"),
                ("4.2 M", "4.7 M"),
                "mobile",
                options=_PAPER_SETTINGS,
            ),
            _backbone(
                "ShuffleNet",
                "SEShuffleNet",
                ("32.6 / -", "32.6 / 12.5", "31.0 / 11.1"),
                ("140 M", "142 M"),
                ("1.8 M", "2.4 M"),
                "mobile",
            ),
        ),
    ),
    Table(
        4,
        "CIFAR-10: error, %",
        "cifar10",
        (
            _cifar("ResNet-110", "SEResNet110", "6.37", "5.21", "cifar-resnet", 10),
            _cifar("ResNet-164", "SEResNet164", "5.46", "4.39", "cifar-resnet", 10),
            _cifar("WRN-16-8", "SEWideResNet", "4.27", "3.88", "cifar-wrn", 10),
            _cifar("Shake-Shake 26 2x96d + Cutout", "SEShakeShake26_2x96d", "2.56", "2.12", "cifar-shake", 10),
        ),
    ),
    Table(
        5,
        "CIFAR-100: error, %",
        "cifar100",
        (
            _cifar("ResNet-110", "SEResNet110", "26.88", "23.85", "cifar-resnet", 100),
            _cifar("ResNet-164", "SEResNet164", "24.33", "21.31", "cifar-resnet", 100),
            _cifar("WRN-16-8", "SEWideResNet", "20.43", "19.14", "cifar-wrn", 100),
            _cifar("Shake-Even 29 2x4x64d + Cutout", "SEShakeEven29_2x4x64d", "15.85", "15.41", "cifar100-shake", 100),
        ),
    ),
    Table(
        6,
        f"Places365-Challenge: {_TOP}",
        "./places365_challenge",
        (
            Row("Places-365-CNN", (Entry("", "41.07 / 11.48"),), None),
            Row("ResNet-152", (Entry("", "41.15 / 11.61", "SEResNet152", {"classes": 365, **_PLAIN}),), "places365"),
            Row("SE-ResNet-152", (Entry("", "40.37 / 11.01", "SEResNet152", {"classes": 365}),), "places365"),
        ),
    ),
    Table(
        7,
        "COCO minival, Faster R-CNN: AP@0.5 / AP",
        "coco/2017",
        (
            _coco("ResNet-50", "SEResNet50", _PLAIN, "57.9 / 38.0", "resnet-50-re-implementation"),
            _coco("SE-ResNet-50", "SEResNet50", {}, "61.0 / 40.4", "resnet-50-senet"),
            _coco("ResNet-101", "SEResNet101", _PLAIN, "60.1 / 39.9", "resnet-101-re-implementation"),
            _coco("SE-ResNet-101", "SEResNet101", {}, "62.7 / 41.9", "resnet-101-senet"),
        ),
    ),
    Table(
        8,
        f"ImageNet, one crop of 224, and of 320 or 299 pixels: {_TOP}",
        "imagenet2012",
        (
            Row(
                "ResNet-152",
                (
                    Entry("224", "23.0 / 6.7", "SEResNet152", _PLAIN),
                    Entry("320 / 299", "21.3 / 5.5", "SEResNet152", _PLAIN, 320),
                ),
                "paper",
            ),
            _others("ResNet-200", "21.7 / 5.8", "20.1 / 4.8"),
            Row("Inception-v3", (Entry("320 / 299", "21.2 / 5.6", "SEInceptionV3", _PLAIN | _PAPER_SETTINGS, 299),), "paper"),
            _others("Inception-v4", "", "20.0 / 5.0"),
            Row(
                "Inception-ResNet-v2",
                (Entry("320 / 299", "19.9 / 4.9", "SEInceptionResNetV2", _PLAIN | _PAPER_SETTINGS, 299),),
                "paper",
            ),
            Row(
                "ResNeXt-101 (64x4d)",
                (
                    Entry("224", "20.4 / 5.3", "SEResNeXt101_64x4d", _PLAIN),
                    Entry("320 / 299", "19.1 / 4.4", "SEResNeXt101_64x4d", _PLAIN, 320),
                ),
                "paper",
            ),
            _others("DenseNet-264", "22.15 / 6.12"),
            _others("Attention-92", "", "19.5 / 4.8"),
            _others("PyramidNet-200", "20.1 / 5.4", "19.2 / 4.7"),
            _others("DPN-131", "19.93 / 5.12", "18.55 / 4.16"),
            Row(
                "SENet-154",
                (
                    Entry("224", "18.68 / 4.47", "SENet154", published="SENet154"),
                    Entry("320 / 299", "17.28 / 3.79", "SENet154", {}, 320, published="SENet154"),
                ),
                "senet154",
            ),
        ),
    ),
    Table(
        9,
        f"ImageNet, larger crops or more data: {_TOP}",
        "imagenet2012",
        (
            Row("Very Deep PolyNet", (Entry("331", "18.71 / 4.25"),), None),
            Row("NASNet-A (6 @ 4032)", (Entry("331", "17.3 / 3.8"),), None),
            Row("PNASNet-5", (Entry("331", "17.1 / 3.8"),), None),
            Row("SENet-154, trained at 320", (Entry("320", "16.88 / 3.58", "SENet154", {}, 320),), "senet154"),
            Row("AmoebaNet-C", (Entry("331", "16.5 / 3.5"),), None),
            Row("ResNeXt-101 32x48d, more data", (Entry("224", "14.6 / 2.4"),), None),
        ),
    ),
    Table(
        10,
        _ABLATION.format("reduction ratio"),
        "imagenet2012",
        (
            _ablation("2", "22.29 / 6.00", "45.7 M", reduction=2),
            _ablation("4", "22.25 / 6.09", "35.7 M", reduction=4),
            _ablation("8", "22.26 / 5.99", "30.7 M", reduction=8),
            _ablation("16", "22.28 / 6.03", "28.1 M"),
            _ablation("32", "22.72 / 6.20", "26.9 M", reduction=32),
            _ablation("original", "23.30 / 6.55", "25.6 M", attention=None),
        ),
    ),
    Table(
        11,
        _ABLATION.format("squeeze"),
        "imagenet2012",
        (_ablation("max", "22.57 / 6.09", squeeze="max"), _ablation("average", "22.28 / 6.03")),
    ),
    Table(
        12,
        _ABLATION.format("excitation"),
        "imagenet2012",
        (
            _ablation("ReLU", "23.47 / 6.98", gate="relu"),
            _ablation("tanh", "23.00 / 6.38", gate="tanh"),
            _ablation("sigmoid", "22.28 / 6.03"),
        ),
    ),
    Table(
        13,
        _ABLATION.format("stages"),
        "imagenet2012",
        (
            _ablation("ResNet-50", "23.30 / 6.55", "25.6 M", "3.86 G", attention=None),
            _ablation("SE in stage 2", "23.03 / 6.48", "25.6 M", "3.86 G", attention_stages=(2,)),
            _ablation("SE in stage 3", "23.04 / 6.32", "25.7 M", "3.86 G", attention_stages=(3,)),
            _ablation("SE in stage 4", "22.68 / 6.22", "26.4 M", "3.86 G", attention_stages=(4,)),
            _ablation("SE in all stages", "22.28 / 6.03", "28.1 M", "3.87 G"),
        ),
    ),
    Table(
        14,
        _ABLATION.format("position"),
        "imagenet2012",
        (
            _ablation("SE", "22.28 / 6.03"),
            _ablation("SE-PRE", "22.23 / 6.00", attention_position="pre"),
            _ablation("SE-POST", "22.78 / 6.35", attention_position="post"),
            _ablation("SE-Identity", "22.20 / 6.15", attention_position="identity"),
        ),
    ),
    Table(
        15,
        _ABLATION.format("within the residual unit"),
        "imagenet2012",
        (
            _ablation("SE", "22.28 / 6.03", "28.1 M", "3.87 G"),
            _ablation("SE after the 3x3", "22.48 / 6.02", "25.8 M", "3.86 G", attention_position="3x3"),
        ),
    ),
    Table(
        16,
        _ABLATION.format("no squeeze"),
        "imagenet2012",
        (
            _ablation("ResNet-50", "23.30 / 6.55", "25.6 M", "3.86 G", attention=None),
            _ablation("NoSqueeze", "22.93 / 6.39", "28.1 M", "4.27 G", squeeze=None),
            _ablation("SE", "22.28 / 6.03", "28.1 M", "3.87 G"),
        ),
    ),
)

# github.com/hujie-frank/SENet: errors of its README, costs of its prototxts.
RELEASED = Table(
    None,
    f"The networks that the authors released, ImageNet: {_TOP}",
    "imagenet2012",
    (
        _released("SE-BN-Inception", "SEBNInception", "23.62 / 7.04", "11931622", "2.033 G"),
        _released("SE-ResNet-50", "SEResNet50", "22.37 / 6.36", "28088024", "3.860 G"),
        _released("SE-ResNet-101", "SEResNet101", "21.75 / 5.72", "49326872", "7.575 G"),
        _released("SE-ResNet-152", "SEResNet152", "21.34 / 5.54", "66821848", "11.289 G"),
        _released("SE-ResNeXt-50 (32x4d)", "SEResNeXt50", "20.97 / 5.54", "27559896", "4.233 G"),
        _released("SE-ResNeXt-101 (32x4d)", "SEResNeXt101", "19.81 / 4.96", "48955416", "7.975 G"),
        _released("SENet-154", "SENet154", "18.68 / 4.47", "115088984", "20.688 G"),
    ),
)
