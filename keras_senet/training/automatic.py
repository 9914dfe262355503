"""The recipe of a run for which the user names none: it follows the network and the number of images."""

import math
from typing import Any

from keras_senet.layers.attention import AttentionConfig
from keras_senet.models.registry import find_model, published_for
from keras_senet.pretrained import checkpoints_of
from keras_senet.settings import flat_fields
from keras_senet.training.recipe import HEADS, Recipe

FEW = 50_000  # images: from fewer, a network learns more if it starts from published weights
# In a mirror these are other characters, or none.
CHARACTERS = ("digit_scenes", "digits", "emnist", "kmnist", "mnist", "omniglot", "svhn_cropped")
_OF_THE_FUNCTION = [field.name for field in flat_fields(AttentionConfig)] + ["mean_only"]
# Beside SGD: how much smaller the learning rate is, and the weight decay, which the others take as it is.
_OPTIMIZERS = {"adamw": (0.01, 0.05), "lamb": (0.05, 0.02)}


def automatic_recipe(model: str, dataset: str, images: int, multi_label: bool = False, **fields: Any) -> tuple[Recipe, str]:
    """A recipe that fits a network and a number of images.

    It fine-tunes published weights if the network has some and there are few images, else it trains from random weights; both
    with a learning rate that falls as a cosine after a warm-up. Batch size, learning rate and epochs follow from the number of
    images. To detect or to segment it takes AdamW and batches of 16, and narrow heads for small images.

    Args:
        model: name of the network.
        dataset: name of the dataset, or a folder.
        images: number of training images.
        multi_label: whether an image can have several labels.
        **fields: fields of `Recipe` that are given; they stay as they are.

    Returns:
        The recipe, and a line that says what was chosen and why.

    Raises:
        ValueError: if there is no such network, or a field has a value that it does not take.

    Example:

    >>> recipe, why = keras_senet.training.automatic_recipe("SEResNet20", "digits", images=1437)
    >>> recipe.epochs, recipe.batch_size, recipe.learning_rate
    (21, 64, 0.1)
    """
    weights, why = _weights(model, images, fields)
    size = fields.get("image_size") or find_model(model).architecture.input_size
    choose = _for_places if fields.get("task", "classify") != "classify" else _for_labels
    chosen: dict[str, Any] = {
        "weights": weights,
        "schedule": "step" if fields.get("decay_boundaries") else "cosine",
        "flip": dataset.partition("/")[0] not in CHARACTERS,
        **choose(images, weights is not None, size, multi_label, fields),
    }
    if not fields.get("warmup_steps") and fields.get("schedule") != "plateau":
        chosen["warmup_epochs"] = min(1.0, fields.get("epochs", chosen["epochs"]) / 5)
    recipe = Recipe.of(model, dataset, **chosen | fields)
    return recipe, (
        f"No recipe was named, so it follows from the network and {images:,} training images: {why}; {recipe.epochs} epochs in "
        f"batches of {recipe.batch_size}, learning rate {recipe.learning_rate:g} ({recipe.schedule})."
    )


def _for_labels(images: int, pretrained: bool, size: int, multi_label: bool, fields: dict[str, Any]) -> dict[str, Any]:
    """To classify images."""
    batch_size = fields.get("batch_size") or min(images, max(8, min(256, 2 ** int(math.log2(max(images / 20, 1))))))
    few = images < FEW
    if not pretrained:
        chosen: dict[str, Any] = {
            "epochs": max(20, min(100, round(30_000 / images))),
            "learning_rate": 0.1 * math.sqrt(batch_size / 64),
            "weight_decay": 5e-4 if few else 1e-4,
        }
    else:
        chosen = {"epochs": max(5, min(40, round(10_000 / images))), "learning_rate": 0.01 * max(1.0, batch_size / 64)}
    if fields.get("optimizer") in _OPTIMIZERS:
        factor, chosen["weight_decay"] = _OPTIMIZERS[fields["optimizer"]]
        chosen["learning_rate"] *= factor
    chosen |= {"crop": "shift"} if size <= 64 else {"area_min": 0.25 if few else 0.08}
    return chosen | {
        "batch_size": batch_size,
        "learning_rate": float(f"{chosen['learning_rate']:.3g}"),
        # Each of several labels is by itself, so that there is nothing to spread over all classes.
        "loss": "asymmetric" if multi_label else "categorical",
        "label_smoothing": 0.0 if multi_label else 0.1,
    }


def _for_places(images: int, pretrained: bool, size: int, multi_label: bool, fields: dict[str, Any]) -> dict[str, Any]:
    """To detect or to segment."""
    batch_size = fields.get("batch_size") or min(images, 16)
    optimizer = fields.get("optimizer", "adamw")
    # Recipe refuses what is no optimizer and no task.
    rate = {"adamw": 1e-3, "lamb": 5e-3}.get(optimizer, 0.01) * math.sqrt(batch_size / 16) * (0.2 if pretrained else 1.0)
    small = size <= 128
    heads = {
        "retinanet": {"width": 64, "depth": 2},
        "faster_rcnn": {"width": 64, "units": 256, "proposals": 100},
        "unet": {"width": 8},
        "deeplab": {"width": 64, "low_width": 32},
    }
    head = fields.get("head") or next(iter(HEADS.get(fields["task"], ())), None)
    return {
        "epochs": max(5, min(100, round(24_000 / images))),
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": float(f"{rate:.3g}"),
        "weight_decay": 1e-4,
        "clip_norm": 10.0,
        "freeze_norm": pretrained and fields["task"] == "detect",
        "head_kwargs": heads.get(head) if small else None,
        **({"crop": "shift"} if small else {"area_min": 0.25}),
    }


def _weights(model: str, images: int, fields: dict[str, Any]) -> tuple[str | None, str]:
    """The weights to start from, and why."""
    if "weights" in fields:
        return fields["weights"], f"weights {fields['weights'] or 'at random'}, as given"
    name = find_model(model).__name__
    if not checkpoints_of(name):
        return None, "random weights, since it has none published"
    if not published_for(name, fields.get("model_kwargs") or {}):
        return None, "random weights, since those that are published have another `model_kwargs`"
    if images >= FEW:
        return None, "random weights, since there are enough images"
    defaults = {field.name: field.default for field in flat_fields(Recipe)} | vars(find_model(model).architecture.attention)
    for name in _OF_THE_FUNCTION:
        if fields.get(name, defaults[name]) != defaults[name]:
            return None, f"random weights, since those that are published have another `{name}`"
    return "imagenet", "published weights, since the images are few"
