"""The named recipes, as published. Each takes the network and the dataset, and any field of a recipe by name."""

import functools
from collections.abc import Callable

from keras_senet.training.recipe import Recipe

# What all training on ImageNet in the paper has in common (Hu et al., arXiv 1709.01507, section 6.1).
_PAPER = functools.partial(Recipe.of, mean_only=True)
# The same on CIFAR, whose images are normalized by the standard deviation, too.
_CIFAR = functools.partial(Recipe.of, crop="shift", batch_size=128, learning_rate=0.1, base_batch_size=128)

RECIPES: dict[str, Callable[..., Recipe]] = {
    # Section 6.1.
    "paper": functools.partial(_PAPER, base_batch_size=1024),
    # Section 6.1 and appendix, with the augmentation of the released networks.
    "senet154": functools.partial(
        _PAPER,
        batch_size=2048,
        learning_rate=1.0,
        base_batch_size=2048,
        label_smoothing=0.1,
        rotation=10.0,
        pixel_jitter=20.0,
        freeze_bn_epochs=5,  # "the last epochs": how many is our choice
    ),
    # Section 6.1, on MobileNet and ShuffleNet, with ShuffleNet's weight decay (Zhang et al., arXiv 1707.01083, section 4). How
    # much milder the augmentation is is our choice.
    "mobile": functools.partial(
        _PAPER,
        epochs=400,
        batch_size=256,
        learning_rate=0.1,
        base_batch_size=256,
        schedule="plateau",
        weight_decay=4e-5,
        area_min=0.25,
    ),
    # Section 7; the batch size is our choice. Its fixed schedule: schedule="step", epochs=270, decay_boundaries=(125, 200, 250).
    "ablation": functools.partial(
        _PAPER,
        use_bias=False,
        epochs=300,
        batch_size=256,
        learning_rate=0.1,
        base_batch_size=256,
        schedule="plateau",
        label_smoothing=0.1,
    ),
    # Section 6.2, which refers to others for the protocol: our choice is section 6.1's, shorter for 8 million images.
    "places365": functools.partial(_PAPER, epochs=30, base_batch_size=1024),
    # Section 6.3, which refers to others for the protocol: Detectron's schedule "2x" for Faster R-CNN has 180,000 steps of 16
    # images, and 24 epochs of 118,287 images are 177,430. The shorter side of its images is 800 pixels; ours are squares of 800.
    "coco": functools.partial(
        _PAPER,
        task="detect",
        head="faster_rcnn",
        head_kwargs={"scale": 8.0},
        freeze_norm=True,
        image_size=800,
        crop="center",
        epochs=24,
        batch_size=16,
        learning_rate=0.02,
        base_batch_size=16,
        decay_boundaries=(16, 22),
        warmup_steps=500,
        warmup_factor=1 / 3,
    ),
    # He et al., arXiv 1512.03385, section 4.2, and arXiv 1603.05027, appendix: 64,000 steps, of which 164 epochs are 63,960. The
    # warm-up is for 110 layers and more.
    "cifar-resnet": functools.partial(_CIFAR, epochs=164, decay_boundaries=(82, 123), warmup_steps=400, warmup_factor=0.1),
    # Zagoruyko and Komodakis, arXiv 1605.07146, section 3.
    "cifar-wrn": functools.partial(
        _CIFAR, epochs=200, decay_boundaries=(60, 120, 160), decay_factor=0.2, nesterov=True, weight_decay=5e-4
    ),
    # Gastaldi, arXiv 1705.07485, section 2.1, with the Cutout of DeVries and Taylor, arXiv 1708.04552, section 4.
    "cifar-shake": functools.partial(_CIFAR, epochs=1800, learning_rate=0.2, schedule="cosine", cutout=16),
    # The same, section 2.2, for CIFAR-100.
    "cifar100-shake": functools.partial(
        _CIFAR,
        epochs=1800,
        batch_size=32,
        learning_rate=0.025,
        base_batch_size=32,
        schedule="cosine",
        weight_decay=5e-4,
        cutout=8,
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
