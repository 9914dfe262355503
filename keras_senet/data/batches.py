"""Batches to train on and to evaluate on: from labelled images through order, decoding and augmentation to pixels."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_senet.data import damaged, decode, order
from keras_senet.data.augmentation import Augmentation
from keras_senet.data.elements import Group, batched, hot_labels
from keras_senet.data.labelled_images import LabelledImages
from keras_senet.data.order import Place, Shard
from keras_senet.data.placing import NO_CLASS, letterbox
from keras_senet.errors import InputError
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.inference.tasks import CLASSIFY, DETECT


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
    targets: Callable[..., tuple] | None = None,
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
            WebP and 24-bit BMP; masks must be gray PNG files of 8 bits. The order then differs from run to run.
        targets: for detection and segmentation a function `(image, objects or mask) -> (inputs, targets)` of single examples,
            such as `keras_senet.detection.encoder(model)`. Batches are then of what it returns.
        taught: function from the names of a batch's images to what a teacher says of them.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)`: float32 RGB pixels in [0, 255] of shape
        `(batch_size, image_size, image_size, 3)`, and float32 labels `(batch_size, classes)`, one-hot, multi-hot where images
        have several labels, or mixed. With `taught`, these are the "labels" in a dictionary beside what was "taught". If an image
        cannot be decoded, a warning names it and another one appears twice.

        For detection the labels are a dictionary: "boxes", float32 `(batch_size, M, 4)`, left, top, right and bottom in pixels of
        the batch's image; and "labels", int32 `(batch_size, M)`, the class of each, -1 for padding. Crowds are no targets. For
        segmentation they are the masks, uint8 `(batch_size, image_size, image_size)`: class indices, or 255 for no class.

    Raises:
        ValueError: if a batch needs more images than there are; if `balanced` is set for images with several labels or objects,
            or an augmentation that these cannot follow; and while the batches are read, inside `plain_errors`, if over 1 % of the
            images cannot be decoded.

    Example:

    >>> digits = keras_senet.data.load("digits", "train[:64]", data_dir="data")
    >>> batches = keras_senet.data.training_batches(digits, image_size=32, batch_size=16)
    >>> images, labels = next(iter(batches))
    >>> images.shape, labels.shape
    (TensorShape([16, 32, 32, 3]), TensorShape([16, 10]))
    """
    if batch_size * shard.count > images.size:
        batch = f"{batch_size}" if shard.count == 1 else f"{batch_size} on each of {shard.count} workers"
        raise InputError(f"A batch of {batch} needs more images than the {images.size} there are: use a smaller batch size.")
    if balanced and (images.multi_label or images.task != CLASSIFY):
        raise InputError("`balanced` draws all classes equally often, but an image of several labels is of no one class.")
    augmentation.check_task(images.task)
    augmentation.check_image_size(image_size)
    batches_per_epoch = batches_per_epoch or images.size // (batch_size * shard.count)

    portable = data_service is not None
    if images.task == CLASSIFY:
        decoded = augmentation.decoder(image_size, portable)

        def decoder(encoded, label, key):
            return decoded(encoded, key), label
    else:
        decoder = decode.placed(
            images, image_size, lambda shape, key: augmentation.place(shape, image_size, key), portable=portable
        )

    def augmented(example):
        pixels, label = augmentation.apply_alike(example.pixels, example.label, example.key, images.task)
        if targets is not None:
            pixels, label = targets(pixels, _truth(images, label, image_size))
        return example._replace(pixels=pixels, label=label)

    def finished(batch):
        if images.task != CLASSIFY:
            return batch if targets is not None else batch._replace(label=_truth(images, batch.label, image_size))
        labels = hot_labels(batch.label, len(images.class_names))
        pixels, labels = augmentation.mix(batch.pixels, labels, batch.batch_key[0])
        if taught is not None:
            labels = {"labels": labels, "taught": taught(damaged.names(batch))}
        return batch._replace(pixels=pixels, label=labels)

    groups = order.groups(images, batch_size, batches_per_epoch, start, shard, aug_repeats, balanced)
    examples = decode.examples(groups, images, decoder, (image_size, image_size, 3))
    # Not in the decoder: its pipeline is set up again for every group, at a cost that grows with what it holds.
    examples = examples.map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    batches = batched(examples, batch_size, drop_remainder=True).map(finished, num_parallel_calls=tf.data.AUTOTUNE)
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
    targets: Callable[..., tuple] | None = None,
) -> tf.data.Dataset:
    """One pass over the images in storage order: the center of each image, or several views of it.

    For detection and segmentation it is the whole image, scaled to fit into a square at its top left; the rest is gray, and of
    no class.

    Args:
        images: what to evaluate on.
        preprocessing: what the network looks at, from `keras_senet.preprocessing_for`.
        batch_size: number of images per batch; fewer in the last batch and in those with damaged images.
        views: how many `evaluation_views` of each image to return; for more than one, pixels have the shape
            `(N, views, image_size, image_size, 3)`.
        shard: which of the processes that share the images this one is.
        padded_to: number of batches to return, all of `batch_size` images; None for no padding. Replicas that wait for each other
            need equally many batches of equal size, so images of weight 0 fill them up.
        targets: as for `training_batches`; as there, it knows nothing of crowds.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)` like those of `training_batches`, with one-hot or multi-hot labels. For
        detection without `targets`, labels have crowds, too, and "crowd", bool `(N, M)`, says which boxes these are.
        With `padded_to`, batches are `(images, labels, weights)`, weights float32 of shape `(batch_size,)`: 1 for an image, 0
        for padding.

    Raises:
        ValueError: if `batch_size` is less than 1, or `views` is another number, or over 1 for detection or segmentation; and
            while the batches are read, inside `plain_errors`, if over 1 % of the images cannot be decoded.

    Example:

    >>> digits = keras_senet.data.load("digits", "test[:5]", data_dir="data")
    >>> preprocessing = keras_senet.Preprocessing(image_size=32)
    >>> [(pixels.shape, labels.shape) for pixels, labels in keras_senet.data.evaluation_batches(digits, preprocessing, 3)]
    [(TensorShape([3, 32, 32, 3]), TensorShape([3, 10])), (TensorShape([2, 32, 32, 3]), TensorShape([2, 10]))]
    """
    if batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")

    if views not in decode.VIEWS:
        raise InputError(f"`views` must be one of {decode.VIEWS}. Received: views={views}")

    image_size = preprocessing.image_size
    if images.task == CLASSIFY:

        def decoder(encoded, label, _):
            if views == 1:
                return decode.evaluation_image(encoded, preprocessing), label
            return decode.evaluation_views(encoded, preprocessing, views), label
    else:
        if views > 1:
            raise InputError(f"For the task {images.task!r} `views` must be 1: the whole image. Received: views={views}")
        decoder = decode.placed(images, image_size, lambda shape, _: letterbox(shape, image_size), preprocessing.interpolation)

    def with_targets(example):
        pixels, label = targets(example.pixels, _truth(images, example.label, image_size))
        return example._replace(pixels=pixels, label=label)

    def finished(batch):
        batch = damaged.without_stand_ins(batch)
        if images.task == CLASSIFY:
            return batch._replace(label=hot_labels(batch.label, len(images.class_names)))
        return batch

    groups = batched(images.examples(None, shard.count, shard.index), batch_size).map(Group)
    shape = (views,) * (views > 1) + (image_size, image_size, 3)
    examples = decode.examples(groups, images, decoder, shape)
    if targets is not None:
        examples = examples.map(with_targets, num_parallel_calls=tf.data.AUTOTUNE)
    batches = damaged.noted(batched(examples, batch_size).map(finished), images.damaged, images.size)
    if padded_to is not None:
        fill = 0 if images.task == CLASSIFY or targets is not None else -1 if images.task == DETECT else NO_CLASS
        batches = _padded(batches, batch_size, padded_to, fill)
    if images.task != CLASSIFY and targets is None:
        batches = batches.map(
            lambda pixels, label, *weights: (pixels, _truth(images, label, image_size, with_crowds=True), *weights)
        )
    return batches.prefetch(tf.data.AUTOTUNE)


