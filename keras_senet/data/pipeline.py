"""From encoded images to batches of pixels: decode only what is needed, augment, skip what is damaged."""

import contextlib
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from keras_senet.data.sources import IMAGE_SUFFIXES, LabelledImages
from keras_senet.errors import existing_path
from keras_senet.preprocessing import Preprocessing

_NOTHING_DECODED = "None of the {} images could be decoded."
AUGMENTATIONS = ("crop", "shift", "none")


def training_batches(
    images: LabelledImages, image_size: int, batch_size: int, *, augmentation: str = "crop", flip: bool = True, seed: int = 0
) -> tf.data.Dataset:
    """Shuffled, augmented batches without end. The same seed gives the same batches.

    Args:
        images: what to train on.
        image_size: height and width of the batches, pixels.
        batch_size: number of images in a batch.
        augmentation: "crop", a window of 8 to 100 % of the area with aspect 3/4 to 4/3, resized (paper, section 6.1; only this
            window of a JPEG image is decoded); "shift", the centre square moved by up to an eighth of its size over black
            (as for CIFAR); or "none", the centre square.
        flip: whether half of the images are mirrored left to right.
        seed: of the order and of the augmentation.

    Returns:
        A `tf.data.Dataset` of batches `(images, labels)`: float32 RGB pixels in [0, 255] of shape
        `(batch_size, image_size, image_size, 3)`, and float32 one-hot labels. An image that cannot be decoded is skipped, with
        a warning that names it.

    Raises:
        ValueError: if `augmentation` is unknown, or a batch needs more images than there are.
    """
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"`augmentation` must be one of {AUGMENTATIONS}. Received: {augmentation!r}")
    if batch_size > images.size:
        raise ValueError(f"A batch of {batch_size} needs more images than the {images.size} there are: use a smaller batch size.")

    def decode(index, encoded):
        where, whether = (tf.stack([tf.constant(seed, tf.int64), 2 * index + part]) for part in (0, 1))
        if augmentation == "crop":
            image = _decode_window(encoded, lambda shape: _random_window(shape, where), image_size)
        else:
            image = evaluation_image(encoded, Preprocessing(image_size, crop_ratio=1.0))
        if augmentation == "shift":
            padded = image_size + 2 * (image_size // 8)
            image = tf.image.resize_with_crop_or_pad(image, padded, padded)
            image = tf.image.stateless_random_crop(image, (image_size, image_size, 3), where)
        return tf.image.stateless_random_flip_left_right(image, whether) if flip else image

    return _batches(images, images.examples(seed).repeat(), decode, image_size, batch_size, drop_remainder=True)


def evaluation_batches(images: LabelledImages, preprocessing: Preprocessing, batch_size: int) -> tf.data.Dataset:
    """Batches in the order of storage, once: the centre of each image.

    Args:
        images: what to evaluate on.
        preprocessing: what the network looks at, from `keras_senet.preprocessing_for`.
        batch_size: number of images in a batch; the last may be smaller.

    Returns:
        A `tf.data.Dataset` as of `training_batches`.
    """

    def decode(index, encoded):
        return evaluation_image(encoded, preprocessing)

    return _batches(images, images.examples(None), decode, preprocessing.image_size, batch_size, drop_remainder=False)


def evaluation_image(encoded: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """The centre square of one encoded image, as evaluation, prediction and exported files see it.

    Args:
        encoded: scalar string, the bytes of a JPEG, PNG, GIF or BMP file.
        preprocessing: size of the result, and which part of the image it shows.

    Returns:
        Float32 RGB pixels in [0, 255] of shape `(image_size, image_size, 3)`.
    """

    def center(shape):
        side = tf.cast(tf.round(tf.cast(tf.reduce_min(shape), tf.float32) * preprocessing.crop_ratio), tf.int32)
        side = tf.maximum(side, 1)
        return tf.concat([(shape - side) // 2, [side, side]], 0)

    image = _decode_window(encoded, center, preprocessing.image_size, preprocessing.interpolation, antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)  # bicubic interpolation overshoots


def read_image(path: str | os.PathLike, preprocessing: Preprocessing) -> tf.Tensor:
    """`evaluation_image` of a file.

    Raises:
        FileNotFoundError: if there is no such file; the message has the nearest names.
        ValueError: if it is not an image, or damaged.
    """
    try:
        return evaluation_image(tf.io.read_file(existing_path(path)), preprocessing)
    except tf.errors.OpError as error:
        raise ValueError(f"{os.fspath(path)} is damaged, or not a JPEG, PNG, GIF or BMP image.") from error


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
            raise ValueError(f"The folder {path} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
        files += found
    return files


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Around the use of batches: turns TensorFlow's report of a Python error in a pipeline into this error alone."""
    try:
        yield
    except tf.errors.OpError as error:
        said = re.search(_NOTHING_DECODED.replace("{}", r"\d+"), str(error))
        if said is None:
            raise
        raise ValueError(said[0]) from error


def _decode_window(
    encoded: tf.Tensor, window: Callable, image_size: int, interpolation: str = "bilinear", antialias: bool = False
) -> tf.Tensor:
    """A window of an image, resized."""
    image = tf.image.resize(_decode(encoded, window), (image_size, image_size), interpolation, antialias=antialias)
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


def _random_window(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A window of 8 to 100 % of the area and of aspect 3/4 to 4/3; the whole image if ten tries find none."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        min_object_covered=0.0,
        area_range=(0.08, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def _batches(
    images: LabelledImages, examples: tf.data.Dataset, decode: Callable, image_size: int, batch_size: int, drop_remainder: bool
) -> tf.data.Dataset:
    skipped = set()

    def skip(name):
        name = name.numpy().decode()
        warnings.warn(f"Skipped {name}: damaged, or not a JPEG, PNG, GIF or BMP image.", stacklevel=1)
        skipped.add(name)
        if len(skipped) == images.size:
            raise ValueError(_NOTHING_DECODED.format(images.size))
        return 0.0

    def warn(name):
        return tf.fill((image_size, image_size, 3), tf.py_function(skip, [name], tf.float32))

    def one_or_none(index, example):
        """The decoded example as a dataset of one; of none, with a warning, if decoding fails."""
        name, source, label = example
        decoded = tf.data.Dataset.from_tensors(source).map(lambda source: decode(index, images.read(source)))
        # `take` reaches the second dataset only where the first gives nothing.
        skipped = tf.data.Dataset.from_tensors(name).map(warn).filter(lambda _: False)
        one = decoded.ignore_errors().concatenate(skipped).take(1)
        return one.map(lambda image: (image, tf.one_hot(label, len(images.class_names))))

    decoded = examples.enumerate().interleave(one_or_none, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return decoded.batch(batch_size, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)
