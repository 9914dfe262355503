"""Objects and masks in the datasets of tensorflow-datasets: which features hold them, and how they become ours."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_senet.data.masks import mask_values
from keras_senet.data.placing import NO_CLASS
from keras_senet.errors import InputError
from keras_senet.inference.tasks import DETECT

_MASKS = ("segmentation_mask", "mask", "segmentation_label", "annotation", "label")


def target_feature(features: Any, task: str) -> str | None:
    """The name of the feature that holds the objects or the mask of an image; None if there is none."""
    features = dict(features.items())
    if "image" not in features:
        return None
    if task == DETECT:
        objects = getattr(features.get("objects"), "feature", None)
        fits = hasattr(objects, "keys") and {"bbox", "label"} <= objects.keys() and hasattr(objects["label"], "names")
        return "objects" if fits else None
    # The features of other datasets that have these names are numbers, or masks of colors.
    shapes: dict[str, tuple] = {name: features[name].shape or () for name in _MASKS if name in features}
    return next((name for name, shape in shapes.items() if len(shape) == 3 and shape[-1] == 1), None)


def objects(found: dict[str, tf.Tensor]) -> tf.Tensor:
    """The feature `objects` of an example as `placing` has them, without those that have no area or no label."""
    boxes = keras.utils.bounding_boxes.convert_format(tf.clip_by_value(found["bbox"], 0.0, 1.0), "yxyx", "xyxy")
    label = tf.cast(found["label"], tf.float32)
    crowd = tf.cast(found["is_crowd"], tf.float32) if "is_crowd" in found else tf.zeros_like(label)
    rows = tf.concat([boxes, tf.stack([label, crowd], axis=1)], axis=1)
    return tf.boolean_mask(rows, tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1) & (label >= 0))


def check_objects(examples: tf.data.Dataset, owner: str) -> None:
    """Raises a ValueError if no image has an object, as in tests whose truth is kept secret."""
    with_objects = examples.map(lambda name, source, label: tf.size(label) > 0).filter(tf.identity)
    if not any(with_objects.take(1).as_numpy_iterator()):
        raise InputError(f"No image of {owner} has an object: there is nothing to detect. Name another split.")


def mask_classes(feature: Any, masks: tf.data.Dataset, owner: str) -> list[str]:
    """The names of the classes of a mask: those that the feature has, or the numbers up to the largest value in `masks`.

    Args:
        feature: the feature of tensorflow-datasets.
        masks: all encoded masks.
        owner: name of the dataset.
    """
    if getattr(feature, "names", None):
        return [*feature.names]
    largest = masks.map(
        lambda mask: tf.numpy_function(_largest_value, [mask], tf.int64, stateful=False), tf.data.AUTOTUNE, deterministic=False
    )
    highest = max(map(int, largest.as_numpy_iterator()), default=-1)
    if highest < 1:
        raise InputError(f"The masks of {owner} tell no two classes apart.")
    return [str(value) for value in range(highest + 1)]


def _largest_value(encoded: bytes) -> np.int64:
    values = mask_values(encoded)
    return np.int64(values[values != NO_CLASS].max(initial=0))
