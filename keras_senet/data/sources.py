"""Where labelled images come from: tensorflow-datasets by name, a folder of images, or a CSV file of labels."""

import contextlib
import dataclasses
import errno
import functools
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_senet.data.damaged import DamagedImages
from keras_senet.data.elements import padded_labels
from keras_senet.data.folders import NO_LABEL, TEST, VALIDATION, Listing, list_folder
from keras_senet.data.formats import image_suffixes
from keras_senet.data.label_csv import list_csv
from keras_senet.data.label_json import list_json
from keras_senet.errors import InputError, did_you_mean, existing_path, named, require

_VALIDATION_SPLITS = ("validation", "val", "test")
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR)
_DATA_DIR_HELPS = "name a folder that can be written with --data-dir (in Python `data_dir`)"
_SHUFFLE_BUFFER = 10_000  # encoded images; about 1 GB of ImageNet


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with labels, still encoded.

    Attributes:
        examples: function `examples(seed, workers=1, worker=0)` that returns a `tf.data.Dataset` of (name, source, label): two
            string scalars and an int64 scalar; with several labels an image, the label is an int64 vector of class indices,
            padded with -1. The seed, an int64 tensor, decides their order; None means storage order. Each of several workers gets
            its share of the images. The name is the image's file name if the dataset knows it.
        read: function from a source to the encoded image, both string scalars.
        size: number of images.
        class_names: the labels' names.
        counts: number of images of each class, if it is known before all are read.
        notes: what there is to know about the choice of these images, in sentences, such as what was left out.
        damaged: names of the images that could not be decoded, as far as they have been read.
        multi_label: whether an image can have several labels, or none. The batches then have multi-hot labels.
    """

    examples: Callable[..., tf.data.Dataset]
    read: Callable[[tf.Tensor], tf.Tensor]
    size: int
    class_names: list[str]
    counts: list[int] | None = None
    notes: tuple[str, ...] = ()
    damaged: DamagedImages = dataclasses.field(default_factory=DamagedImages)
    multi_label: bool = False


def load(
    dataset: str, split: str = "train", data_dir: str | None = None, labels_csv: str | os.PathLike | None = None
) -> LabelledImages:
    """Labelled images by the name of their dataset.

    Args:
        dataset: "digits", 1,797 handwritten digits that need no download; any classification dataset of tensorflow-datasets,
            such as "cifar10"; or the path of a folder, either `<folder>/<class>/<image>`, or with the parts in sub-folders
            `<folder>/train/<class>/<image>`. Parts are called train, validation (or val, valid, dev, eval) and test, in any case.
            Without a part for validation, the test part takes its place; without either, about a fifth of each class, chosen by
            file name. Images may lie in folders within that of their class. Names that begin with a dot are left out. Classes
            are in the order of their names as text. Write "./digits" for a folder that has the name of a dataset. Instead of
            folders for the classes, each image can have a JSON file beside it: `photo.json` with `{"labels": ["cat", "dog"]}`
            for `photo.jpg`.
        split: "train"; "validation", which is the test split of a dataset that has no validation split; "test"; "all"; for
            tensorflow-datasets also any split that it understands, such as "train[:10%]".
        data_dir: where tensorflow-datasets keeps its data, by default `~/tensorflow_datasets`.
        labels_csv: a CSV file with a path and a label on each line, with or without the first line `path,label`, in place of
            folders for the classes. Paths start from the folder `dataset`, or else from that of the file. For several labels an
            image, write `a.jpg,cat|dog` or `a.jpg,cat;dog`, or a first line `path,cat,dog` and 0 or 1 below each class.

    Returns:
        The images, a `LabelledImages`. `keras_senet.data.contents` shows them as a table.

    Raises:
        FileNotFoundError: if the folder does not exist.
        OSError: if a folder cannot be read.
        ValueError: if the dataset or the split does not exist or has no images, or is both a dataset and a folder; if a class
            name has a line break or is not UTF-8; if a folder is that of a training run.
        ImportError: if tensorflow-datasets is needed and not installed.

    Example:

    >>> keras_senet.data.load("digits", "validation", data_dir="datasets").size
    360
    """
    source = _open(dataset, data_dir, labels_csv)
    return _from_listing(source, split, labels_csv or dataset) if isinstance(source, Listing) else _from_tfds(source, split)


def load_test(dataset: str, data_dir: str | None = None, labels_csv: str | os.PathLike | None = None) -> LabelledImages | None:
    """The test part of a dataset that has a validation part, too, for a last measurement; None for other datasets.

    The arguments are those of `load`. Some tests of tensorflow-datasets have no labels; for these it is None, too.
    """
    source = _open(dataset, data_dir, labels_csv)
    parts = source.parts if isinstance(source, Listing) else source.info.splits
    if not (VALIDATION in parts and TEST in parts):
        return None
    if isinstance(source, Listing):
        return _from_listing(source, TEST, dataset)
    images = _from_tfds(source, TEST)
    labels = images.examples(None).take(_SHUFFLE_BUFFER if images.multi_label else 1).map(lambda name, source, label: label)
    return images if any((label >= 0).any() for label in labels.as_numpy_iterator()) else None


def _open(dataset: str, data_dir: str | None, labels_csv: str | os.PathLike | None):
    """The listing of a folder, or the builder of a prepared dataset of tensorflow-datasets."""
    if labels_csv is not None:
        return list_csv(labels_csv, pathlib.Path(existing_path(os.path.expanduser(dataset))))
    if dataset.startswith((".", "~", os.sep)):
        return _in_folder(os.path.expanduser(dataset))
    tfds = require("tensorflow_datasets", "train")
    require("keras_senet.data.digits", "train")  # registers "digits"
    known = tfds.list_builders(with_community_datasets=False)
    is_known = re.split("[/:]", dataset)[0] in known
    if is_known and os.path.isdir(dataset) and not _is_of_tfds(dataset):
        raise InputError(
            f"{dataset!r} is a dataset of tensorflow-datasets, and a folder here. For the folder write './{dataset}'; for the "
            "dataset, rename the folder or work in another one."
        )
    if is_known:
        return _prepared(tfds, dataset, data_dir)
    if os.path.isdir(dataset) or os.sep in dataset:
        return _in_folder(dataset)
    near = did_you_mean(dataset, [*known, *(entry.name for entry in os.scandir() if entry.is_dir())])
    raise InputError(f"There is neither a tensorflow-datasets name nor a folder {dataset!r}.{near}")


def _in_folder(dataset: str) -> Listing:
    """The images in a folder, with labels by JSON files or by folders."""
    folder = pathlib.Path(existing_path(dataset))
    return list_json(folder) or list_folder(folder)


def _is_of_tfds(folder: str) -> bool:
    """Whether tensorflow-datasets has made a folder, which `data_dir="."` puts here: `<name>/<version>/dataset_info.json`."""
    return any(pathlib.Path(folder).glob("**/dataset_info.json"))


def _prepared(tfds, dataset: str, data_dir: str | None):
    """The builder of a dataset whose files are ready."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    if data_dir is None and "TFDS_DATA_DIR" not in os.environ and os.path.expanduser("~") == "~":
        # tensorflow-datasets would make a folder called ~ here.
        raise InputError(f"There is no home folder to keep the dataset {dataset!r} in: {_DATA_DIR_HELPS}.")
    try:
        builder = tfds.builder(dataset, data_dir=data_dir)
        if _label_feature(builder):
            with contextlib.redirect_stdout(sys.stderr):  # it prints its progress
                builder.download_and_prepare()
    except Exception as error:  # each dataset has its own ways to fail
        message = f"The dataset {dataset!r} could not be prepared: {' '.join(str(error).split()).rstrip('.')}"
        if isinstance(error, tf.errors.PermissionDeniedError) or getattr(error, "errno", None) in _CANNOT_WRITE:
            message += f". To keep it elsewhere, {_DATA_DIR_HELPS}."
        raise InputError(message) from error
    if not _label_feature(builder):
        raise InputError(f"The dataset {dataset!r} is not for classification: it has no features `image` and `label`.")
    return builder


