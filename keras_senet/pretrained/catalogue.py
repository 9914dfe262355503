"""The catalogue of published checkpoints: those of timm, which include the authors' own, converted from Caffe."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_senet.pretrained.layouts import LAYOUTS

# How the names begin of the networks that are published in another layout than "timm", of another architecture.
_OTHER_LAYOUTS = {
    "legacy_": "timm legacy",
    "regnety_": "timm regnet",
    "mobilenetv3_": "timm mobilenet",
    "tf_mobilenetv3_": "timm mobilenet",
    "mobilenet_v3_": "torchvision mobilenet",
}
_UNIT: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # of networks that take values in [0, 1]
_RELEASES = "https://github.com/rwightman/pytorch-image-models/releases/download"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Published weights, and what it takes to use them as their authors did.

    Attributes:
        name: name in timm: that of the network, a dot, and a tag that says how it was trained.
        model: name of the constructor.
        options: options of the constructor that the weights are for, such as a width.
        implied: fields of the architecture that do not show in the file.
        repository: repository on the Hugging Face hub, or the URL of a folder.
        file: name of the file there.
        classes: number of classes; 1000 for those of ImageNet, and None for a backbone without a classifier.
        input_size: height and width of the images at evaluation, pixels.
        crop_ratio: side of the center crop at evaluation, as a share of the shorter side of the image.
        interpolation: interpolation that resized the crop.
        test_input_size: another input size, at which the network is more accurate; None if its authors name none.
        test_crop_ratio: crop ratio at `test_input_size`.
        mean: mean of the RGB values on the scale [0, 1], which is subtracted.
        std: standard deviation of the RGB values, by which they are divided.
        top1: published top-1 accuracy on ImageNet, percent, at `published_size`.
        top5: published top-5 accuracy, percent.
        published_size: height and width of the images for which the accuracy is published; None for `input_size`.
        license: license of the weights, as timm names it; `cc-by-nc-4.0` allows no commercial use, and `seer-license` has terms
            of its own.

    Example:

    >>> checkpoint = keras_senet.list_checkpoints("SEResNeXt50")[0]
    >>> checkpoint.name, checkpoint.input_size, checkpoint.license
    ('legacy_seresnext50_32x4d.in1k', 224, 'apache-2.0')
    """

    name: str
    model: str
    repository: str
    file: str = "model.safetensors"
    classes: int | None = 1000
    input_size: int = 224
    crop_ratio: float = 0.875
    interpolation: str = "bicubic"
    test_input_size: int | None = None
    test_crop_ratio: float | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    top1: float | None = None
    top5: float | None = None
    published_size: int | None = None
    license: str = "apache-2.0"
    # Dictionaries have no hash; the name is of one checkpoint alone.
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    implied: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def tag(self) -> str:
        """The part of its name after the dot, which identifies it among the checkpoints of one constructor."""
        return self.name.partition(".")[2]

    @property
    def on_hub(self) -> bool:
        """Whether it is on the Hugging Face hub."""
        return "://" not in self.repository

    @property
    def url(self) -> str:
        """The URL of the file."""
        folder = f"https://huggingface.co/{self.repository}/resolve/main" if self.on_hub else self.repository
        return f"{folder}/{self.file}"

    @property
    def architecture(self) -> dict[str, Any]:
        """The fields in which its architecture differs from that of the constructor without weights."""
        found = (layout for prefix, layout in _OTHER_LAYOUTS.items() if self.name.startswith(prefix))
        return {**LAYOUTS[next(found, "timm")].architecture, **self.implied}


def _legacy(name: str, model: str, file: str, top1: float, top5: float, interpolation: str = "bilinear") -> Checkpoint:
    repository = f"{_RELEASES}/{'v0.1-cadene' if file.startswith('se_') else 'v0.1-weights'}"
    name = f"legacy_{name}.in1k"
    return Checkpoint(
        name=name, model=model, repository=repository, file=f"{file}.pth", interpolation=interpolation, top1=top1, top5=top5
    )


