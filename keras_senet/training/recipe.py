"""All that decides what a training run computes, as data.

Each field, those of `AttentionConfig` and `Augmentation` among them, is also a flag of `keras-senet train`.
"""

import dataclasses
import itertools
from typing import Any

from keras_senet.data import Augmentation
from keras_senet.errors import InputError
from keras_senet.inference.tasks import TASKS
from keras_senet.layers.attention import AttentionConfig
from keras_senet.models.registry import find_model
from keras_senet.settings import check, flat_values, from_flat, lists_as_tuples, setting

OPTIMIZERS = ("sgd", "adamw", "lamb")
SCHEDULES = ("step", "cosine", "plateau")
HEADS = {"detect": ("retinanet", "faster_rcnn"), "segment": ("unet", "deeplab")}  # by task; the first is the default
LOSSES = ("categorical", "binary", "asymmetric")
DTYPE_POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")

# What only classification has.
_OF_CLASSIFICATION = ("loss", "label_smoothing", "class_weights", "balanced", "teacher", "dropout", "labels_csv")

# The headings of the fields in `keras-senet train --help`. Each holds for the field named here and for those after it.
GROUPS = {
    "model": "network",
    "dataset": "data",
    "attention": "network",
    "data_dir": "data",
    "augmentation": "augmentation",
    "epochs": "optimization",
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The network, the data and the optimization of one run. The defaults are those of the paper's section 6.1 where it says.

    `Recipe.of` makes one from all fields by name, those of `attention` and `augmentation` among them. Each field says itself what
    it means: `keras-senet train --help` lists them with their units and defaults.

    Raises:
        ValueError: if a number is out of its range, a choice unknown, or two fields exclude each other.

    Example:

    >>> recipe = keras_senet.training.Recipe.of("SEResNet20", "digits", epochs=2, learning_rate=0.1, mixup_alpha=0.2)
    >>> recipe.augmentation.mixup_alpha
    0.2
    """

    model: str = setting(dataclasses.MISSING, "name of the network, see `keras-senet models`")
    dataset: str = setting(
        dataclasses.MISSING, "name of a tensorflow-datasets dataset, or a folder with one sub-folder of images a class"
    )
    # Where none is given, `__post_init__` puts that of the network here.
    attention: AttentionConfig = setting(None, "attention of the network; by default that which it was published with")
    task: str = setting(
        "classify", "what to learn of an image: its class, the boxes of its objects, or the class of each pixel", choices=TASKS
    )
    head: str | None = setting(
        None,
        "what follows the network to detect (retinanet, faster_rcnn) or segment (unet, deeplab); by default the first of each",
        choices=tuple(head for heads in HEADS.values() for head in heads),
    )
    head_kwargs: dict | None = setting(None, "options of the head, each as NAME=VALUE, such as width=64")
    freeze_norm: bool = setting(
        False, "keep batch normalization before the head as the weights have it, for batches of few images"
    )
    weights: str | None = setting(None, "weights to start from: a tag of published ones, or a file")
    model_kwargs: dict | None = setting(None, "options that only this network has, each as NAME=VALUE, such as depth=28")
    mean_only: bool = setting(
        False, "normalize pixels by the mean alone, as in the paper; published weights need the standard deviation, too"
    )
    zero_init_last: bool = setting(False, "initialize the scale of each residual branch's last normalization to zero")
    drop_path: float = setting(
        0.0, "rate at which the last residual branch is dropped for an image; rates rise linearly from 0", minimum=0, maximum=0.9
    )
    sync_bn: bool = setting(False, "synchronize batch normalization across replicas")
    dropout: float | None = setting(
        None, "rate of dropout before the classifier; by default that of the network", minimum=0, maximum=0.9
    )

    data_dir: str | None = setting(None, "folder of tensorflow-datasets")
    labels_csv: str | None = setting(
        None,
        "CSV file with a path and a label, or several, on each line, in place of folders for the classes; paths start from "
        "--dataset",
    )
    train_split: str = setting("train", "split to train on")
    validation_split: str = setting("validation", "split to evaluate on after each epoch")
    image_size: int | None = setting(None, "height and width of the images, pixels; by default those of the network")
    augmentation: Augmentation = Augmentation()
    aug_repeats: int = setting(
        1, "times that an image follows itself, augmented anew, in an epoch of as many images fewer", minimum=1
    )
    balanced: bool = setting(False, "draw all classes equally often")
    class_weights: bool = setting(
        False, "weigh the loss of an image by how rare its class is, so that all classes count the same"
    )

    epochs: int = setting(100, "passes over the training split", minimum=1)
    batch_size: int = setting(1024, "images in a step, on all replicas together", minimum=1)
    optimizer: str = setting("sgd", "optimizer", choices=OPTIMIZERS)
    learning_rate: float = setting(0.6, "highest learning rate", minimum=0)
    base_batch_size: int | None = setting(
        None, "batch size that the learning rate is for: it is scaled with the batch size; by default it is not", minimum=1
    )
    schedule: str = setting(
        "step",
        "let the learning rate drop at certain epochs, fall as a cosine, or drop when the validation loss has not fallen for 10 "
        "epochs, three times",
        choices=SCHEDULES,
    )
    decay_boundaries: tuple[float, ...] | None = setting(
        None, "epochs after which the schedule step drops; by default 30, 60 and 90 % of all epochs"
    )
    decay_factor: float = setting(0.1, "factor of each drop of the schedules step and plateau", minimum=1e-6, maximum=0.999)
    warmup_epochs: float = setting(0.0, "epochs of warm-up, in which the learning rate rises from 0", minimum=0)
    warmup_steps: int = setting(0, "steps of warm-up, instead of epochs", minimum=0)
    warmup_factor: float | None = setting(
        None, "share of the learning rate throughout the warm-up; by default it rises from 0", minimum=0, maximum=1
    )
    freeze: str = setting(
        "none", "what keeps its weights: none, all before the classifier (backbone), or all up to a stage (its number)"
    )
    unfreeze_epoch: int | None = setting(
        None, "number of epochs after which what was frozen is trained, too; by default it never is", minimum=1
    )
    layer_decay: float = setting(
        1.0,
        "factor on the learning rate from each stage to the one before it, starting at the classifier",
        minimum=1e-3,
        maximum=1,
    )
    head_lr_scale: float = setting(1.0, "factor on the learning rate of the classifier alone", minimum=0.001)
    gradient_accumulation: int = setting(1, "steps whose gradients are averaged for one update of the weights", minimum=1)
    clip_norm: float | None = setting(None, "largest norm of all gradients together; larger ones are scaled down", minimum=1e-6)
    adaptive_clip: float | None = setting(
        None, "largest norm of a unit's gradient, as a share of the norm of its weights; the classifier is exempt", minimum=1e-6
    )
    patience: int | None = setting(None, "epochs without a better one after which the run ends; by default it goes on", minimum=1)
    momentum: float = setting(0.9, "momentum of stochastic gradient descent", minimum=0, maximum=0.999)
    nesterov: bool = setting(False, "Nesterov's momentum, for sgd")
    weight_decay: float = setting(1e-4, "weight decay, of kernels only; for sgd an L2 penalty", minimum=0)
    loss: str = setting(
        "categorical",
        "cross-entropy of one class among all, or of each class by itself, or the asymmetric loss of each class; the latter two "
        "are for several labels an image",
        choices=LOSSES,
    )
    teacher: str | None = setting(
        None, "network to learn from beside the labels: a .keras file, or a published checkpoint; it must know the same classes"
    )
    temperature: float = setting(4.0, "temperature at which the probabilities of network and teacher are compared", minimum=0.01)
    distill_weight: float = setting(1.0, "weight of that loss; the loss of the labels has 1", minimum=0)
    distill_maps_weight: float = setting(
        0.0, "weight of the loss that compares where the feature maps of network and teacher are active", minimum=0
    )
    label_smoothing: float = setting(0.0, "share of each label that is spread over all classes", minimum=0, maximum=0.999)
    ema_decay: float = setting(
        0.0,
        "decay in each step of the moving average of the weights that becomes the network; 0 for none",
        minimum=0,
        maximum=0.999999,
    )
    freeze_bn_epochs: int = setting(0, "last epochs, in which batch normalization is as in evaluation", minimum=0)
    dtype_policy: str = setting("float32", "dtype policy in training", choices=DTYPE_POLICIES)
    seed: int = setting(0, "seed of the initial weights, the order of the images and their augmentation", minimum=0)

    def __post_init__(self):
        if self.attention is None:
            object.__setattr__(self, "attention", find_model(self.model).architecture.attention)
        lists_as_tuples(self)
        for part in (self, self.attention, self.augmentation):
            check(part)
        if callable(self.attention.attention) or callable(self.attention.gate):
            raise InputError(
                f"`attention` and `gate` of a recipe are names, which config.json can hold. Received: {self.attention}"
            )
        for name in ("warmup_epochs", "freeze_bn_epochs"):
            if getattr(self, name) > self.epochs:
                raise InputError(f"`{name}` must be from 0 to {self.epochs}. Received: {name}={getattr(self, name)}")
        if self.ema_decay and self.freeze_bn_epochs:
            raise InputError(
                "`ema_decay` and `freeze_bn_epochs` exclude each other: Keras averages all weights or none. Set one to 0."
            )
        self._check_task()
        self._check_freezing()
        if self.clip_norm is not None and self.adaptive_clip is not None:
            raise InputError("`clip_norm` and `adaptive_clip` exclude each other. Leave one of them out.")
        if self.teacher is not None and self.loss != "categorical":
            raise InputError(f"`teacher` is for loss='categorical', one label an image. Received: loss={self.loss!r}")
        if self.class_weights and self.balanced:
            raise InputError("`class_weights` and `balanced` each make up for rare classes. Set one to False.")
        for name in ("warmup_epochs", "warmup_steps"):
            if self.schedule == "plateau" and getattr(self, name):
                raise InputError(f'`{name}` must be 0 with schedule="plateau". Received: {name}={getattr(self, name)}')
        if self.warmup_epochs and self.warmup_steps:
            raise InputError("`warmup_epochs` and `warmup_steps` exclude each other. Set one to 0.")
        if self.nesterov and self.optimizer != "sgd":
            raise InputError(f"`nesterov` is for optimizer='sgd'. Received: optimizer={self.optimizer!r}")
        if self.decay_boundaries is not None:
            self._check_boundaries(self.decay_boundaries)
        if self.image_size is not None:
            self.augmentation.check_image_size(self.image_size)

    def _check_task(self) -> None:
        heads = HEADS.get(self.task, ())
        if self.head is None and heads:
            object.__setattr__(self, "head", heads[0])
        if self.head is not None and self.head not in heads:
            accepted = f"one of {heads}" if heads else "None: it is for the tasks detect and segment"
            raise InputError(f"With task={self.task!r}, `head` must be {accepted}. Received: head={self.head!r}")
        if self.task == "classify":
            for name in ("head_kwargs", "freeze_norm"):
                if getattr(self, name):
                    raise InputError(f"`{name}` is for the tasks detect and segment. Received: {name}={getattr(self, name)!r}")
            return
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in _OF_CLASSIFICATION:
            if getattr(self, name) != defaults[name]:
                raise InputError(
                    f"`{name}` is for the task classify. Received: {name}={getattr(self, name)!r}, task={self.task!r}"
                )
        self.augmentation.check_task(self.task)

    def _check_freezing(self) -> None:
        if self.freeze not in ("none", "backbone") and not self.freeze.isdecimal():
            raise InputError(f'`freeze` must be "none", "backbone" or the number of a stage. Received: freeze={self.freeze!r}')
        if self.unfreeze_epoch is None:
            return
        if self.freeze == "none":
            raise InputError(f'`unfreeze_epoch` needs `freeze`. Received: freeze="none", unfreeze_epoch={self.unfreeze_epoch}')
        if self.unfreeze_epoch >= self.epochs:
            raise InputError(
                f"`unfreeze_epoch` must be from 1 to {self.epochs - 1}, before the last of the epochs. "
                f"Received: unfreeze_epoch={self.unfreeze_epoch}"
            )
        if self.ema_decay:
            raise InputError("`ema_decay` and `unfreeze_epoch` exclude each other: Keras averages all weights or none.")

    def _check_boundaries(self, boundaries: tuple) -> None:
        if self.schedule != "step":
            raise InputError(f"`decay_boundaries` are for schedule='step'. Received: schedule={self.schedule!r}")
        if not all(isinstance(boundary, int | float) for boundary in boundaries):
            raise InputError(f"`decay_boundaries` must be numbers of epochs. Received: {boundaries}")
        if not all(before < after for before, after in itertools.pairwise((0, *boundaries, self.epochs))):
            raise InputError(
                f"`decay_boundaries` must rise, and lie between 0 and `epochs`, {self.epochs}; None is 30, 60 and 90 % of these. "
                f"Received: decay_boundaries={boundaries}"
            )

    def depends_on_epochs(self) -> str | None:
        """What makes a run compute something else from the start, or before its last epoch, if `epochs` is raised."""
        if self.schedule == "cosine":
            return "schedule='cosine'"
        if self.schedule == "step" and self.decay_boundaries is None:
            return "schedule='step' without decay_boundaries"
        return f"freeze_bn_epochs={self.freeze_bn_epochs}" if self.freeze_bn_epochs else None

    @classmethod
    def of(cls, model: str, dataset: str, **fields: Any) -> "Recipe":
        """A recipe of all fields by name, as flags and config.json have them.

        The network has the attention that it was published with, but for the fields that are given.

        Raises:
            TypeError: if there is no field of a name.
            ValueError: as for `Recipe`.
        """
        of_attention = {field.name for field in dataclasses.fields(AttentionConfig)}
        if of_attention - fields.keys():
            fields = vars(find_model(model).architecture.attention) | fields
        return from_flat(cls, {"model": model, "dataset": dataset, **fields})

    def replace(self, **fields: Any) -> "Recipe":
        """The same recipe, but for these fields by name; another network has its own attention where this one has its own."""
        kept = self.flat()
        if "model" in fields:
            own = vars(find_model(self.model).architecture.attention)
            kept = {name: value for name, value in kept.items() if name not in own or value != own[name]}
        return self.of(**kept | fields)

    def flat(self) -> dict[str, Any]:
        """All values by the names of the fields, for config.json."""
        return flat_values(self)
