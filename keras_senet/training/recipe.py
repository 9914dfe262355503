"""All that decides a training run, as data. Each field is also a flag of `keras-senet train`."""

import dataclasses

from keras_senet.blocks import ATTENTION_POSITIONS
from keras_senet.data import AUGMENTATIONS

SCHEDULES = ("step", "cosine")

# The fields that are arguments of the network's constructor.
EXCITATION = ("attention", "reduction", "squeeze", "gate", "attention_position", "attention_stages")


def _flag(default, help: str, choices: tuple | None = None):
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The network, the data and the optimization of one run. The defaults are those of the paper's section 6.1 where it says.

    Raises:
        ValueError: if a number is out of its range, or a choice unknown.

    Example:

    >>> recipe = keras_senet.training.Recipe("SEResNet20", "digits", epochs=2, batch_size=64, learning_rate=0.1)
    """

    model: str = _flag(dataclasses.MISSING, "name of the network, see `keras-senet models`")
    dataset: str = _flag(
        dataclasses.MISSING, "name of a tensorflow-datasets dataset, or a folder with one sub-folder of images a class"
    )
    attention: str | None = _flag("se", "attention of the network: se, or none for the plain network")
    reduction: int = _flag(16, "channels for each hidden unit of the excitation")
    squeeze: str | None = _flag("avg", "how a channel is summarized: avg, max, or none for gates at each position")
    gate: str = _flag("sigmoid", "activation that makes the gates")
    attention_position: str = _flag("standard", "place of the attention in each block", ATTENTION_POSITIONS)
    attention_stages: tuple[int, ...] | None = _flag(None, "stages that get attention; by default all")
    weights: str | None = _flag(None, "weights to start from: a tag of published ones, or a file")
    data_dir: str | None = _flag(None, "folder of tensorflow-datasets")
    train_split: str = _flag("train", "part to train on")
    held_out_split: str = _flag("held-out", "part to evaluate on after each epoch")
    image_size: int | None = _flag(None, "height and width of the images, pixels; by default those of the network")
    augmentation: str = _flag("crop", "random window of the image, shift of its centre square, or none", AUGMENTATIONS)
    flip: bool = _flag(True, "mirror half of the training images")
    epochs: int = _flag(100, "passes over the training part")
    batch_size: int = _flag(1024, "images in a step")
    learning_rate: float = _flag(0.6, "highest learning rate")
    schedule: str = _flag(
        "step", "divide the learning rate by 10 after each 30 % of the epochs, or let it fall as a cosine", SCHEDULES
    )
    warmup_epochs: float = _flag(0.0, "epochs in which the learning rate rises from 0")
    momentum: float = _flag(0.9, "of stochastic gradient descent")
    weight_decay: float = _flag(1e-4, "L2 penalty, on kernels only")
    label_smoothing: float = _flag(0.0, "share of each label that is spread over all classes")
    seed: int = _flag(0, "of the initial weights, the order of the images and their augmentation")

    def __post_init__(self):
        if isinstance(self.attention_stages, list):  # as JSON has it
            object.__setattr__(self, "attention_stages", tuple(self.attention_stages))
        for field in dataclasses.fields(self):
            accepted = (field.type, int) if field.type is float else field.type
            accepted = tuple | None if accepted == tuple[int, ...] | None else accepted
            if not isinstance(getattr(self, field.name), accepted):
                raise ValueError(f"`{field.name}` has a value of the wrong type. Received: {getattr(self, field.name)!r}")
            choices = field.metadata["choices"]
            if choices and getattr(self, field.name) not in choices:
                raise ValueError(f"`{field.name}` must be one of {choices}. Received: {field.name}={getattr(self, field.name)!r}")
        ranges = {
            "reduction": (1, None),
            "epochs": (1, None),
            "batch_size": (1, None),
            "learning_rate": (0, None),
            "warmup_epochs": (0, self.epochs),
            "momentum": (0, 0.999),
            "weight_decay": (0, None),
            "label_smoothing": (0, 0.999),
            "seed": (0, None),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= (float("inf") if most is None else most):
                accepted = f"at least {least}" if most is None else f"from {least} to {most}"
                raise ValueError(f"`{name}` must be {accepted}. Received: {name}={value}")
