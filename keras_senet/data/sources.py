"""Where labelled images come from: tensorflow-datasets by name, a folder of images, or a CSV file of labels.

For detection and segmentation: tensorflow-datasets, JSON files of boxes, and folders of masks.
"""

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

from keras_senet.data import coco_json, mask_folders, tfds_targets
from keras_senet.data.damaged import DamagedImages
from keras_senet.data.elements import padded_labels
from keras_senet.data.folders import NO_LABEL, TEST, VALIDATION, Listing, list_folder
from keras_senet.data.formats import image_suffixes
from keras_senet.data.label_csv import list_csv
from keras_senet.data.label_json import list_json
from keras_senet.data.target_listing import TargetListing
from keras_senet.errors import InputError, did_you_mean, existing_path, named, require
from keras_senet.inference.tasks import CLASSIFY, DETECT, SEGMENT, TASKS

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


def load(
    dataset: str,
    split: str = "train",
    data_dir: str | None = None,
    labels_csv: str | os.PathLike | None = None,
    task: str = CLASSIFY,
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
        task: what is learned of the images:
            - "classify": their classes, as above.
            - "detect": boxes and classes of their objects. `dataset` is "digit_scenes", which needs no download; any dataset of
              tensorflow-datasets that has `objects` with `bbox` and `label`, such as "voc" and "coco/2017"; or a folder with JSON
              files in COCO's format: `annotations/instances_train2017.json` and `train2017/`, as COCO has them;
              `train/_annotations.coco.json` beside the images of that part, as Roboflow has them; or `train.json` or
              `annotations/train.json`, with the images in the folder, in `images/` or in `train/`. Parts are called as above; a
              file `annotations.json` or `_annotations.coco.json` in the folder is for all images. Boxes are of the upright image,
              unless `width` and `height` in the file are those of the stored image alone. Crowds are kept for evaluation only.
            - "segment": the class of each pixel. `dataset` is "digit_scenes"; any dataset of tensorflow-datasets that has a mask,
              such as "oxford_iiit_pet"; or a folder with `images/1.jpg` and `masks/1.png` (or `annotations/` or `labels/`), with
              parts within, `images/train/` and `masks/train/`, or around, `train/images/` and `train/masks/`. Masks are gray PNG
              files, or such with a palette, whose values are class indices; 255 is no class. They are as large as their upright
              images. A file `classes.txt` in the folder can name the classes, one a line.
            For both, without parts or with one for training alone, a fifth of the images, chosen by name, is for validation.

    Returns:
        The images, a `LabelledImages`. `keras_senet.data.contents` shows them as a table.

    Raises:
        FileNotFoundError: if the folder does not exist.
        OSError: if a folder cannot be read.
        ValueError: if the dataset or the split does not exist or has no images, or is both a dataset and a folder; if a class
            name has a line break or is not UTF-8; if a folder is that of a training run; if there are no boxes or masks for the
            task, or they do not fit their images.
        ImportError: if tensorflow-datasets is needed and not installed.

    Example:

    >>> keras_senet.data.load("digits", "validation", data_dir="datasets").size
    360
    """
    source = _open(dataset, data_dir, labels_csv, task)
    if isinstance(source, TargetListing):
        return _from_targets(source, split, dataset)
    if isinstance(source, Listing):
        return _from_listing(source, split, labels_csv or dataset)
    return _from_tfds(source, split, task)


def load_test(
    dataset: str, data_dir: str | None = None, labels_csv: str | os.PathLike | None = None, task: str = CLASSIFY
) -> LabelledImages | None:
    """The test part of a dataset that has a validation part, too, for a last measurement; None for other datasets.

    The arguments are those of `load`. Some tests of tensorflow-datasets have no labels; for these it is None, too.
    """
    source = _open(dataset, data_dir, labels_csv, task)
    parts = source.parts if isinstance(source, Listing | TargetListing) else source.info.splits
    if not (VALIDATION in parts and TEST in parts):
        return None
    if isinstance(source, TargetListing):
        return _from_targets(source, TEST, dataset)
    if isinstance(source, Listing):
        return _from_listing(source, TEST, dataset)
    if task != CLASSIFY:
        with contextlib.suppress(InputError):  # without truth
            return _from_tfds(source, TEST, task)
        return None
    images = _from_tfds(source, TEST)
    labels = images.examples(None).take(_SHUFFLE_BUFFER if images.multi_label else 1).map(lambda name, source, label: label)
    return images if any((label >= 0).any() for label in labels.as_numpy_iterator()) else None


def _open(dataset: str, data_dir: str | None, labels_csv: str | os.PathLike | None, task: str):
    """The listing of a folder, or the builder of a prepared dataset of tensorflow-datasets."""
    if task not in TASKS:
        raise InputError(f"`task` must be one of {TASKS}.{did_you_mean(str(task), TASKS)} Received: task={task!r}")
    if labels_csv is not None and task != CLASSIFY:
        raise InputError(f"A CSV file has labels of whole images, for the task {CLASSIFY!r}. {_accepted(task)}")
    if labels_csv is not None:
        return list_csv(labels_csv, pathlib.Path(existing_path(os.path.expanduser(dataset))))
    if dataset.startswith((".", "~", os.sep)):
        return _in_folder(os.path.expanduser(dataset), task)
    tfds = require("tensorflow_datasets", "train")
    for module in ("digits", "digit_scenes"):
        require(f"keras_senet.data.{module}", "train")  # registers the dataset
    known = tfds.list_builders(with_community_datasets=False)
    is_known = re.split("[/:]", dataset)[0] in known
    if is_known and os.path.isdir(dataset) and not _is_of_tfds(dataset):
        raise InputError(
            f"{dataset!r} is a dataset of tensorflow-datasets, and a folder here. For the folder write './{dataset}'; for the "
            "dataset, rename the folder or work in another one."
        )
    if is_known:
        return _prepared(tfds, dataset, data_dir, task)
    if os.path.isdir(dataset) or os.sep in dataset:
        return _in_folder(dataset, task)
    near = did_you_mean(dataset, [*known, *(entry.name for entry in os.scandir() if entry.is_dir())])
    raise InputError(f"There is neither a tensorflow-datasets name nor a folder {dataset!r}.{near}")


def _in_folder(dataset: str, task: str) -> Listing | TargetListing:
    """The images in a folder, with labels by JSON files or by folders; with boxes or masks for other tasks."""
    folder = pathlib.Path(existing_path(dataset))
    if task == CLASSIFY:
        return list_json(folder) or list_folder(folder)
    if not folder.is_dir():
        raise InputError(f"{dataset} is no folder. {_accepted(task)}")
    found = coco_json.list_coco(folder) if task == DETECT else mask_folders.list_masks(folder)
    if found is None:
        raise InputError(
            f"The folder {dataset} has no {'boxes' if task == DETECT else 'masks'} that are known. {_accepted(task)}"
        )
    return found


def _accepted(task: str) -> str:
    """What a folder must hold for a task other than classification."""
    if task == DETECT:
        return f"The task {task!r} needs boxes: JSON files in COCO's format, as {coco_json.LAYOUTS}."
    return f"The task {task!r} needs masks: {mask_folders.LAYOUTS}."


def _is_of_tfds(folder: str) -> bool:
    """Whether tensorflow-datasets has made a folder, which `data_dir="."` puts here: `<name>/<version>/dataset_info.json`."""
    return any(pathlib.Path(folder).glob("**/dataset_info.json"))


def _prepared(tfds, dataset: str, data_dir: str | None, task: str):
    """The builder of a dataset whose files are ready."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    if data_dir is None and "TFDS_DATA_DIR" not in os.environ and os.path.expanduser("~") == "~":
        # tensorflow-datasets would make a folder called ~ here.
        raise InputError(f"There is no home folder to keep the dataset {dataset!r} in: {_DATA_DIR_HELPS}.")
    try:
        builder = tfds.builder(dataset, data_dir=data_dir)
        if _target_feature(builder, task):
            with contextlib.redirect_stdout(sys.stderr):  # it prints its progress
                builder.download_and_prepare()
    except Exception as error:  # each dataset has its own ways to fail
        message = f"The dataset {dataset!r} could not be prepared: {' '.join(str(error).split()).rstrip('.')}"
        if isinstance(error, tf.errors.PermissionDeniedError) or getattr(error, "errno", None) in _CANNOT_WRITE:
            message += f". To keep it elsewhere, {_DATA_DIR_HELPS}."
        raise InputError(message) from error
    if not _target_feature(builder, task):
        if task == CLASSIFY:
            raise InputError(f"The dataset {dataset!r} is not for classification: it has no features `image` and `label`.")
        missing = "`objects` with `bbox` and `label`" if task == DETECT else "that is the mask of an `image`, of one channel"
        raise InputError(
            f"The dataset {dataset!r} is not for the task {task!r}: it has no feature {missing}. It has "
            f"{', '.join(builder.info.features or ()) or 'none'}."
        )
    return builder


def _target_feature(builder, task: str) -> str | None:
    """The feature that holds what is to be learned of an image; None if the dataset is not for this task."""
    if task == CLASSIFY:
        return _label_feature(builder)
    return tfds_targets.target_feature(builder.info.features or {}, task)


def _label_feature(builder) -> str | None:
    """The feature of a dataset of images that is their label, or a sequence of labels; None if it has none."""
    features = builder.info.features or {}
    names = ("label", "labels") if "image" in features else ()
    return next((name for name in names if name in features and hasattr(_class_label(features[name]), "names")), None)


def _class_label(feature):
    """The feature that holds the names of the classes: itself, or what a sequence consists of."""
    return getattr(feature, "feature", feature)


def _from_tfds(builder, split: str, task: str = CLASSIFY) -> LabelledImages:
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
    label = _target_feature(builder, task)
    feature = builder.info.features[label]
    multi_label = task == CLASSIFY and _class_label(feature) is not feature

    def target(labels):
        if task != CLASSIFY:
            return tfds_targets.objects(labels) if task == DETECT else labels
        if not multi_label:
            return tf.cast(labels, tf.int64)
        once, _ = tf.unique(tf.cast(labels, tf.int64))
        padded = tf.pad(once, [[0, len(class_names) - tf.size(once)]], constant_values=-1)
        return tf.ensure_shape(padded, [len(class_names)])

    decoders = {"image": tfds.decode.SkipDecoding()} | ({label: tfds.decode.SkipDecoding()} if task == SEGMENT else {})

    def encoded(split=split, **reading):
        dataset = builder.as_dataset(
            split=split,
            shuffle_files="shuffle_seed" in reading,
            decoders=decoders,
            read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False, shuffle_reshuffle_each_iteration=False, **reading),
        )
        return dataset.map(lambda example: (example[name], example["image"], target(example[label])))

    if task == SEGMENT:
        # Not of this split alone, so that all have the same classes.
        masks = encoded("+".join(builder.info.splits)).map(lambda name, source, label: label)
        class_names = tfds_targets.mask_classes(feature, masks, builder.name)
    elif task == DETECT:
        class_names = feature.feature["label"].names
        tfds_targets.check_objects(encoded(), f"the split {split!r} of {builder.name!r}")
    else:
        class_names = _class_label(feature).names
    found = functools.partial(
        LabelledImages, read=tf.identity, size=size, class_names=class_names, multi_label=multi_label, task=task
    )
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


def _from_targets(listing: TargetListing, split: str, owner: object) -> LabelledImages:
    targets, counts, notes = listing.split(split)
    if not targets:
        raise InputError(f"The split {split!r} of {owner} holds no images. {' '.join(notes)}".rstrip())
    paths = [os.fsencode(file) for file in targets]
    if listing.task == DETECT:
        # Not one array: the most objects of an image may be many times as many as most images have.
        with tf.device("CPU:0"):
            rows = tf.constant(np.concatenate([*targets.values()]))
        ends = np.cumsum([len(objects) for objects in targets.values()])
        begins = ends - [len(objects) for objects in targets.values()]
        listed = tf.data.Dataset.from_tensor_slices((paths, begins, ends))
        listed = listed.map(lambda path, begin, end: (path, path, rows[begin:end]))
    else:
        listed = tf.data.Dataset.from_tensor_slices((paths, paths, [os.fsencode(mask) for mask in targets.values()]))
    return LabelledImages(
        examples_in_memory(listed, len(paths)),
        tf.io.read_file,
        len(paths),
        listing.class_names,
        counts.tolist(),
        tuple(notes),
        task=listing.task,
    )


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
