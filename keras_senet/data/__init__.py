"""Images with labels: where they come from, and the tf.data pipelines that feed training and evaluation."""

from keras_senet.data.augmentation import CROPS, Augmentation
from keras_senet.data.batches import evaluation_batches, training_batches
from keras_senet.data.damaged import plain_errors
from keras_senet.data.decode import VIEWS, evaluation_image, evaluation_views, list_images, read_image, read_shape
from keras_senet.data.labelled_images import LabelledImages
from keras_senet.data.matching import match_classes
from keras_senet.data.order import Place, Shard
from keras_senet.data.sources import load, load_test
from keras_senet.data.table import contents

__all__ = [
    "CROPS",
    "VIEWS",
    "Augmentation",
    "LabelledImages",
    "Place",
    "Shard",
    "contents",
    "evaluation_batches",
    "evaluation_image",
    "evaluation_views",
    "list_images",
    "load",
    "load_test",
    "match_classes",
    "plain_errors",
    "read_image",
    "read_shape",
    "training_batches",
]
