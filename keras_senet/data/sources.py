"""Where labelled images come from: tensorflow-datasets by name, or a folder with one sub-folder of images per class."""

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

from keras_senet.data.damaged import DamagedImages
from keras_senet.data.formats import image_suffixes
from keras_senet.errors import InputError, did_you_mean, existing_path, require

VALIDATION, ALL = "validation", "all"
_VALIDATION_NAMES = ("validation", "val", "test")
_SHUFFLE_BUFFER = 10_000  # encoded images; about 1 GB of ImageNet


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with labels, still encoded.

    Attributes:
        examples: function `examples(seed, workers=1, worker=0)` that returns a `tf.data.Dataset` of (name, source, label): two
            string scalars and an int64 scalar. The seed, an int64 tensor, decides their order; None means storage order. Each of
            several workers gets its share of the images. The name is the image's file name if the dataset knows it.
        read: function from a source to the encoded image, both string scalars.
        size: number of images.
        class_names: the labels' names.
        damaged: names of the images that could not be decoded, as far as they have been read.
    """

    examples: Callable[..., tf.data.Dataset]
    read: Callable[[tf.Tensor], tf.Tensor]
    size: int
    class_names: list[str]
    damaged: DamagedImages = dataclasses.field(default_factory=DamagedImages)


def load(dataset: str, split: str = "train", data_dir: str | None = None) -> LabelledImages:
    """Labelled images by the name of their dataset.

    Args:
        dataset: "digits", 1,797 handwritten digits that need no download; any classification dataset of tensorflow-datasets,
            such as "cifar10"; or the path of a folder, either `<folder>/<class>/<image>`, or with the splits in sub-folders
            `<folder>/train/<class>/<image>` and `<folder>/validation/...` (or `val`, `test`). Without such sub-folders, about a
            fifth of each class, chosen by file name, is the validation split. Classes are sorted by name, or as numbers if all
            names are numbers. Write "./digits" for a folder that has the name of a dataset.
        split: "train"; "validation", which is the test split of a dataset that has no validation split; "all"; for
            tensorflow-datasets also any split that it understands, such as "train[:10%]".
        data_dir: where tensorflow-datasets keeps its data, by default `~/tensorflow_datasets`.

    Returns:
        The images, a `LabelledImages`.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if the dataset or the split does not exist or has no images, or a folder has fewer than two classes.
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
            with contextlib.redirect_stdout(sys.stderr):  # it prints its progress
                builder.download_and_prepare()
    except Exception as error:  # each dataset has its own ways to fail
        raise InputError(f"The dataset {dataset!r} could not be prepared: {' '.join(str(error).split())}") from error
    if not {"image", "label"} <= set(builder.info.features or ()):
        raise InputError(f"The dataset {dataset!r} is not for classification: it has no features `image` and `label`.")
    if split == VALIDATION:
        split = next((name for name in _VALIDATION_NAMES if name in builder.info.splits), None)
        if split is None:
            raise InputError(f"The dataset {dataset!r} has only the splits {list(builder.info.splits)}: name one to evaluate on.")
    try:
        size = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise InputError(f"The dataset {dataset!r} has no split {split!r}; it has {list(builder.info.splits)}.") from error

    if not size:
        raise InputError(f"The split {split!r} of {dataset} holds no images.")
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
    if builder.info.dataset_size * share_of_dataset < memory_size() / 4:
        return LabelledImages(examples_in_memory(encoded(), size), tf.identity, size, builder.info.features["label"].names)

    def examples(seed, workers=1, worker=0):
        # Workers read different files.
        share = {"input_context": tf.distribute.InputContext(workers, worker)} if workers > 1 else {}
        if seed is None:
            return encoded(**share)
        return encoded(shuffle_seed=seed, **share).shuffle(_SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=False)

    return LabelledImages(examples, tf.identity, size, builder.info.features["label"].names)


def _load_folder(folder: pathlib.Path, split: str) -> LabelledImages:
    if split not in ("train", VALIDATION, ALL):
        raise InputError(f"A folder of images has the splits 'train', {VALIDATION!r} and {ALL!r}. Received: split={split!r}")
    train = folder / "train"
    validation = next((folder / name for name in _VALIDATION_NAMES if (folder / name).is_dir()), None)
    has_split_folders = train.is_dir() and validation is not None
    if has_split_folders:
        folders = {"train": [train], VALIDATION: [validation], ALL: [train, validation]}[split]
        files = _files_by_class(*folders)
        class_names = _sorted_classes(_files_by_class(train))
        if not files.keys() <= set(class_names):
            raise InputError(f"{validation} has classes that {train} lacks: {sorted(files.keys() - set(class_names))}.")
    else:
        files = {name: _split_of_class(class_files, split) for name, class_files in _files_by_class(folder).items()}
        class_names = _sorted_classes(files)
    if len(class_names) < 2:
        raise InputError(
            f"{folder} must hold one sub-folder of images ({', '.join(image_suffixes())}) for each class, and at least two. "
            f"Found: {class_names or 'none'}."
        )
    paths = [str(file) for name in files for file in files[name]]
    if not paths:
        raise InputError(f"The split {split!r} of {folder} holds no images.")
    labels = [class_names.index(name) for name in files for _ in files[name]]

    listed = tf.data.Dataset.from_tensor_slices((paths, paths, tf.constant(labels, tf.int64)))
    return LabelledImages(examples_in_memory(listed, len(paths)), tf.io.read_file, len(paths), class_names)


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
    """This machine's memory, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _sorted_classes(class_names: Iterable[str]) -> list[str]:
    """Sorted as text, or as numbers if all names are, as in the folders of ImageNet-v2, where class 10 comes after class 9."""
    return sorted(class_names, key=int if all(name.isdecimal() for name in class_names) else None)


def _files_by_class(*folders: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The image files of each class that has any."""
    files: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    for class_folder in (entry for folder in folders for entry in sorted(folder.iterdir()) if entry.is_dir()):
        files[class_folder.name] += sorted(file for file in class_folder.iterdir() if file.suffix.lower() in image_suffixes())
    return {name: class_files for name, class_files in files.items() if class_files}


def _split_of_class(files: list[pathlib.Path], split: str) -> list[pathlib.Path]:
    """The fifth of a class that is for validation, or the rest; chosen by a hash, so that new files move few of the others."""
    if split == ALL:
        return files
    by_hash = sorted(files, key=lambda file: zlib.crc32(file.name.encode()))
    count = max(1, len(files) // 5)
    return by_hash[:count] if split == VALIDATION else by_hash[count:]
