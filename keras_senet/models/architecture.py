"""What every network says of itself, whatever its family."""

import dataclasses

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The fields that `constructor` reads; a family's dataclass adds those that its builder reads."""

    stages: tuple[int, ...]  # the numbers of its stages
    positions: tuple[str, ...] = ("standard",)  # where its blocks can take attention
    fully_connected: tuple[int, ...] = ()  # widths of the layers before the classifier, in place of global pooling
    dropout: float = 0.0  # before the classifier, and after each of those layers
    mean: tuple[float, ...] = IMAGENET_MEAN  # of the training images' RGB values on the scale [0, 1]
    std: tuple[float, ...] = IMAGENET_STD  # their standard deviation
    classes: int = 1000
    input_size: int = 224  # pixels, of the images that it was trained on
    crop_ratio: float | None = None  # see `keras_senet.Preprocessing`; None for its default
    interpolation: str = "bilinear"
    larger: tuple[int, float] | None = None  # another input size and the crop ratio for it
    min_size: int = 32  # pixels, of the smallest image that it takes