def _later(
    name: str,
    model: str,
    top1: float | None = None,
    top5: float | None = None,
    test: tuple[int, float] | tuple[None, None] = (None, None),  # input size and crop ratio
    **facts,
) -> Checkpoint:
    facts |= {"test_input_size": test[0], "test_crop_ratio": test[1]}
    return Checkpoint(name=name, model=model, repository=f"timm/{name}", top1=top1, top5=top5, **facts)


_TS: dict[str, Any] = {"input_size": 256, "crop_ratio": 0.9}


def _rs(depth: int, top1: float, top5: float, input_size: int, crop_ratio: float, test_size: int) -> Checkpoint:
    sizes = {"input_size": input_size, "crop_ratio": crop_ratio, "published_size": test_size}
    return _later(f"resnetrs{depth}.tf_in1k", f"ResNetRS{depth}", top1, top5, (test_size, crop_ratio), **sizes)


def _eca(name: str, top1: float, top5: float, test: tuple[int, float], **facts) -> Checkpoint:
    kind = name.partition(".")[0]
    model = f"ECAResNet{kind.title() if kind == 'light' else kind.upper()}"
    return _later(f"ecaresnet{name}_in1k", model, top1, top5, test, published_size=test[0], **facts)


def _timm_regnet(name: str, model: str, top1: float | None = None, top5: float | None = None, **facts) -> Checkpoint:
    """Those that timm trained, which have a test size."""
    size = None if top1 is None else 288
    return _later(name, model, top1, top5, (288, 1.0), crop_ratio=0.95, published_size=size, **facts)


def _mobilenet(
    name: str,
    model: str,
    width_multiplier: float = 1.0,
    top1: float | None = None,
    top5: float | None = None,
    minimalistic: bool = False,
    **facts,
) -> Checkpoint:
    options = {"width_multiplier": width_multiplier, "minimalistic": minimalistic}
    return _later(name, model, top1, top5, options=options, **facts)