def _label_feature(builder) -> str | None:
    """The feature of a dataset of images that is their label, or a sequence of labels; None if it has none."""
    features = builder.info.features or {}
    names = ("label", "labels") if "image" in features else ()
    return next((name for name in names if name in features and hasattr(_class_label(features[name]), "names")), None)


def _class_label(feature):
    """The feature that holds the names of the classes: itself, or what a sequence consists of."""
    return getattr(feature, "feature", feature)


def _from_tfds(builder, split: str) -> LabelledImages:
    tfds = require("tensorflow_datasets", "train")
    if split == VALIDATION:
        split = next((name for name in _VALIDATION_SPLITS if name in builder.info.splits), "")
        if not split:
            raise InputError(
                f"The dataset {builder.name!r} has only the splits {list(builder.info.splits)}: name one to evaluate on."
            )
    try:
        size = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise InputError(f"The dataset {builder.name!r} has no split {split!r}; it has {list(builder.info.splits)}.") from error
    if not size:
        raise InputError(f"The split {split!r} of {builder.name} holds no images.")
    name = "file_name" if "file_name" in builder.info.features else "tfds_id"
    label = _label_feature(builder)
    multi_label = _class_label(builder.info.features[label]) is not builder.info.features[label]
    class_names = _class_label(builder.info.features[label]).names

    def indices(labels):
        if not multi_label:
            return tf.cast(labels, tf.int64)
        once, _ = tf.unique(tf.cast(labels, tf.int64))
        padded = tf.pad(once, [[0, len(class_names) - tf.size(once)]], constant_values=-1)
        return tf.ensure_shape(padded, [len(class_names)])

    def encoded(**reading):
        dataset = builder.as_dataset(
            split=split,
            shuffle_files="shuffle_seed" in reading,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False, shuffle_reshuffle_each_iteration=False, **reading),
        )
        return dataset.map(lambda example: (example[name], example["image"], indices(example[label])))

    found = functools.partial(LabelledImages, read=tf.identity, size=size, class_names=class_names, multi_label=multi_label)
    share_of_dataset = size / max(1, builder.info.splits.total_num_examples)
    if builder.info.dataset_size * share_of_dataset < memory_size() / 4:
        return found(examples_in_memory(encoded(), size))

    def examples(seed, workers=1, worker=0):
        # Workers read different files.
        share = {"input_context": tf.distribute.InputContext(workers, worker)} if workers > 1 else {}
        if seed is None:
            return encoded(**share)
        return encoded(shuffle_seed=seed, **share).shuffle(_SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=False)

    return found(examples)


