"""The description that every network has, whatever its family."""

import dataclasses

from keras_senet.layers.attention import AttentionConfig

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN_ONLY_STD = (1 / 255,) * 3  # the standard deviation of networks that only subtract a mean from pixels in [0, 255]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The fields that every constructor reads; the dataclass of a family adds those that its builder reads."""

    family: str  # networks of one paper, as `list_models` groups them
    stages: tuple[int, ...]  # numbers of its stages
    attention: AttentionConfig = AttentionConfig()  # the attention with which it was published
    hidden_divisor: int = 1  # the number of an excitation's hidden units is rounded to a multiple of it
    positions: tuple[str, ...] = ("standard",)  # positions of attention that its blocks have
    fully_connected: tuple[int, ...] = ()  # widths of the layers before the classifier
    fully_connected_activation: str = "relu"
    flattened: bool = False  # they see each position of the map, in the place of global pooling
    dropout: float = 0.0  # rate before the classifier, and after each fully connected layer
    mean: tuple[float, ...] = IMAGENET_MEAN  # of the RGB values of the training images, on the scale [0, 1]
    std: tuple[float, ...] = IMAGENET_STD  # standard deviation of these values
    classes: int = 1000
    input_size: int = 224  # height and width of the training images, pixels
    crop_ratio: float | None = None  # see `keras_senet.Preprocessing`; None for its default
    interpolation: str = "bilinear"
    test_input_size: int | None = None  # another input size, which has a crop ratio of its own
    test_crop_ratio: float | None = None  # crop ratio at `test_input_size`
    min_size: int = 32  # height and width of the smallest image that it takes, pixels
