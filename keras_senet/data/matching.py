"""The classes of labelled images, matched with those of a network by their names."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_senet.data.labelled_images import LabelledImages
from keras_senet.errors import InputError, named
from keras_senet.inference.labels import normalized, same_names
from keras_senet.inference.tasks import DETECT, SEGMENT


def match_classes(images: LabelledImages, class_names: Sequence[str] | None, classes: int) -> LabelledImages:
    """The same images, with the classes of a network in their order.

    Args:
        images: labelled images, from `keras_senet.data.load`.
        class_names: names of the network's classes; None if they are not known.
        classes: number of the network's classes.

    Returns:
        The images. A label is the index of the class of that name in the network; the network may have classes of which there is
        no image. If its names are not known, the classes are those of the images, in their order. But if these are called 0, 1, 2
        and so on, as those of ImageNet-v2, each name is the index.

    Raises:
        ValueError: if the network lacks a class of the images, or its names are not known and the numbers of classes differ.

    Example:

    >>> digits = keras_senet.data.load("digits", "test[:5]", data_dir="data")
    >>> names = ["letter", *digits.class_names]
    >>> matched = keras_senet.data.match_classes(digits, names, classes=11)
    >>> [[int(label) for _, _, label in images.examples(None)] for images in (digits, matched)]
    [[1, 4, 2, 3, 2], [2, 5, 3, 4, 3]]
    """
    if class_names is None:
        if classes != len(images.class_names):
            raise InputError(
                f"The network has {classes} classes, but the data has {len(images.class_names)}. It does not keep their names, "
                "so they cannot be matched: write them into a labels.txt beside it, one a line."
            )
        numbers = [str(index) for index in range(classes)]
        class_names = numbers if set(images.class_names) == set(numbers) else images.class_names
    if same_names(images.class_names, class_names):
        return dataclasses.replace(images, class_names=list(class_names))
    of_network = {name: index for index, name in enumerate(normalized(class_names))}
    if unknown := [name for name in normalized(images.class_names) if name not in of_network]:
        raise InputError(
            f"The data has classes that the network lacks: {named(unknown)}. The network has {named(class_names)}. Take images "
            "of these, or correct the names."
        )
    if images.task == SEGMENT:
        raise InputError(
            "The values of masks are class indices, so the data must have the classes of the network in their order: "
            f"{named(class_names)}. It has {named(images.class_names)}."
        )
    if len(of_network) < classes:
        raise InputError("The network has several classes of one name, so they cannot be told from each other by their names.")
    places = np.array([of_network[name] for name in normalized(images.class_names)], np.int64)

    def examples(*order, **share):
        def renumbered(name, source, label):
            if images.task == DETECT:
                places_of_objects = tf.gather(tf.cast(places, tf.float32), tf.cast(label[:, 4:5], tf.int32))
                return name, source, tf.concat([label[:, :4], places_of_objects, label[:, 5:]], axis=1)
            return name, source, tf.where(label < 0, label, tf.gather(places, tf.maximum(label, 0)))  # below 0: no label

        return images.examples(*order, **share).map(renumbered)

    counts = None
    if images.counts is not None:
        counts = [0] * classes
        for place, count in zip(places, images.counts, strict=True):
            counts[place] = count
    return dataclasses.replace(images, examples=examples, class_names=list(class_names), counts=counts)
