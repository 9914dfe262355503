"""What a dataset is, wherever it comes from: images with labels, still encoded."""

import dataclasses
import os
from collections.abc import Callable

import tensorflow as tf

from keras_senet.data.damaged import DamagedImages
from keras_senet.inference.tasks import CLASSIFY


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with labels, still encoded.

    Attributes:
        examples: function `examples(seed, workers=1, worker=0)` that returns a `tf.data.Dataset` of (name, source, label): two
            string scalars and an int64 scalar; with several labels an image, the label is an int64 vector of class indices,
            padded with -1. For detection it is the objects, float32 of shape `(M, 6)`, and for segmentation the source of the
            mask, see `placing.py`. The seed, an int64 tensor, decides their order; None means storage order. Each of several
            workers gets its share of the images. The name is the image's file name if the dataset knows it.
        read: function from a source to the encoded image, both string scalars.
        size: number of images.
        class_names: the labels' names.
        counts: number of images of each class, if it is known before all are read; for detection number of objects, for
            segmentation of images that show some of it.
        notes: what there is to know about the choice of these images, in sentences, such as what was left out.
        damaged: names of the images that could not be decoded, as far as they have been read.
        multi_label: whether an image can have several labels, or none. The batches then have multi-hot labels.
        task: "classify", "detect" or "segment". For segmentation, a class's index is its value in the masks.

    Example:

    >>> digits = keras_senet.data.load("digits", "test[:5]", data_dir="data")
    >>> digits.size, digits.task, digits.class_names[:3]
    (5, 'classify', ['0', '1', '2'])
    >>> name, source, label = next(iter(digits.examples(None)))
    >>> tf.io.decode_png(digits.read(source)).shape
    TensorShape([8, 8, 1])
    """

    examples: Callable[..., tf.data.Dataset]
    read: Callable[[tf.Tensor], tf.Tensor]
    size: int
    class_names: list[str]
    counts: list[int] | None = None
    notes: tuple[str, ...] = ()
    damaged: DamagedImages = dataclasses.field(default_factory=DamagedImages)
    multi_label: bool = False
    task: str = CLASSIFY


def examples_in_memory(listed: tf.data.Dataset, size: int) -> Callable[..., tf.data.Dataset]:
    """`LabelledImages.examples` of a dataset that fits into memory: each worker reads all of it and keeps every n-th image."""
    cached = listed.cache()

    def examples(seed, workers=1, worker=0):
        # If the first pass over a cache stops early, say after one batch, TensorFlow may take what it read for all there is. So
        # only shuffling uses the cache: it reads all of it first.
        ordered = listed if seed is None else cached.shuffle(size, seed=seed, reshuffle_each_iteration=False)
        return ordered.shard(workers, worker)

    return examples


def memory_size() -> int:
    """This machine's memory, bytes; a guess of 4 GiB where the system does not tell, as on Windows."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 4 * 2**30
