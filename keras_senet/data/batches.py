"""Batches to train on and to evaluate on: from labelled images through order, decoding and augmentation to pixels."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_senet.data import damaged, decode, order
from keras_senet.data.augmentation import Augmentation
from keras_senet.data.elements import Group, hot_labels
from keras_senet.data.order import Place, Shard
from keras_senet.data.sources import LabelledImages
from keras_senet.errors import InputError
from keras_senet.inference.preprocessing import Preprocessing


def training_batches(
    images: LabelledImages,
    image_size: int,
    batch_size: int,
    augmentation: Augmentation = Augmentation(),
    *,
    aug_repeats: int = 1,
    balanced: bool = False,
    start: Place = Place(),
    shard: Shard = Shard(),
    batches_per_epoch: int | None = None,
    data_service: str | None = None,
    taught: Callable[[tf.Tensor], Any] | None = None,
) -> tf.data.Dataset:
    """Endless shuffled, augmented batches.

    Each batch is a function of the seed, the epoch and the step, so training can resume at any step. If the images fit into
    memory, the number of workers that share them only decides who gets which image of a batch.

    Args:
        images: what to train on.
        image_size: height and width of the images in the batches, pixels.
        batch_size: number of images per batch.
        augmentation: how the images are changed at random.
        aug_repeats: how often each image appears in a row, each time augmented anew; an epoch has as many times fewer images.
        balanced: whether to make all classes as frequent as the rarest, instead of keeping their shares.
        start: the seed of order and augmentation, and where to begin.
        shard: which of the processes that share the images this one is.
        batches_per_epoch: by default, as many as the images fill.
        data_service: address of the dispatcher of a tf.data service whose workers do all this, such as
            "grpc://10.0.0.1:5000". They must see the same files, of formats that TensorFlow reads without Python: JPEG, PNG,
            WebP and 24-bit BMP. The order then differs from run to run.
        taught: function from the names of a batch's images to what a teacher says of them.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)`: float32 RGB pixels in [0, 255] of shape
        `(batch_size, image_size, image_size, 3)`, and float32 labels `(batch_size, classes)`, one-hot, multi-hot where images
        have several labels, or mixed. With `taught`, these are the "labels" in a dictionary beside what was "taught". If an image
        cannot be decoded, a warning names it and another one appears twice.

    Raises:
        ValueError: if a batch needs more images than there are, or if `balanced` is set for images with several labels; and
            while the batches are read, inside `plain_errors`, if over 1 % of the images cannot be decoded.
    """
    if batch_size * shard.count > images.size:
        batch = f"{batch_size}" if shard.count == 1 else f"{batch_size} on each of {shard.count} workers"
        raise InputError(f"A batch of {batch} needs more images than the {images.size} there are: use a smaller batch size.")
    if balanced and images.multi_label:
        raise InputError("`balanced` draws all classes equally often, but an image of several labels is of no one class.")
    batches_per_epoch = batches_per_epoch or images.size // (batch_size * shard.count)

    def augmented(example):
        return example._replace(pixels=augmentation.apply(example.pixels, example.key))

    def mixed(batch):
        labels = hot_labels(batch.label, len(images.class_names))
        pixels, labels = augmentation.mix(batch.pixels, labels, batch.batch_key[0])
        if taught is not None:
            labels = {"labels": labels, "taught": taught(damaged.names(batch))}
        return batch._replace(pixels=pixels, label=labels)

    groups = order.groups(images, batch_size, batches_per_epoch, start, shard, aug_repeats, balanced)
    decoder = augmentation.decoder(image_size, portable=data_service is not None)
    examples = decode.examples(groups, images, decoder, (image_size, image_size, 3))
    # Not in the decoder: its pipeline is set up again for every group, at a cost that grows with what it holds.
    examples = examples.map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    batches = examples.batch(batch_size, drop_remainder=True).map(mixed, num_parallel_calls=tf.data.AUTOTUNE)
    if data_service is not None:
        # Workers split the epochs dynamically, so that no image comes twice before each came once.
        policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
        batches = batches.apply(tf.data.experimental.service.distribute(policy, data_service))
    batches = damaged.noted(batches, images.damaged, images.size).prefetch(tf.data.AUTOTUNE)
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def evaluation_batches(
    images: LabelledImages,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    views: int = 1,
    shard: Shard = Shard(),
    padded_to: int | None = None,
) -> tf.data.Dataset:
    """One pass over the images in storage order: the center of each image, or several views of it.

    Args:
        images: what to evaluate on.
        preprocessing: what the network looks at, from `keras_senet.preprocessing_for`.
        batch_size: number of images per batch; fewer in the last batch and in those with damaged images.
        views: how many `evaluation_views` of each image to return; for more than one, pixels have the shape
            `(N, views, image_size, image_size, 3)`.
        shard: which of the processes that share the images this one is.
        padded_to: number of batches to return, all of `batch_size` images; None for no padding. Replicas that wait for each other
            need equally many batches of equal size, so images of weight 0 fill them up.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)` like those of `training_batches`, with one-hot or multi-hot labels.
        With `padded_to`, batches are `(images, labels, weights)`, weights float32 of shape `(batch_size,)`: 1 for an image, 0
        for padding.

    Raises:
        ValueError: if `batch_size` is less than 1, or `views` is another number; and while the batches are read, inside
            `plain_errors`, if over 1 % of the images cannot be decoded.
    """
    if batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")

    if views not in decode.VIEWS:
        raise InputError(f"`views` must be one of {decode.VIEWS}. Received: views={views}")

    def decoder(encoded, _):
        if views == 1:
            return decode.evaluation_image(encoded, preprocessing)
        return decode.evaluation_views(encoded, preprocessing, views)

    def finished(batch):
        batch = damaged.without_stand_ins(batch)
        return batch._replace(label=hot_labels(batch.label, len(images.class_names)))

    groups = images.examples(None, shard.count, shard.index).batch(batch_size).map(Group)
    shape = (views,) * (views > 1) + (preprocessing.image_size, preprocessing.image_size, 3)
    batches = decode.examples(groups, images, decoder, shape).batch(batch_size).map(finished)
    batches = damaged.noted(batches, images.damaged, images.size)
    if padded_to is not None:
        batches = _padded(batches, batch_size, padded_to)
    return batches.prefetch(tf.data.AUTOTUNE)


def _padded(batches: tf.data.Dataset, batch_size: int, count: int) -> tf.data.Dataset:
    """`count` batches `(images, labels, weights)` of exactly `batch_size`, from batches that may be smaller and fewer."""

    def fill(*batch):
        present = tf.shape(batch[0])[0]
        # The shapes of labels and weights stay unknown: if all shapes are known, TensorFlow's distributed iterator fails in the
        # midst of the step that meets the end of the data, after Keras has counted the images of that step for the mean loss.
        pixels, labels = (tf.pad(part, [[0, batch_size - present]] + [[0, 0]] * (part.shape.rank - 1)) for part in batch)
        weights = tf.pad(tf.ones([present]), [[0, batch_size - present]])
        return tf.ensure_shape(pixels, (batch_size, *batch[0].shape[1:])), labels, weights

    empty = tuple(tf.zeros((0, *spec.shape[1:]), spec.dtype) for spec in batches.element_spec)
    return batches.concatenate(tf.data.Dataset.from_tensors(empty).repeat()).map(fill).take(count)