def _truth(images: LabelledImages, label: tf.Tensor, image_size: int, *, with_crowds: bool = False):
    """What is true of the square of one image, or of a batch of them: a dictionary of its objects, or its mask."""
    if images.task != DETECT:
        return tf.squeeze(label, -1)
    labels, crowd = tf.cast(label[..., 4], tf.int32), label[..., 5] > 0
    if with_crowds:
        shown, more = labels >= 0, {"crowd": crowd}
    else:
        shown, more = (labels >= 0) & ~crowd, {}
    boxes = tf.where(shown[..., tf.newaxis], label[..., :4] * image_size, -1.0)
    return {"boxes": boxes, "labels": tf.where(shown, labels, -1), **more}


def _padded(batches: tf.data.Dataset, batch_size: int, count: int, fill: int) -> tf.data.Dataset:
    """`count` batches `(images, labels, weights)` of exactly `batch_size`, from batches that may be smaller and fewer.

    The labels of what fills them up are `fill`.
    """

    def filled_up(*batch):
        present = tf.shape(tf.nest.flatten(batch)[0])[0]

        def filled(part, value):
            return tf.pad(part, [[0, batch_size - present]] + [[0, 0]] * (part.shape.rank - 1), constant_values=value)

        # The shapes of labels and weights stay unknown: if all shapes are known, TensorFlow's distributed iterator fails in the
        # midst of the step that meets the end of the data, after Keras has counted the images of that step for the mean loss.
        pixels, labels = batch
        pixels = tf.nest.map_structure(lambda part: tf.ensure_shape(filled(part, 0), (batch_size, *part.shape[1:])), pixels)
        return pixels, tf.nest.map_structure(lambda part: filled(part, fill), labels), filled(tf.ones([present]), 0)

    empty = tf.nest.map_structure(
        lambda spec: tf.zeros((0, *(side or 0 for side in spec.shape[1:])), spec.dtype), batches.element_spec
    )
    return batches.concatenate(tf.data.Dataset.from_tensors(empty).repeat()).map(filled_up).take(count)