def _authors_mobilenet(
    name: str, model: str, width_multiplier: float, top1: float, top5: float, minimalistic: bool = False
) -> Checkpoint:
    facts = {"interpolation": "bilinear", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    name = f"tf_mobilenetv3_{name}.in1k"
    return _mobilenet(name, model, width_multiplier, top1, top5, minimalistic, implied={"publisher": "tensorflow"}, **facts)


def _torchvision_mobilenet(name: str, model: str, file: str, top1: float, top5: float, crop_ratio: float = 0.875) -> Checkpoint:
    return Checkpoint(
        name=name,
        model=model,
        repository="https://download.pytorch.org/models",
        file=f"{file}.pth",
        interpolation="bilinear",
        crop_ratio=crop_ratio,
        top1=top1,
        top5=top5,
        license="bsd-3-clause",
        options={"width_multiplier": 1.0, "minimalistic": False},
    )


# The first of each constructor, and of its options, is its weights="imagenet".
CHECKPOINTS = (
    _legacy("seresnet18", "SEResNet18", "seresnet18-4bb0ce65", 71.742, 90.34, "bicubic"),
    _legacy("seresnet34", "SEResNet34", "seresnet34-a4004e63", 74.788, 92.134),
    _legacy("seresnet50", "SEResNet50", "se_resnet50-ce0d4300", 77.65, 93.732),
    _later("seresnet50.a1_in1k", "SEResNet50", 80.012, 94.704, crop_ratio=0.95, test=(288, 1.0)),
    _later("seresnet50.a2_in1k", "SEResNet50", 80.102, 94.72, crop_ratio=0.95, test=(288, 1.0)),
    _later("seresnet50.a3_in1k", "SEResNet50", 75.104, 92.096, input_size=160, crop_ratio=0.95, test=(224, 0.95)),
    _later("seresnet50.ra2_in1k", "SEResNet50", 80.26, 95.068, test=(288, 0.95)),
    _legacy("seresnet101", "SEResNet101", "se_resnet101-7e38fcc6", 78.37, 94.264),
    _legacy("seresnet152", "SEResNet152", "se_resnet152-d17c99b7", 78.662, 94.37),
    _later("seresnet152d.ra2_in1k", "SEResNet152D", 83.702, 96.794, input_size=256, crop_ratio=0.95, test=(320, 1.0)),
    _legacy("seresnext26_32x4d", "SEResNeXt26", "seresnext26_32x4d-65ebdb501", 77.1, 93.332, "bicubic"),
    _later("seresnext26d_32x4d.bt_in1k", "SEResNeXt26D", 77.592, 93.614, test=(288, 0.95)),
    _later("seresnext26t_32x4d.bt_in1k", "SEResNeXt26T", 77.98, 93.75, test=(288, 0.95)),
    _legacy("seresnext50_32x4d", "SEResNeXt50", "legacy_se_resnext50_32x4d-f3651bad", 79.08, 94.428),
    _later("seresnext50_32x4d.racm_in1k", "SEResNeXt50", 81.268, 95.624, test=(288, 0.95)),
    _later("seresnext50_32x4d.gluon_in1k", "SEResNeXt50", 79.916, 94.816),
    _legacy("seresnext101_32x4d", "SEResNeXt101", "legacy_se_resnext101_32x4d-37725eac", 80.274, 95.032),
    _later("seresnext101_32x4d.gluon_in1k", "SEResNeXt101", 80.886, 95.268),
    _later("seresnext101_64x4d.gluon_in1k", "SEResNeXt101_64x4d", 80.884, 95.308),
    _later("seresnext101_32x8d.ah_in1k", "SEResNeXt101_32x8d", 83.618, 96.412, crop_ratio=0.95, test=(288, 1.0)),
    _later("seresnext101d_32x8d.ah_in1k", "SEResNeXt101D_32x8d", 83.702, 96.62, crop_ratio=0.95, test=(288, 1.0)),
    _later("seresnextaa101d_32x8d.ah_in1k", "SEResNeXtAA101D_32x8d", 83.9, 96.648, crop_ratio=0.95, test=(288, 1.0)),
    _later("seresnextaa101d_32x8d.sw_in12k_ft_in1k", "SEResNeXtAA101D_32x8d", 85.956, 97.824, test=(288, 1.0)),
    _later(
        "seresnextaa101d_32x8d.sw_in12k_ft_in1k_288",
        "SEResNeXtAA101D_32x8d",
        86.53,
        98.094,
        input_size=288,
        crop_ratio=0.95,
        test=(320, 1.0),
    ),
    _later("seresnextaa101d_32x8d.sw_in12k", "SEResNeXtAA101D_32x8d", classes=11821, crop_ratio=0.95, test=(288, 1.0)),
    _later("seresnextaa201d_32x8d.sw_in12k_ft_in1k_384", "SEResNeXtAA201D_32x8d", 87.304, 98.334, input_size=384, crop_ratio=1.0),
    _later(
        "seresnextaa201d_32x8d.sw_in12k",
        "SEResNeXtAA201D_32x8d",
        classes=11821,
        input_size=320,
        crop_ratio=0.95,
        test=(384, 1.0),
    ),
    _legacy("senet154", "SENet154", "legacy_senet154-e9eb9fe6", 81.32, 95.502),
    _later("senet154.gluon_in1k", "SENet154", 81.258, 95.358),
    _later("seresnet33ts.ra2_in1k", "SEResNet33TS", 80.784, 95.362, (288, 1.0), published_size=288, **_TS),
    _later("seresnext26ts.ch_in1k", "SEResNeXt26TS", 78.272, 94.094, (288, 1.0), published_size=288, **_TS),
    _rs(50, 79.896, 94.972, 160, 0.91, 224),
    _rs(101, 82.284, 96.014, 192, 0.94, 288),
    _rs(152, 83.702, 96.612, 256, 1.0, 320),
    _rs(200, 84.444, 97.082, 256, 1.0, 320),
    _rs(270, 84.428, 96.968, 256, 1.0, 352),
    _rs(350, 84.714, 96.992, 288, 1.0, 384),
    _rs(420, 85.006, 97.124, 320, 1.0, 416),
    _eca("26t.ra2", 79.850, 95.090, (320, 0.95), input_size=256),
    _eca("50d.miil", 81.650, 95.882, (288, 0.95)),
    _eca("50t.ra2", 82.352, 96.140, (320, 0.95), input_size=256),
    _eca("50t.a1", 82.128, 95.642, (288, 1.0), crop_ratio=0.95),
    _eca("50t.a2", 81.658, 95.552, (288, 1.0), crop_ratio=0.95),
    _eca("50t.a3", 79.552, 94.694, (224, 0.95), input_size=160, crop_ratio=0.95),
    _eca("101d.miil", 82.984, 96.542, (288, 0.95)),
    _eca("269d.ra2", 84.966, 97.222, (352, 1.0), input_size=320, crop_ratio=0.95),
    _eca("light.miil", 81.408, 95.816, (288, 0.95)),
    _later("regnety_002.pycls_in1k", "RegNetY002", 70.278, 89.528, license="mit"),
    _later("regnety_004.pycls_in1k", "RegNetY004", 74.028, 91.75, license="mit"),
    _later("regnety_004.tv2_in1k", "RegNetY004", 75.598, 92.696, crop_ratio=0.965, license="bsd-3-clause"),
    _later("regnety_006.pycls_in1k", "RegNetY006", 75.27, 92.526, license="mit"),
    _later("regnety_008.pycls_in1k", "RegNetY008", 76.302, 93.06, license="mit"),
    _later("regnety_008_tv.tv2_in1k", "RegNetY008TV", 78.674, 94.386, crop_ratio=0.965, license="bsd-3-clause"),
    _later("regnety_016.pycls_in1k", "RegNetY016", 77.862, 93.718, license="mit"),
    _later("regnety_016.tv2_in1k", "RegNetY016", 80.668, 95.33, crop_ratio=0.965, license="bsd-3-clause"),
    _later("regnety_032.pycls_in1k", "RegNetY032", 78.876, 94.408, license="mit"),
    _timm_regnet("regnety_032.ra_in1k", "RegNetY032", 82.728, 96.416),
    _later("regnety_032.tv2_in1k", "RegNetY032", 81.756, 95.84, crop_ratio=0.965, license="bsd-3-clause"),
    _later("regnety_040.pycls_in1k", "RegNetY040", 79.232, 94.656, license="mit"),
    _timm_regnet("regnety_040.ra3_in1k", "RegNetY040", 83.044, 96.498),
    _later("regnety_064.pycls_in1k", "RegNetY064", 79.714, 94.766, license="mit"),
    _timm_regnet("regnety_064.ra3_in1k", "RegNetY064", 83.72, 96.722),
    _later("regnety_080.pycls_in1k", "RegNetY080", 79.868, 94.832, license="mit"),
    _timm_regnet("regnety_080.ra3_in1k", "RegNetY080", 83.926, 96.89),
    _later("regnety_080_tv.tv2_in1k", "RegNetY080TV", 82.59, 96.248, crop_ratio=0.965, license="bsd-3-clause"),
    _later("regnety_120.pycls_in1k", "RegNetY120", 80.386, 95.128, license="mit"),
    _timm_regnet("regnety_120.sw_in12k", "RegNetY120", classes=11821),
    _timm_regnet("regnety_120.sw_in12k_ft_in1k", "RegNetY120", 85.4, 97.582),
    _later("regnety_160.pycls_in1k", "RegNetY160", 80.298, 94.962, license="mit"),
    _timm_regnet("regnety_160.deit_in1k", "RegNetY160", 83.69, 96.782),
    _timm_regnet("regnety_160.lion_in12k_ft_in1k", "RegNetY160", 85.986, 97.836),
    _timm_regnet("regnety_160.sw_in12k", "RegNetY160", classes=11821),
    _timm_regnet("regnety_160.sw_in12k_ft_in1k", "RegNetY160", 85.986, 97.834),
    _later("regnety_160.swag_ft_in1k", "RegNetY160", 86.01, 98.054, input_size=384, crop_ratio=1.0, license="cc-by-nc-4.0"),
    _later("regnety_160.swag_lc_in1k", "RegNetY160", 83.782, 97.28, crop_ratio=0.965, license="cc-by-nc-4.0"),
    _later("regnety_160.tv2_in1k", "RegNetY160", 82.642, 96.216, crop_ratio=0.965, license="bsd-3-clause"),
    _later("regnety_320.pycls_in1k", "RegNetY320", 80.808, 95.238, license="mit"),
    _later("regnety_320.seer", "RegNetY320", classes=None, crop_ratio=0.965, license="seer-license"),
    _later("regnety_320.seer_ft_in1k", "RegNetY320", 83.334, 96.706, input_size=384, crop_ratio=1.0, license="seer-license"),
    _later("regnety_320.swag_ft_in1k", "RegNetY320", 86.836, 98.362, input_size=384, crop_ratio=1.0, license="cc-by-nc-4.0"),
    _later("regnety_320.swag_lc_in1k", "RegNetY320", 84.546, 97.442, crop_ratio=0.965, license="cc-by-nc-4.0"),
    _later("regnety_320.tv2_in1k", "RegNetY320", 83.162, 96.416, crop_ratio=0.965, license="bsd-3-clause"),
    _mobilenet("mobilenetv3_large_100.ra_in1k", "MobileNetV3Large", 1.0, 75.766, 92.538),
    _mobilenet(
        "mobilenetv3_large_100.ra4_e3600_r224_in1k",
        "MobileNetV3Large",
        crop_ratio=0.95,
        test=(256, 1.0),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    _mobilenet(
        "mobilenetv3_large_100.miil_in21k_ft_in1k", "MobileNetV3Large", 1.0, 77.918, 92.914, interpolation="bilinear", **_UNIT
    ),
    _mobilenet("mobilenetv3_large_100.miil_in21k", "MobileNetV3Large", classes=11221, interpolation="bilinear", **_UNIT),
    _authors_mobilenet("large_100", "MobileNetV3Large", 1.0, 75.516, 92.594),
    _authors_mobilenet("large_075", "MobileNetV3Large", 0.75, 73.432, 91.352),
    _authors_mobilenet("large_minimal_100", "MobileNetV3Large", 1.0, 72.258, 90.638, minimalistic=True),
    _torchvision_mobilenet("mobilenet_v3_large.tv_in1k", "MobileNetV3Large", "mobilenet_v3_large-8738ca79", 74.042, 91.34),
    _torchvision_mobilenet(
        "mobilenet_v3_large.tv2_in1k", "MobileNetV3Large", "mobilenet_v3_large-5c1a4163", 75.274, 92.566, crop_ratio=0.965
    ),
    _mobilenet("mobilenetv3_small_100.lamb_in1k", "MobileNetV3Small", 1.0, 67.656, 87.636),
    _mobilenet("mobilenetv3_small_075.lamb_in1k", "MobileNetV3Small", 0.75, 65.234, 85.446),
    _mobilenet("mobilenetv3_small_050.lamb_in1k", "MobileNetV3Small", 0.5, 57.91, 80.18),
    _authors_mobilenet("small_100", "MobileNetV3Small", 1.0, 67.918, 87.674),
    _authors_mobilenet("small_075", "MobileNetV3Small", 0.75, 65.728, 86.126),
    _authors_mobilenet("small_minimal_100", "MobileNetV3Small", 1.0, 62.89, 84.24, minimalistic=True),
    _torchvision_mobilenet("mobilenet_v3_small.tv_in1k", "MobileNetV3Small", "mobilenet_v3_small-047dcff4", 67.668, 87.402),
)


def checkpoints_of(model: str | None) -> list[Checkpoint]:
    """The checkpoints for a network, that of weights="imagenet" first.

    Args:
        model: the exact name of the network; None for all checkpoints.

    Returns:
        Their descriptions.

    Example:

    >>> [checkpoint.tag for checkpoint in keras_senet.pretrained.checkpoints_of("SEResNeXt50")]
    ['in1k', 'racm_in1k', 'gluon_in1k']
    """
    return [checkpoint for checkpoint in CHECKPOINTS if model in (None, checkpoint.model)]


def find_checkpoint(name: str) -> Checkpoint | None:
    """The checkpoint called `name`, or the first one of the network called `name`; None if there is neither.

    Args:
        name: name of a checkpoint, with its tag, or of a network; in any case.

    Returns:
        Its description, or None.

    Example:

    >>> keras_senet.pretrained.find_checkpoint("seresnext50").tag
    'in1k'
    """
    for checkpoint in CHECKPOINTS:
        if name.casefold() in (checkpoint.name, checkpoint.model.casefold()):
            return checkpoint
    return None
