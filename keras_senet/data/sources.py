"""Where labelled images come from: tensorflow-datasets by name, or a folder with one sub-folder of images a class."""

import dataclasses
import os
import pathlib
import re
import sys
import zlib
from collections.abc import Callable

import tensorflow as tf

from keras_senet.errors import did_you_mean, existing_path, require

HELD_OUT = "held-out"
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_HELD_OUT_NAMES = ("validation", "val", "test")
_SHUFFLE_BUFFER = 10_000  # encoded images; about 1 GB of ImageNet


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with labels, still encoded.

    Attributes:
        examples: function from a seed, or None for the order of storage, to a `tf.data.Dataset` of (name, source, label): two
            strings and an int64 scalar. With a seed, each pass over it has a new order.
        read: function from such a source to the encoded image, two string tensors.
        size: number of images.
        class_names: the labels' names.
    """

    examples: Callable[[int | None], tf.data.Dataset]
    read: Callable[[tf.Tensor], tf.Tensor]
    size: int
    class_names: list[str]


def load(dataset: str, split: str = "train", data_dir: str | None = None) -> LabelledImages:
    """Labelled images by the name of their dataset.

    Args:
        dataset: "digits", 1,797 handwritten digits that need no download; any classification dataset of tensorflow-datasets,
            such as "cifar10"; or the path of a folder: `<folder>/<class>/<image>`, or with the parts apart
            `<folder>/train/<class>/<image>` and `<folder>/validation/...` (or `val`, `test`). Where they are not apart, about a
            fifth of each class, chosen by the file names, is held out. Write "./digits" for a folder with a dataset's name.
        split: "train"; "held-out", which is the validation part, or the test part of a dataset without one; for
            tensorflow-datasets also any split that it understands, such as "train[:10%]".
        data_dir: where tensorflow-datasets keeps its data, by default `~/tensorflow_datasets`.

    Returns:
        The images, a `LabelledImages`.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if the dataset or the split does not exist or has no images, or a folder has less than two classes.
        ImportError: if tensorflow-datasets is needed and not installed.

    Example:

    >>> keras_senet.data.load("digits", "held-out").size
    360
    """
    images = _load(dataset, split, data_dir)
    if not images.size:
        raise ValueError(f"The part {split!r} of {dataset} holds no images.")
    return images


def _load(dataset: str, split: str, data_dir: str | None) -> LabelledImages:
    if dataset.startswith((".", "~", os.sep)):
        return _load_folder(pathlib.Path(existing_path(os.path.expanduser(dataset))), split)
    tfds = require("tensorflow_datasets", "train")
    require("keras_senet.data.digits", "train")  # registers "digits"
    known = tfds.list_builders(with_community_datasets=False)
    if re.split("[/:]", dataset)[0] in known:
        return _load_tfds(tfds, dataset, split, data_dir)
    if os.path.isdir(dataset) or os.sep in dataset:
        return _load_folder(pathlib.Path(existing_path(dataset)), split)
    near = did_you_mean(dataset, [*known, *(entry.name for entry in os.scandir() if entry.is_dir())])
    raise ValueError(f"There is neither a tensorflow-datasets name nor a folder {dataset!r}.{near}")


def _load_tfds(tfds, dataset: str, split: str, data_dir: str | None) -> LabelledImages:
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(dataset, data_dir=data_dir)
        if {"image", "label"} <= set(builder.info.features or ()):
            builder.download_and_prepare()
    except Exception as error:  # a download fails in as many ways as there are datasets
        raise ValueError(f"The dataset {dataset!r} could not be prepared: {' '.join(str(error).split())}") from error
    if not {"image", "label"} <= set(builder.info.features or ()):
        raise ValueError(f"The dataset {dataset!r} is not for classification: it has no features `image` and `label`.")
    if split == HELD_OUT:
        split = next((part for part in _HELD_OUT_NAMES if part in builder.info.splits), None)
        if split is None:
            raise ValueError(f"The dataset {dataset!r} has only the splits {list(builder.info.splits)}: name one to evaluate on.")
    try:
        size = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(f"The dataset {dataset!r} has no split {split!r}; it has {list(builder.info.splits)}.") from error

    def examples(seed):
        encoded = builder.as_dataset(
            split=split,
            shuffle_files=seed is not None,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(shuffle_seed=seed, add_tfds_id=True),
        )
        encoded = encoded.map(lambda example: (example["tfds_id"], example["image"], tf.cast(example["label"], tf.int64)))
        return encoded if seed is None else encoded.shuffle(min(size, _SHUFFLE_BUFFER), seed=seed)

    return LabelledImages(examples, tf.identity, size, builder.info.features["label"].names)


def _load_folder(folder: pathlib.Path, split: str) -> LabelledImages:
    if split not in ("train", HELD_OUT):
        raise ValueError(f"A folder of images has the splits 'train' and {HELD_OUT!r}. Received: split={split!r}")
    train = folder / "train"
    held_out = next((folder / name for name in _HELD_OUT_NAMES if (folder / name).is_dir()), None)
    parts_are_apart = train.is_dir() and held_out is not None
    files = _files_of_classes((train if split == "train" else held_out) if parts_are_apart else folder)
    if parts_are_apart:
        class_names = sorted(_files_of_classes(train))
        if not files.keys() <= set(class_names):
            raise ValueError(f"{held_out} has classes that {train} has not: {sorted(files.keys() - set(class_names))}.")
    else:
        class_names = sorted(files)
        files = {name: _part_of_class(part, split) for name, part in files.items()}
    if len(class_names) < 2:
        raise ValueError(
            f"{folder} must hold one sub-folder of images ({', '.join(IMAGE_SUFFIXES)}) for each class, and at least two. "
            f"Found: {class_names or 'none'}."
        )
    paths = [str(file) for name in files for file in files[name]]
    labels = [class_names.index(name) for name in files for _ in files[name]]

    def examples(seed):
        listed = tf.data.Dataset.from_tensor_slices((paths, paths, tf.constant(labels, tf.int64)))
        return listed if seed is None else listed.shuffle(len(paths), seed=seed)

    return LabelledImages(examples, tf.io.read_file, len(paths), class_names)


def _files_of_classes(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The image files of each class, classes without any left out."""
    files = {
        part.name: sorted(file for file in part.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        for part in sorted(folder.iterdir())
        if part.is_dir()
    }
    return {name: part for name, part in files.items() if part}


def _part_of_class(files: list[pathlib.Path], split: str) -> list[pathlib.Path]:
    """The fifth of a class that is held out, or the rest; by a hash of the names, so that new files do not move old ones far."""
    by_hash = sorted(files, key=lambda file: zlib.crc32(file.name.encode()))
    count = max(1, len(files) // 5)
    return by_hash[:count] if split == HELD_OUT else by_hash[count:]
