"""Images with labels: where they come from, and the tf.data pipelines that feed training and evaluation."""

from keras_senet.data.pipeline import (
    AUGMENTATIONS,
    default_crop_ratio,
    evaluation_batches,
    evaluation_image,
    list_images,
    read_image,
    training_batches,
)
from keras_senet.data.sources import HELD_OUT, IMAGE_SUFFIXES, LabelledImages, load

__all__ = [
    "AUGMENTATIONS",
    "HELD_OUT",
    "IMAGE_SUFFIXES",
    "LabelledImages",
    "default_crop_ratio",
    "evaluation_batches",
    "evaluation_image",
    "list_images",
    "load",
    "read_image",
    "training_batches",
]
