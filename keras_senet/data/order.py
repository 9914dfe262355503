"""Which image comes when, and with which random key: a function of seed, epoch and step, shared among processes."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_senet.data.elements import Group, batched
from keras_senet.data.labelled_images import LabelledImages

_ENDLESS = 2**40
_MAX_GROUP_SIZE = 64


@dataclasses.dataclass(frozen=True)
class Place:
    """A place in the endless sequence of training batches; the batches from there on are always the same.

    Attributes:
        seed: decides the order and the augmentation.
        epoch: index of the epoch, from 0.
        step: number of batches of this epoch to skip.

    Example:

    >>> keras_senet.data.Place(epoch=3)  # for `training_batches`: epoch 3 of the order that seed 0 gives
    Place(seed=0, epoch=3, step=0)
    """

    seed: int = 0
    epoch: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Shard:
    """One process's share of the images, where several processes divide them.

    Attributes:
        count: number of processes.
        index: which of them this is, from 0.

    Example:

    >>> digits = keras_senet.data.load("digits", "test[:5]", data_dir="data")
    >>> shares = [keras_senet.data.Shard(count=2, index=index) for index in range(2)]
    >>> [len(list(digits.examples(None, share.count, share.index))) for share in shares]
    [3, 2]
    """

    count: int = 1
    index: int = 0


def groups(
    images: LabelledImages,
    batch_size: int,
    batches_per_epoch: int,
    start: Place,
    shard: Shard,
    repeats: int,
    balanced: bool,
) -> tf.data.Dataset:
    """Endless groups of training images, shuffled anew in each epoch.

    Args:
        images: what to train on.
        batch_size: number of images per batch. A group is a whole fraction of a batch.
        batches_per_epoch: number of batches until the order is drawn anew; the images are repeated if they do not suffice.
        start: the seed, and where to begin.
        shard: which share of the images to return.
        repeats: how often each image appears in a row, each time with another key.
        balanced: whether to drop images at random until all classes are as frequent as the rarest.

    Returns:
        A `tf.data.Dataset` of `Group`.
    """
    group_size = next(size for size in range(min(batch_size, _MAX_GROUP_SIZE), 0, -1) if batch_size % size == 0)
    keep_ratios = _keep_ratios(images) if balanced else None

    def groups_of_epoch(epoch):
        epoch_key = tf.random.fold_in(tf.constant([start.seed, 0], tf.int64), epoch)
        order_key, image_key, batch_key = tf.unstack(tf.random.split(epoch_key, 3))

        def group(indices, examples):
            # Workers take turns, so these are the keys of a single worker's batches.
            keys = tf.vectorized_map(lambda index: tf.random.fold_in(image_key, index), indices * shard.count + shard.index)
            index = indices[0] // group_size
            return Group(*examples, keys, tf.random.fold_in(batch_key, index * shard.count + shard.index))

        passes = tf.data.Dataset.range(_ENDLESS)
        examples = passes.flat_map(lambda index: _one_pass(images, shard, tf.random.fold_in(order_key, index), keep_ratios))
        if repeats > 1:
            examples = examples.flat_map(lambda *example: tf.data.Dataset.from_tensors(example).repeat(repeats))
        skipped = tf.where(epoch == start.epoch, tf.constant(start.step * batch_size, tf.int64), 0)
        examples = examples.enumerate().take(batches_per_epoch * batch_size).skip(skipped)
        return batched(examples, group_size).map(group)

    return tf.data.Dataset.range(start.epoch, _ENDLESS).flat_map(groups_of_epoch)


def _one_pass(images: LabelledImages, shard: Shard, key: tf.Tensor, keep_ratios: tf.Tensor | None) -> tf.data.Dataset:
    """This process's images once, shuffled, reduced to `keep_ratios` of each class."""
    # Datasets mix the graph's seed into their own: TensorFlow's global seed must not change the order, and 0 fails.
    tf.compat.v1.set_random_seed(1)
    order_key, choice_key = tf.unstack(tf.random.split(key))
    examples = images.examples(order_key[0], shard.count, shard.index)
    if keep_ratios is None:
        return examples

    def is_kept(index, example):
        _, _, label = example
        return tf.random.stateless_uniform((), tf.random.fold_in(choice_key, index)) < tf.gather(keep_ratios, label)

    return examples.enumerate().filter(is_kept).map(lambda index, example: example)


def _keep_ratios(images: LabelledImages) -> tf.Tensor:
    """The share of each class's images to keep, so that every class is as frequent as the rarest."""
    counts = np.zeros(len(images.class_names))
    for labels in images.examples(None).map(lambda name, source, label: label).batch(10_000).as_numpy_iterator():
        counts += np.bincount(labels, minlength=len(counts))
    return tf.constant(counts[counts > 0].min() / np.maximum(counts, 1), tf.float32)
