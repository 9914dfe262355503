"""Damaged images: what stands in for them, and how they are reported.

An image turns out to be damaged only when decoding fails, but batches must keep their size. So other images of its group appear a
second time in its place, or black ones without a label if the whole group is damaged. Each example carries its slot, its position
in the group, and the names of the whole group: a slot that does not appear belongs to a damaged image.
"""

import contextlib
import itertools
import os
import re
import warnings
from collections.abc import Iterator

import tensorflow as tf

from keras_senet.data.elements import Example
from keras_senet.data.formats import not_an_image
from keras_senet.errors import InputError

_SEPARATOR = "\0"  # occurs in no path
_MAX_DAMAGED = 0.01  # of the images
_TOO_MANY_DAMAGED = "{} of the {} images cannot be decoded, over 1 %: repair or remove them. The last one was {}"


class DamagedImages(set[str]):
    """The names of a dataset's images that could not be decoded so far. Reading batches adds to it."""

    def report(self, name: str, image_count: int) -> None:
        """Adds the image `name`, with a warning the first time.

        Raises:
            ValueError: if over 1 % of the `image_count` images are damaged.
        """
        if name in self:
            return
        # A name that is not UTF-8 has lost letters on its way here, so no file has it.
        if os.path.isdir(os.path.dirname(name)) and "\ufffd" not in name and not os.path.exists(name):
            warnings.warn(f"Left out {name}: it is no longer there.", stacklevel=1)
        else:
            warnings.warn(f"Left out {name}: {not_an_image()}.", stacklevel=1)
        self.add(name)
        if len(self) > _MAX_DAMAGED * image_count:
            raise InputError(_TOO_MANY_DAMAGED.format(len(self), image_count, name))


def filled(examples: tf.data.Dataset, size: tf.Tensor, black: Example) -> tf.data.Dataset:
    """The `size` examples of a group, with others or `black` in place of those whose decoding raises an error."""
    blacks = tf.data.Dataset.from_tensors(black).repeat()
    return examples.ignore_errors().repeat(size).concatenate(blacks).take(size)


def without_stand_ins(batch: Example) -> Example:
    """A batch of one group without the images that stand in for damaged ones; `slot` and `group_names` stay whole."""
    slots = batch.slot
    is_first_pass = tf.concat([slots[:1] >= 0, slots[1:] > slots[:-1]], 0)  # up to the first False
    is_first_pass = tf.math.cumprod(tf.cast(is_first_pass, tf.int32)) > 0
    pixels, label = tf.nest.map_structure(lambda values: tf.boolean_mask(values, is_first_pass), (batch.pixels, batch.label))
    return batch._replace(pixels=pixels, label=label)


def joined(names: tf.Tensor) -> tf.Tensor:
    """The names of a group as `Example.group_names`."""
    return tf.strings.reduce_join(names, separator=_SEPARATOR)


def names(batch: Example) -> tf.Tensor:
    """The names of the images in a batch, strings of shape `(N,)`; for a black image that of the first in its group."""
    in_group = tf.strings.split(batch.group_names, _SEPARATOR)
    return tf.gather(in_group, tf.maximum(batch.slot, 0)[:, tf.newaxis], batch_dims=1)[:, 0]


def noted(batches: tf.data.Dataset, damaged: DamagedImages, image_count: int) -> tf.data.Dataset:
    """Batches `(pixels, labels)` of batches of `Example`; reading them reports to `damaged` which images are missing."""

    def report_missing(slots, group_names):
        for names, pairs in itertools.groupby(zip(group_names.numpy(), slots.numpy(), strict=True), key=lambda pair: pair[0]):
            present = {slot for _, slot in pairs}
            for slot, name in enumerate(names.decode(errors="replace").split(_SEPARATOR)):
                if slot not in present:
                    damaged.report(name, image_count)
        return True

    def note(batch):
        slots, names = batch.slot, batch.group_names
        # Python runs only for batches with stand-ins. TensorFlow runs it though no result is used, since it has side effects.
        has_stand_ins = tf.reduce_any((slots[1:] <= slots[:-1]) & (names[1:] == names[:-1])) | tf.reduce_any(slots < 0)
        tf.cond(has_stand_ins, lambda: tf.py_function(report_missing, [slots, names], tf.bool), lambda: True)
        return batch.pixels, batch.label

    return batches.map(note)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """While batches are read: raises the error about damaged images itself, not TensorFlow's account of it.

    Raises:
        ValueError: if over 1 % of the images are damaged.

    Example:

    >>> batches = tf.data.Dataset.range(5).batch(3)  # or of `evaluation_batches`
    >>> with keras_senet.data.plain_errors():
    ...     [len(batch) for batch in batches]
    [3, 2]
    """
    try:
        yield
    except tf.errors.OpError as error:
        message = re.search(_TOO_MANY_DAMAGED.format(r"\d+", r"\d+", ".*"), str(error))
        if message is None:
            raise
        raise InputError(message[0]) from error
