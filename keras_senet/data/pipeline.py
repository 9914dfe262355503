"""From encoded images to batches of pixels: decode only what is needed, augment, skip what is damaged."""

import contextlib
import itertools
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from keras_senet.data.augmentation import Augmentation, mix, pixel_jitter, rand_augment, rotate
from keras_senet.data.order import Place, Shard
from keras_senet.data.sources import IMAGE_SUFFIXES, LabelledImages
from keras_senet.errors import InputError, existing_path
from keras_senet.inference.preprocessing import Preprocessing

_ENDLESS = 2**40
_GROUP = 64  # images that are decoded together, at most
_SEPARATOR = "\0"  # in no path
_MOST_DAMAGED = 0.01  # of the images
_TOO_MANY_DAMAGED = "{} of the {} images cannot be decoded, over 1 %: repair or remove them. The last one was {}"


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
) -> tf.data.Dataset:
    """Shuffled, augmented batches without end.

    Each is a function of the seed, its epoch and its place there, so that training can go on from any step. How many workers
    share the images changes nothing else than who has which of them, if these fit into memory.

    Args:
        images: what to train on.
        image_size: height and width of the batches, pixels.
        batch_size: number of images in a batch.
        augmentation: how the images are changed at random.
        aug_repeats: how often an image follows itself, each time augmented anew; an epoch has as many images fewer.
        balanced: whether all classes are as frequent as the rarest, in place of their share of the images.
        start: the seed of the order and of the augmentation, and where to begin.
        shard: which of the processes that share the images this one is.
        batches_per_epoch: by default as many as the images fill.
        data_service: address of the dispatcher of a tf.data service, such as "grpc://10.0.0.1:5000", whose workers do all this.
            They see the same files. The order is then not the same in each run.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)`: float32 RGB pixels in [0, 255] of shape
        `(batch_size, image_size, image_size, 3)`, and float32 labels `(batch_size, classes)`, one-hot or mixed. In the place of
        an image that cannot be decoded is another one once more, and a warning names it.

    Raises:
        ValueError: if a batch needs more images than there are. While the batches are read, inside `plain_errors`: if more than
            1 % of the images cannot be decoded.
    """
    workers, worker = shard.count, shard.index
    seed, epoch, step = start.seed, start.epoch, start.step
    repeats = aug_repeats
    if batch_size * workers > images.size:
        batch = f"{batch_size}" if workers == 1 else f"{batch_size} on each of {workers} workers"
        raise InputError(f"A batch of {batch} needs more images than the {images.size} there are: use a smaller batch size.")
    batches_per_epoch = batches_per_epoch or images.size // (batch_size * workers)
    group_size = next(size for size in range(min(batch_size, _GROUP), 0, -1) if batch_size % size == 0)
    groups_per_batch = batch_size // group_size
    share = _balancing(images) if balanced else None

    def groups_of(this_epoch):
        key = tf.random.fold_in(tf.constant([seed, 0], tf.int64), this_epoch)
        passes, *keys = tf.unstack(tf.random.split(key, 3))

        def one_pass(number):
            # Of this graph alone: TensorFlow's global seed must not change the order, and fails where it is 0.
            tf.compat.v1.set_random_seed(1)
            order, choice = tf.unstack(tf.random.split(tf.random.fold_in(passes, number)))
            examples = images.examples(order[0], workers, worker)
            if share is None:
                return examples
            chosen = examples.enumerate().filter(
                lambda index, example: (
                    tf.random.stateless_uniform((), tf.random.fold_in(choice, index)) < tf.gather(share, example[2])
                )
            )
            return chosen.map(lambda index, example: example)

        examples = tf.data.Dataset.range(_ENDLESS).flat_map(one_pass)
        if repeats > 1:
            examples = examples.flat_map(lambda *example: tf.data.Dataset.from_tensors(example).repeat(repeats))
        groups = examples.batch(group_size, drop_remainder=True).take(batches_per_epoch * groups_per_batch).enumerate()
        left_out = tf.where(this_epoch == epoch, tf.constant(step * groups_per_batch, tf.int64), 0)
        return groups.skip(left_out).map(lambda number, group: ((number, *keys), group))

    def seeds(place, slot):
        group, key, _ = place
        # Images are dealt to the workers in turn.
        number = (group * group_size + tf.cast(slot, tf.int64)) * workers + worker
        return tf.unstack(tf.random.split(tf.random.fold_in(key, number), 5))

    def decode(place, slot, encoded):
        seed = seeds(place, slot)[0]
        if augmentation.crop == "random":
            return _decode_window(encoded, lambda shape: _random_window(shape, seed, augmentation.area_min), image_size)
        pixels = evaluation_image(encoded, Preprocessing(image_size, crop_ratio=1.0))
        if augmentation.crop == "shift":
            padded = image_size + 2 * (image_size // 8)
            pixels = tf.image.resize_with_crop_or_pad(pixels, padded, padded)
            pixels = tf.image.stateless_random_crop(pixels, (image_size, image_size, 3), seed)
        return pixels

    def augment(place, slot, pixels, *others):
        _, for_flip, for_rotation, for_jitter, for_operations = seeds(place, slot)
        if augmentation.flip:
            pixels = tf.image.stateless_random_flip_left_right(pixels, for_flip)
        if augmentation.rotation:
            pixels = rotate(pixels, for_rotation, augmentation.rotation)
        if augmentation.pixel_jitter:
            pixels = pixel_jitter(pixels, for_jitter, augmentation.pixel_jitter)
        if augmentation.rand_augment_magnitude:
            pixels = rand_augment(pixels, for_operations, augmentation.rand_augment_magnitude)
        return place, slot, pixels, *others

    def finish(place, slots, pixels, labels, names):
        labels = tf.one_hot(tf.where(slots < 0, tf.constant(-1, labels.dtype), labels), len(images.class_names))
        if augmentation.mixup_alpha or augmentation.cutmix_alpha:
            group, _, key = (parts[0] for parts in place)
            alphas = augmentation.mixup_alpha, augmentation.cutmix_alpha
            pixels, labels = mix(pixels, labels, tf.random.fold_in(key, group * workers + worker), *alphas)
        return pixels, labels, slots, names

    groups = tf.data.Dataset.range(epoch, _ENDLESS).flat_map(groups_of)
    examples = _decode_groups(groups, images, decode, (image_size, image_size, 3))
    # Apart from decoding, which begins anew with each group: that costs as much as there is in it.
    examples = examples.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    batches = examples.batch(batch_size, drop_remainder=True).map(finish, num_parallel_calls=tf.data.AUTOTUNE)
    if data_service is not None:
        # Dealt out by epochs, so that no image comes twice before each came once.
        policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
        batches = batches.apply(tf.data.experimental.service.distribute(policy, data_service))
    batches = batches.map(lambda pixels, labels, slots, names: (pixels, labels, _note_damaged(images, slots, names)))
    batches = batches.map(lambda pixels, labels, noted: (pixels, labels)).prefetch(tf.data.AUTOTUNE)
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def evaluation_batches(
    images: LabelledImages,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    ten_crop: bool = False,
    shard: Shard = Shard(),
    padded_to: int | None = None,
) -> tf.data.Dataset:
    """One pass over the images in storage order: the center of each image, or ten crops of it.

    Args:
        images: what to evaluate on.
        preprocessing: what the network looks at, from `keras_senet.preprocessing_for`.
        batch_size: number of images in a batch; the last may be smaller, and so are those with damaged images.
        ten_crop: whether to take the `ten_crops` of each image, pixels of shape `(N, 10, image_size, image_size, 3)`.
        shard: which of the processes that share the images this one is.
        padded_to: number of batches to return, all of `batch_size` images; None for no padding. Replicas that wait for each other
            need equally many batches of equal size, so images of weight 0 fill them up.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)` like those of `training_batches`, with one-hot labels. With `padded_to`,
        batches are `(images, labels, weights)`, weights float32 of shape `(batch_size,)`: 1 for an image, 0 for padding.

    Raises:
        ValueError: if `batch_size` is less than 1; and while the batches are read, inside `plain_errors`, if more than 1 % of
            the images cannot be decoded.
    """
    if batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")

    def decode(place, slot, encoded):
        return (ten_crops if ten_crop else evaluation_image)(encoded, preprocessing)

    def finish(place, slots, pixels, labels, names):
        # After the first pass over a group come images that take the places of damaged ones.
        first_pass = tf.math.cumprod(tf.cast(tf.concat([slots[:1] >= 0, slots[1:] > slots[:-1]], 0), tf.int32)) > 0
        pixels, labels = (tf.boolean_mask(values, first_pass) for values in (pixels, labels))
        return pixels, tf.one_hot(labels, len(images.class_names)), _note_damaged(images, slots, names)

    groups = images.examples(None, shard.count, shard.index).batch(batch_size).map(lambda *group: ((), group))
    shape = (10,) * ten_crop + (preprocessing.image_size, preprocessing.image_size, 3)
    batches = _decode_groups(groups, images, decode, shape).batch(batch_size).map(finish)
    batches = batches.map(lambda pixels, labels, noted: (pixels, labels))
    if padded_to is not None:
        batches = _padded(batches, batch_size, padded_to)
    return batches.prefetch(tf.data.AUTOTUNE)


def _padded(batches: tf.data.Dataset, batch_size: int, count: int) -> tf.data.Dataset:
    """`count` batches `(images, labels, weights)` of exactly `batch_size`, from batches that may be smaller and fewer."""

    def fill(*batch):
        present = tf.shape(batch[0])[0]
        filled = [tf.pad(part, [[0, batch_size - present]] + [[0, 0]] * (part.shape.rank - 1)) for part in batch]
        filled = [tf.ensure_shape(part, (batch_size, *given.shape[1:])) for part, given in zip(filled, batch, strict=True)]
        return *filled, tf.cast(tf.range(batch_size) < present, tf.float32)

    empty = tuple(tf.zeros((0, *spec.shape[1:]), spec.dtype) for spec in batches.element_spec)
    return batches.concatenate(tf.data.Dataset.from_tensors(empty).repeat()).map(fill).take(count)


def evaluation_image(encoded: tf.Tensor, preprocessing: Preprocessing, place: tuple[int, int] = (1, 1)) -> tf.Tensor:
    """The centre square of one encoded image, as evaluation, prediction and exported files see it; or another square.

    Args:
        encoded: scalar string, the bytes of a JPEG, PNG, GIF or BMP file.
        preprocessing: size of the result, and which part of the image it shows.
        place: of the room that the square leaves free in the image, how many halves are above it and how many to its left; (0, 2)
            is the upper right corner.

    Returns:
        Float32 RGB pixels in [0, 255] of shape `(image_size, image_size, 3)`.
    """

    def window(shape):
        side = tf.cast(tf.round(tf.cast(tf.reduce_min(shape), tf.float32) * preprocessing.crop_ratio), tf.int32)
        side = tf.maximum(side, 1)
        return tf.concat([(shape - side) * place // 2, [side, side]], 0)

    image = _decode_window(encoded, window, preprocessing.image_size, preprocessing.interpolation, antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)  # bicubic interpolation overshoots


def ten_crops(encoded: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """The squares in the four corners and the centre of one encoded image, then their mirror images.

    Args:
        encoded: as for `evaluation_image`, which gives the fifth of them.
        preprocessing: size of the result; the squares' side is its `crop_ratio` of the image's shorter side.

    Returns:
        Float32 RGB pixels in [0, 255] of shape `(10, image_size, image_size, 3)`.

    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1.
    """
    places = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))
    squares = tf.stack([evaluation_image(encoded, preprocessing, place) for place in places])
    return tf.concat([squares, tf.image.flip_left_right(squares)], 0)


def read_image(path: str | os.PathLike, preprocessing: Preprocessing) -> tf.Tensor:
    """`evaluation_image` of a file.

    Raises:
        FileNotFoundError: if there is no such file; the message has the nearest names.
        ValueError: if it is not an image, or damaged.
    """
    try:
        return evaluation_image(tf.io.read_file(existing_path(path)), preprocessing)
    except tf.errors.OpError as error:
        raise InputError(f"{os.fspath(path)} is damaged, or not a JPEG, PNG, GIF or BMP image.") from error


def list_images(paths: Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """The image files among `paths`, with those in the folders among them.

    Raises:
        FileNotFoundError: if a path does not exist; the message has the nearest names.
        ValueError: if a folder holds no image.
    """
    files = []
    for path in map(pathlib.Path, map(existing_path, paths)):
        found = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise InputError(f"The folder {path} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
        files += found
    return files


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Around the use of batches: turns TensorFlow's report of a Python error in a pipeline into this error alone."""
    try:
        yield
    except tf.errors.OpError as error:
        said = re.search(_TOO_MANY_DAMAGED.format(r"\d+", r"\d+", ".*"), str(error))
        if said is None:
            raise
        raise InputError(said[0]) from error


def _decode_window(
    encoded: tf.Tensor, window: Callable, image_size: int, interpolation: str = "bilinear", antialias: bool = False
) -> tf.Tensor:
    """A window of an image, resized."""
    # Resizing floats is faster than resizing bytes, with the same result.
    pixels = tf.cast(_decode(encoded, window), tf.float32)
    image = tf.image.resize(pixels, (image_size, image_size), interpolation, antialias=antialias)
    return tf.ensure_shape(image, (image_size, image_size, 3))


def _decode(encoded: tf.Tensor, window: Callable) -> tf.Tensor:
    """A window of an image. `window` takes (height, width) to (top, left, height, width), int32 tensors.

    Of a JPEG image only the window is decoded.
    """

    def from_jpeg():
        crop = window(tf.io.extract_jpeg_shape(encoded)[:2])
        # The default, faster transform makes images darker, by half a step of 255 on average.
        return tf.io.decode_and_crop_jpeg(encoded, crop, channels=3, dct_method="INTEGER_ACCURATE")

    def from_other():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        top, left, height, width = tf.unstack(window(tf.shape(image)[:2]), num=4)
        return image[top : top + height, left : left + width]

    return tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_other)


def _random_window(shape: tf.Tensor, seed: tf.Tensor, area_min: float = 0.08) -> tf.Tensor:
    """A window of `area_min` to 100 % of the area and of aspect 3/4 to 4/3; the whole image if ten tries find none."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        min_object_covered=0.0,
        area_range=(area_min, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def _balancing(images: LabelledImages) -> tf.Tensor:
    """The share of each class to keep, so that all are as frequent as the rarest."""
    counts = np.zeros(len(images.class_names))
    for labels in images.examples(None).map(lambda name, source, label: label).batch(10_000).as_numpy_iterator():
        counts += np.bincount(labels, minlength=len(counts))
    return tf.constant(counts[counts > 0].min() / np.maximum(counts, 1), tf.float32)


def _decode_groups(groups: tf.data.Dataset, images: LabelledImages, decode: Callable, shape: tuple[int, ...]) -> tf.data.Dataset:
    """Takes groups (place, (names, sources, labels)) apart into as many (place, slot, image, label, names of the group).

    `decode(place, slot, encoded)` makes the image, of that shape, at one slot of `place`. The slots of images that it cannot make
    are missing: in their stead the others of the group come again, or black ones of slot -1 where there are no others.
    """

    def take_apart(place, group):
        names, sources, labels = group
        count = tf.shape(labels)[0]
        decoded = tf.data.Dataset.from_tensor_slices((tf.range(count), sources, labels)).map(
            lambda slot, source, label: (slot, decode(place, slot, images.read(source)), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        size = tf.cast(count, tf.int64)
        black = tf.data.Dataset.from_tensors((-1, tf.zeros(shape), labels[0])).repeat()
        filled = decoded.ignore_errors().repeat(size).concatenate(black).take(size)
        joined = tf.strings.reduce_join(names, separator=_SEPARATOR)
        return filled.map(lambda slot, pixels, label: (place, slot, pixels, label, joined))

    return groups.flat_map(take_apart).prefetch(_GROUP)


def _note_damaged(images: LabelledImages, slots: tf.Tensor, names: tf.Tensor) -> tf.Tensor:
    """Warns once of each image that is missing in the slots of a batch, and raises when they are too many."""

    def note(slots, names):
        groups = itertools.groupby(zip(names.numpy(), slots.numpy(), strict=True), key=lambda pair: pair[0])
        for joined, pairs in groups:
            there = {slot for _, slot in pairs}
            group = joined.decode().split(_SEPARATOR)
            for name in [name for slot, name in enumerate(group) if slot not in there and name not in images.damaged]:
                warnings.warn(f"Left out {name}: damaged, or not a JPEG, PNG, GIF or BMP image.", stacklevel=1)
                images.damaged.add(name)
                if len(images.damaged) > _MOST_DAMAGED * images.size:
                    raise InputError(_TOO_MANY_DAMAGED.format(len(images.damaged), images.size, name))
        return True

    repeated = tf.reduce_any((slots[1:] <= slots[:-1]) & (names[1:] == names[:-1])) | tf.reduce_any(slots < 0)
    return tf.cond(repeated, lambda: tf.py_function(note, [slots, names], tf.bool), lambda: True)
