"""Where labelled images come from: tensorflow-datasets by name, or a folder with one sub-folder of images a class."""

import collections
import contextlib
import dataclasses
import os
import pathlib
import re
import sys
import zlib
from collections.abc import Callable, Iterable

import tensorflow as tf

from keras_senet.errors import InputError, did_you_mean, existing_path, require

VALIDATION, ALL = "validation", "all"
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_VALIDATION_NAMES = ("validation", "val", "test")
_SHUFFLE_BUFFER = 10_000  # encoded images; about 1 GB of ImageNet


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with labels, still encoded.

    Attributes:
        examples: function `examples(seed, workers=1, worker=0)` to a `tf.data.Dataset` of (name, source, label): two strings and
            an int64 scalar, in an order that the seed, an int64 tensor, decides, or in that of storage where it is None. Several
            workers share the images. The name is that of the image's file, where the dataset knows it.
        read: function from such a source to the encoded image, two string tensors.
        size: number of images.
        class_names: the labels' names.
        damaged: names of images that could not be decoded when they were read.
    """

    examples: Callable[..., tf.data.Dataset]
    read: Callable[[tf.Tensor], tf.Tensor]
    size: int
    class_names: list[str]
    damaged: set[str] = dataclasses.field(default_factory=set)


def load(dataset: str, split: str = "train", data_dir: str | None = None) -> LabelledImages:
    """Labelled images by the name of their dataset.

    Args:
        dataset: "digits", 1,797 handwritten digits that need no download; any classification dataset of tensorflow-datasets,
            such as "cifar10"; or the path of a folder: `<folder>/<class>/<image>`, or with the parts apart
            `<folder>/train/<class>/<image>` and `<folder>/validation/...` (or `val`, `test`). Where they are not apart, about a
            fifth of each class, chosen by the file names, is held out. Classes have the order of their names, or of their
            numbers where all are numbers. Write "./digits" for a folder with a dataset's name.
        split: "train"; "validation", which is the validation part, or the test part of a dataset without one; "all"; for
            tensorflow-datasets also any split that it understands, such as "train[:10%]".
        data_dir: where tensorflow-datasets keeps its data, by default `~/tensorflow_datasets`.

    Returns:
        The images, a `LabelledImages`.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if the dataset or the split does not exist or has no images, or a folder has less than two classes.
        ImportError: if tensorflow-datasets is needed and not installed.

    Example:

    >>> keras_senet.data.load("digits", "validation", data_dir="datasets").size
    360
    """
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
    raise InputError(f"There is neither a tensorflow-datasets name nor a folder {dataset!r}.{near}")


def _load_tfds(tfds, dataset: str, split: str, data_dir: str | None) -> LabelledImages:
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(dataset, data_dir=data_dir)
        if {"image", "label"} <= set(builder.info.features or ()):
            with contextlib.redirect_stdout(sys.stderr):  # for what it says on the way
                builder.download_and_prepare()
    except Exception as error:  # a download fails in as many ways as there are datasets
        raise InputError(f"The dataset {dataset!r} could not be prepared: {' '.join(str(error).split())}") from error
    if not {"image", "label"} <= set(builder.info.features or ()):
        raise InputError(f"The dataset {dataset!r} is not for classification: it has no features `image` and `label`.")
    if split == VALIDATION:
        split = next((part for part in _VALIDATION_NAMES if part in builder.info.splits), None)
        if split is None:
            raise InputError(f"The dataset {dataset!r} has only the splits {list(builder.info.splits)}: name one to evaluate on.")
    try:
        size = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise InputError(f"The dataset {dataset!r} has no split {split!r}; it has {list(builder.info.splits)}.") from error

    if not size:
        raise InputError(f"The part {split!r} of {dataset} holds no images.")
    name = "file_name" if "file_name" in builder.info.features else "tfds_id"

    def encoded(**reading):
        dataset = builder.as_dataset(
            split=split,
            shuffle_files="shuffle_seed" in reading,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False, shuffle_reshuffle_each_iteration=False, **reading),
        )
        return dataset.map(lambda example: (example[name], example["image"], tf.cast(example["label"], tf.int64)))

    share_of_dataset = size / max(1, builder.info.splits.total_num_examples)
    if builder.info.dataset_size * share_of_dataset < _memory() / 4:
        return LabelledImages(_examples_of(encoded(), size), tf.identity, size, builder.info.features["label"].names)

    def examples(seed, workers=1, worker=0):
        # Each worker reads files of its own.
        share = {"input_context": tf.distribute.InputContext(workers, worker)} if workers > 1 else {}
        if seed is None:
            return encoded(**share)
        return encoded(shuffle_seed=seed, **share).shuffle(_SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=False)

    return LabelledImages(examples, tf.identity, size, builder.info.features["label"].names)


def _load_folder(folder: pathlib.Path, split: str) -> LabelledImages:
    if split not in ("train", VALIDATION, ALL):
        raise InputError(f"A folder of images has the splits 'train', {VALIDATION!r} and {ALL!r}. Received: split={split!r}")
    train = folder / "train"
    held_out = next((folder / name for name in _VALIDATION_NAMES if (folder / name).is_dir()), None)
    parts_are_apart = train.is_dir() and held_out is not None
    if parts_are_apart:
        files = _files_of_classes(*{"train": [train], VALIDATION: [held_out], ALL: [train, held_out]}[split])
        class_names = _in_order(_files_of_classes(train))
        if not files.keys() <= set(class_names):
            raise InputError(f"{held_out} has classes that {train} has not: {sorted(files.keys() - set(class_names))}.")
    else:
        files = {name: _part_of_class(part, split) for name, part in _files_of_classes(folder).items()}
        class_names = _in_order(files)
    if len(class_names) < 2:
        raise InputError(
            f"{folder} must hold one sub-folder of images ({', '.join(IMAGE_SUFFIXES)}) for each class, and at least two. "
            f"Found: {class_names or 'none'}."
        )
    paths = [str(file) for name in files for file in files[name]]
    if not paths:
        raise InputError(f"The part {split!r} of {folder} holds no images.")
    labels = [class_names.index(name) for name in files for _ in files[name]]

    listed = tf.data.Dataset.from_tensor_slices((paths, paths, tf.constant(labels, tf.int64)))
    return LabelledImages(_examples_of(listed, len(paths)), tf.io.read_file, len(paths), class_names)


def _examples_of(listed: tf.data.Dataset, size: int) -> Callable[..., tf.data.Dataset]:
    """The function `LabelledImages.examples` of a dataset that fits into memory: all workers see all, and take turns."""
    cached = listed.cache()

    def examples(seed, workers=1, worker=0):
        # TensorFlow may take what it has for all there is when the first reading of a cache is broken off, as by one who looks
        # at a batch and no more. Shuffling reads all of it before anything else.
        ordered = listed if seed is None else cached.shuffle(size, seed=seed, reshuffle_each_iteration=False)
        return ordered.shard(workers, worker)

    return examples


def _memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _in_order(class_names: Iterable[str]) -> list[str]:
    """As text; but as numbers where all are, as in the folders of ImageNet-v2: class 10 is the eleventh."""
    return sorted(class_names, key=int if all(name.isdecimal() for name in class_names) else None)


def _files_of_classes(*folders: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The image files of each class, classes without any left out."""
    files = collections.defaultdict(list)
    for part in (part for folder in folders for part in sorted(folder.iterdir()) if part.is_dir()):
        files[part.name] += sorted(file for file in part.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return {name: part for name, part in files.items() if part}


def _part_of_class(files: list[pathlib.Path], split: str) -> list[pathlib.Path]:
    """The fifth of a class that is held out, or the rest; by a hash of the names, so that new files do not move old ones far."""
    if split == ALL:
        return files
    by_hash = sorted(files, key=lambda file: zlib.crc32(file.name.encode()))
    count = max(1, len(files) // 5)
    return by_hash[:count] if split == VALIDATION else by_hash[count:]
