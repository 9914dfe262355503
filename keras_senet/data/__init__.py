"""Images with labels: where they come from, and the tf.data pipelines that feed training and evaluation."""

from keras_senet.data.augmentation import CROPS, Augmentation
from keras_senet.data.order import Place, Shard
from keras_senet.data.pipeline import (
    evaluation_batches,
    evaluation_image,
    list_images,
    plain_errors,
    read_image,
    ten_crops,
    training_batches,
)
from keras_senet.data.sources import LabelledImages, load

__all__ = [
    "CROPS",
    "Augmentation",
    "LabelledImages",
    "Place",
    "Shard",
    "evaluation_batches",
    "evaluation_image",
    "list_images",
    "load",
    "plain_errors",
    "read_image",
    "ten_crops",
    "training_batches",
]