def _from_listing(listing: Listing, split: str, owner: object) -> LabelledImages:
    files, class_names = listing.split(split), listing.class_names()
    counts = [len(files.get(name, ())) for name in class_names]
    if listing.multi_label:
        found: dict[bytes, list[int]] = {os.fsencode(file): [] for file in files.get(NO_LABEL, ())}
        for index, name in enumerate(class_names):
            for file in files.get(name, ()):
                found.setdefault(os.fsencode(file), []).append(index)
        paths = sorted(found)
        labels = padded_labels([found[path] for path in paths])
    else:
        paths = [os.fsencode(file) for name in class_names for file in files.get(name, ())]
        labels = np.repeat(np.arange(len(class_names)), counts)
    if not paths:
        raise InputError(
            f"The split {split!r} of {owner} holds no images. It must hold one sub-folder of images for each class "
            f"({', '.join(image_suffixes())}). Classes: {named(class_names) or 'none'}. {' '.join(listing.notes(split))}".rstrip()
        )
    if all(name.isdecimal() for name in class_names) and class_names != sorted(class_names, key=int):
        first = next(index for index, name in enumerate(sorted(class_names, key=int)) if name != class_names[index])
        warnings.warn(
            f"The class names of {owner} are numbers, and are in the order of their text, as in Keras and torchvision: class "
            f"{first} is {class_names[first]!r}. For the order of the numbers, write them with equally many digits.",
            stacklevel=1,  # one place for all parts, so that it is said once
        )
    listed = tf.data.Dataset.from_tensor_slices((paths, paths, labels))
    examples, notes = examples_in_memory(listed, len(paths)), tuple(listing.notes(split))
    return LabelledImages(examples, tf.io.read_file, len(paths), class_names, counts, notes, multi_label=listing.multi_label)


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
