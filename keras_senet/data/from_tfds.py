"""Labelled images of tensorflow-datasets: those for classification, with boxes, or with masks."""

import contextlib
import errno
import functools
import os
import pathlib
import sys

import tensorflow as tf

from keras_senet.data import tfds_targets
from keras_senet.data.folders import VALIDATION
from keras_senet.data.labelled_images import LabelledImages, examples_in_memory, memory_size
from keras_senet.errors import InputError, require
from keras_senet.inference.tasks import CLASSIFY, DETECT, SEGMENT

_VALIDATION_SPLITS = ("validation", "val", "test")
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR)
_DATA_DIR_HELPS = "name a folder that can be written with --data-dir (in Python `data_dir`)"
SHUFFLE_BUFFER = 10_000  # encoded images; about 1 GB of ImageNet


def is_of_tfds(folder: str) -> bool:
    """Whether tensorflow-datasets has made a folder, which `data_dir="."` puts here: `<name>/<version>/dataset_info.json`."""
    return any(pathlib.Path(folder).glob("**/dataset_info.json"))


def prepared(tfds, dataset: str, data_dir: str | None, task: str):
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


def images_of_tfds(builder, split: str, task: str = CLASSIFY) -> LabelledImages:
    """The images of one split of a prepared dataset."""
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
        return encoded(shuffle_seed=seed, **share).shuffle(SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=False)

    return found(examples)
