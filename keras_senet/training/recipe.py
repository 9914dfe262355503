"""All that decides what a training run computes, as data: the named recipes, and the fields that each is made of.

Each field is also a flag of `keras-senet train`.
"""

import dataclasses
import functools

from keras_senet.data import AUGMENTATIONS
from keras_senet.errors import InputError
from keras_senet.models.blocks import ATTENTION_POSITIONS, ATTENTIONS

OPTIMIZERS = ("sgd", "adamw", "lamb")
SCHEDULES = ("step", "cosine", "plateau")
LOSSES = ("categorical", "binary")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")

# The fields that are arguments of the network's constructor, and of `keras_senet.data.training_batches`.
EXCITATION = ("attention", "reduction", "squeeze", "gate", "attention_position", "attention_stages")
INPUT = (
    *("augmentation", "least_area", "flip", "rotation", "jitter", "rand_augment", "mixup", "cutmix", "repeats", "balanced"),
    "seed",
)


def _flag(default, help: str, choices: tuple | None = None):
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The network, the data and the optimization of one run. The defaults are those of the paper's section 6.1 where it says.

    Raises:
        ValueError: if a number is out of its range, a choice unknown, or two fields exclude each other.

    Example:

    >>> recipe = keras_senet.training.Recipe("SEResNet20", "digits", epochs=2, batch_size=64, learning_rate=0.1)
    """

    model: str = _flag(dataclasses.MISSING, "name of the network, see `keras-senet models`")
    dataset: str = _flag(
        dataclasses.MISSING, "name of a tensorflow-datasets dataset, or a folder with one sub-folder of images a class"
    )
    attention: str | None = _flag("se", f"attention of the network: {', '.join(ATTENTIONS)}, or none for the plain network")
    reduction: int = _flag(16, "channels for each hidden unit of the excitation")
    squeeze: str | None = _flag("avg", "how a channel is summarized: avg, max, or none for gates at each position")
    gate: str = _flag("sigmoid", "activation that makes the gates")
    attention_position: str = _flag("standard", "place of the attention in each block", ATTENTION_POSITIONS)
    attention_stages: tuple[int, ...] | None = _flag(None, "stages that get attention; by default all")
    weights: str | None = _flag(None, "weights to start from: a tag of published ones, or a file")
    zero_init: bool = _flag(False, "let each residual branch start as zero: the scale of its last normalization")
    stochastic_depth: float = _flag(0.0, "share of the images for which the last residual branch is left out; earlier ones less")

    data_dir: str | None = _flag(None, "folder of tensorflow-datasets")
    train_split: str = _flag("train", "part to train on")
    held_out_split: str = _flag("held-out", "part to evaluate on after each epoch")
    image_size: int | None = _flag(None, "height and width of the images, pixels; by default those of the network")
    augmentation: str = _flag("crop", "random window of the image, shift of its centre square, or none", AUGMENTATIONS)
    least_area: float = _flag(0.08, "smallest random window, as a share of the image")
    flip: bool = _flag(True, "mirror half of the training images")
    rotation: float = _flag(0.0, "most degrees by which an image is rotated either way")
    jitter: float = _flag(0.0, "most by which a pixel is made brighter or darker, of 255")
    rand_augment: float = _flag(0.0, "magnitude of RandAugment, up to 10")
    mixup: float = _flag(0.0, "parameter of MixUp's Beta distribution")
    cutmix: float = _flag(0.0, "parameter of CutMix's Beta distribution")
    repeats: int = _flag(1, "times that an image follows itself, augmented anew, in an epoch of as many images fewer")
    balanced: bool = _flag(False, "draw all classes equally often")

    epochs: int = _flag(100, "passes over the training part")
    batch_size: int = _flag(1024, "images in a step, on all replicas together")
    optimizer: str = _flag("sgd", "optimizer", OPTIMIZERS)
    learning_rate: float = _flag(0.6, "highest learning rate")
    base_batch_size: int | None = _flag(
        None, "batch size that the learning rate is for: it is scaled with the batch size; by default it is not"
    )
    schedule: str = _flag(
        "step",
        "divide the learning rate by 10 after each 30 % of the epochs, let it fall as a cosine, or divide it by 10 when the "
        "held-out loss has not fallen for 10 epochs",
        SCHEDULES,
    )
    warmup_epochs: float = _flag(0.0, "epochs in which the learning rate rises from 0")
    momentum: float = _flag(0.9, "of stochastic gradient descent")
    weight_decay: float = _flag(1e-4, "on kernels only; for sgd an L2 penalty")
    loss: str = _flag("categorical", "cross-entropy of one class among all, or of each class by itself", LOSSES)
    label_smoothing: float = _flag(0.0, "share of each label that is spread over all classes")
    ema: float = _flag(0.0, "decay, in each step, of a moving average of the weights, which then is the network; 0 for none")
    freeze_bn_epochs: int = _flag(0, "last epochs, in which batch normalization is as in evaluation")
    sync_bn: bool = _flag(False, "let batch normalization see the images of all replicas")
    precision: str = _flag("float32", "numbers in training", PRECISIONS)
    seed: int = _flag(0, "of the initial weights, the order of the images and their augmentation")

    def __post_init__(self):
        if isinstance(self.attention_stages, list):  # as JSON has it
            object.__setattr__(self, "attention_stages", tuple(self.attention_stages))
        for field in dataclasses.fields(self):
            accepted = (field.type, int) if field.type is float else field.type
            accepted = tuple | None if accepted == tuple[int, ...] | None else accepted
            if not isinstance(getattr(self, field.name), accepted):
                raise InputError(f"`{field.name}` has a value of the wrong type. Received: {getattr(self, field.name)!r}")
            choices = field.metadata["choices"]
            if choices and getattr(self, field.name) not in choices:
                raise InputError(f"`{field.name}` must be one of {choices}. Received: {field.name}={getattr(self, field.name)!r}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= (float("inf") if most is None else most):
                accepted = f"at least {least}" if most is None else f"from {least} to {most}"
                raise InputError(f"`{name}` must be {accepted}. Received: {name}={value}")
        for name in ("warmup_epochs", "freeze_bn_epochs"):
            if getattr(self, name) > self.epochs:
                raise InputError(f"`{name}` must be from 0 to {self.epochs}. Received: {name}={getattr(self, name)}")
        if self.ema and self.freeze_bn_epochs:
            raise InputError("`ema` and `freeze_bn_epochs` exclude each other: Keras averages all weights or none. Set one to 0.")
        if self.schedule == "plateau" and self.warmup_epochs:
            raise InputError(f'`warmup_epochs` must be 0 with schedule="plateau". Received: warmup_epochs={self.warmup_epochs}')


_RANGES = {
    "reduction": (1, None),
    "stochastic_depth": (0, 0.9),
    "least_area": (0.001, 1),
    "rotation": (0, 180),
    "jitter": (0, 255),
    "rand_augment": (0, 10),
    "mixup": (0, None),
    "cutmix": (0, None),
    "repeats": (1, None),
    "epochs": (1, None),
    "batch_size": (1, None),
    "learning_rate": (0, None),
    "base_batch_size": (1, None),
    "warmup_epochs": (0, None),
    "momentum": (0, 0.999),
    "weight_decay": (0, None),
    "label_smoothing": (0, 0.999),
    "ema": (0, 0.999999),
    "freeze_bn_epochs": (0, None),
    "seed": (0, None),
}

# Each takes the network and the dataset, and any field by name.
RECIPES = {
    # Hu et al., arXiv 1709.01507, section 6.1.
    "paper": functools.partial(Recipe, base_batch_size=1024),
    # The same, sections 6.1 and appendix, with the augmentation of the released networks.
    "senet154": functools.partial(
        Recipe,
        batch_size=2048,
        learning_rate=1.0,
        base_batch_size=2048,
        label_smoothing=0.1,
        rotation=10.0,
        jitter=20.0,
        freeze_bn_epochs=5,  # "the last epochs": how many is our choice
    ),
    # The same, section 6.1, on MobileNet and ShuffleNet; how much milder the augmentation is is our choice.
    "mobile": functools.partial(
        Recipe, epochs=400, batch_size=256, learning_rate=0.1, base_batch_size=256, schedule="plateau", least_area=0.25
    ),
    # He et al., arXiv 1512.03385, section 4.2, with the longer schedule that is usual since.
    "cifar": functools.partial(
        Recipe, augmentation="shift", epochs=200, batch_size=128, learning_rate=0.1, base_batch_size=128, weight_decay=5e-4
    ),
    # Published weights under a new classifier: a short, gentle run. Our choice.
    "finetune": functools.partial(
        Recipe,
        weights="imagenet",
        least_area=0.25,
        epochs=20,
        batch_size=64,
        learning_rate=0.02,
        base_batch_size=256,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.1,
    ),
}

# Wightman et al., "ResNet strikes back", arXiv 2110.00476, table 2.
_STRIKES_BACK = functools.partial(
    Recipe,
    rand_augment=7.0,
    mixup=0.1,
    cutmix=1.0,
    batch_size=2048,
    optimizer="lamb",
    learning_rate=5e-3,
    base_batch_size=2048,
    schedule="cosine",
    warmup_epochs=5,
    weight_decay=0.02,
    loss="binary",
)
RECIPES |= {
    "a1": functools.partial(
        _STRIKES_BACK, epochs=600, mixup=0.2, repeats=3, stochastic_depth=0.05, weight_decay=0.01, label_smoothing=0.1
    ),
    "a2": functools.partial(_STRIKES_BACK, epochs=300, repeats=3, stochastic_depth=0.05),
    "a3": functools.partial(_STRIKES_BACK, epochs=100, image_size=160, rand_augment=6.0, learning_rate=8e-3),
}
