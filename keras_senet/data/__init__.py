"""Images with labels: where they come from, and the tf.data pipelines that feed training and evaluation."""

from keras_senet.data.augmentation import CROPS, Augmentation
from keras_senet.data.batches import evaluation_batches, training_batches
from keras_senet.data.damaged import plain_errors
from keras_senet.data.decode import evaluation_image, list_images, read_image, ten_crops
from keras_senet.data.order import Place, Shard
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
