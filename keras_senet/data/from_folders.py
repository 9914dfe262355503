"""Labelled images of folders: those of one class each, with labels from files, with boxes, or with masks."""

import os
import pathlib
import warnings

import numpy as np
import tensorflow as tf

from keras_senet.data import coco_json, mask_folders
from keras_senet.data.elements import padded_labels
from keras_senet.data.folders import NO_LABEL, Listing, list_folder
from keras_senet.data.formats import image_suffixes
from keras_senet.data.label_json import list_json
from keras_senet.data.labelled_images import LabelledImages, examples_in_memory
from keras_senet.data.target_listing import TargetListing
from keras_senet.errors import InputError, existing_path, named
from keras_senet.inference.tasks import CLASSIFY, DETECT


def images_of_folder(listing: Listing | TargetListing, split: str, owner: object) -> LabelledImages:
    """The images of one part of a listing, which errors call those of `owner`."""
    return _with_targets(listing, split, owner) if isinstance(listing, TargetListing) else _with_labels(listing, split, owner)


def in_folder(dataset: str, task: str) -> Listing | TargetListing:
    """The images in a folder, with labels by JSON files or by folders; with boxes or masks for other tasks."""
    folder = pathlib.Path(existing_path(dataset))
    if task == CLASSIFY:
        return list_json(folder) or list_folder(folder)
    if not folder.is_dir():
        raise InputError(f"{dataset} is no folder. {accepted(task)}")
    found = coco_json.list_coco(folder) if task == DETECT else mask_folders.list_masks(folder)
    if found is None:
        raise InputError(f"The folder {dataset} has no {'boxes' if task == DETECT else 'masks'} that are known. {accepted(task)}")
    return found


def accepted(task: str) -> str:
    """What a folder must hold for a task other than classification."""
    if task == DETECT:
        return f"The task {task!r} needs boxes: JSON files in COCO's format, as {coco_json.LAYOUTS}."
    return f"The task {task!r} needs masks: {mask_folders.LAYOUTS}."


def _with_labels(listing: Listing, split: str, owner: object) -> LabelledImages:
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


def _with_targets(listing: TargetListing, split: str, owner: object) -> LabelledImages:
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
