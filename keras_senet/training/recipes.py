"""The named recipes, as published. Each takes the network and the dataset, and any field of a recipe by name."""

import functools
from collections.abc import Callable

from keras_senet.training.recipe import Recipe

RECIPES: dict[str, Callable[..., Recipe]] = {
    # Hu et al., arXiv 1709.01507, section 6.1.
    "paper": functools.partial(Recipe.of, base_batch_size=1024),
    # The same, sections 6.1 and appendix, with the augmentation of the released networks.
    "senet154": functools.partial(
        Recipe.of,
        batch_size=2048,
        learning_rate=1.0,
        base_batch_size=2048,
        label_smoothing=0.1,
        rotation=10.0,
        pixel_jitter=20.0,
        freeze_bn_epochs=5,  # "the last epochs": how many is our choice
    ),
    # The same, section 6.1, on MobileNet and ShuffleNet; how much milder the augmentation is is our choice.
    "mobile": functools.partial(
        Recipe.of, epochs=400, batch_size=256, learning_rate=0.1, base_batch_size=256, schedule="plateau", area_min=0.25
    ),
    # He et al., arXiv 1512.03385, section 4.2, with the longer schedule that is usual since.
    "cifar": functools.partial(
        Recipe.of, crop="shift", epochs=200, batch_size=128, learning_rate=0.1, base_batch_size=128, weight_decay=5e-4
    ),
    # Published weights under a new classifier: a short, gentle run. Our choice.
    "finetune": functools.partial(
        Recipe.of,
        weights="imagenet",
        area_min=0.25,
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
    Recipe.of,
    rand_augment_magnitude=7.0,
    mixup_alpha=0.1,
    cutmix_alpha=1.0,
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
        _STRIKES_BACK, epochs=600, mixup_alpha=0.2, aug_repeats=3, drop_path=0.05, weight_decay=0.01, label_smoothing=0.1
    ),
    "a2": functools.partial(_STRIKES_BACK, epochs=300, aug_repeats=3, drop_path=0.05),
    "a3": functools.partial(_STRIKES_BACK, epochs=100, image_size=160, rand_augment_magnitude=6.0, learning_rate=8e-3),
}
