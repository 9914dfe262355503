"""Masks as PNG files beside the images: `images/1.jpg` and `masks/1.png`, in the folder or in the folders of its parts."""

import collections
import concurrent.futures
import functools
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from keras_senet.data.folders import PART_NAMES, TRAIN, images_below
from keras_senet.data.masks import mask_content
from keras_senet.data.pillow_reader import stored_shape
from keras_senet.data.placing import NO_CLASS
from keras_senet.data.target_listing import TargetListing, TargetPart, split_targets
from keras_senet.errors import InputError, existing_path
from keras_senet.files import read_text
from keras_senet.inference.labels import check_class_names
from keras_senet.inference.tasks import SEGMENT

_IMAGES, _MASKS = "images", ("masks", "annotations", "labels")
_CLASSES = "classes.txt"
_PART_OF = {name: part for part, names in PART_NAMES.items() for name in names}
_THREADS = 8
LAYOUTS = (
    "images/1.jpg and masks/1.png (or `annotations` or `labels` for `masks`), with parts within, as images/train/1.jpg and "
    "masks/train/1.png, or around, as train/images/1.jpg and train/masks/1.png"
)


def list_masks(folder: pathlib.Path) -> TargetListing | None:
    """The images in a folder that have a mask of the same name.

    Args:
        folder: the folder. If it holds a file classes.txt, that has the names of the classes, one a line; otherwise they are
            numbers.

    Returns:
        The images; None if there is no folder of images beside one of masks.

    Raises:
        ValueError: if a mask cannot be read, is not as large as its image, which is upright, or has a value that is beyond the
            classes and not 255; or if the masks tell no two classes apart.
    """
    pairs = _pairs(folder)
    if not pairs:
        return None
    parts = {}
    for part, roots in pairs.items():
        remarks: collections.Counter[str] = collections.Counter()
        parts[part] = TargetPart(_matched(*roots, remarks), np.zeros(0, int), remarks)
    if not any(part.targets for part in parts.values()):
        images, masks = next(iter(pairs.values()))
        raise InputError(f"No image in {images} has a mask of the same name in {masks}: images/1.jpg needs masks/1.png.")
    values = {file: values for part in parts.values() for file, values in _values(part.targets).items()}
    occurring = {value for found in values.values() for value in found} - {NO_CLASS}
    if len(occurring) < 2:
        every = sorted({value for found in values.values() for value in found})
        raise InputError(
            f"The masks of {folder} tell no two classes apart: their values are {', '.join(map(str, every))}, and 255 is no "
            "class. Values are class indices, such as 0 for the background and 1 for what is to be found."
        )
    class_names = _class_names(folder, max(occurring), values)
    is_whole = parts.keys() in ({TRAIN}, {""})
    if is_whole:
        (whole,) = parts.values()
        kept = split_targets(whole.targets, len(os.path.join(folder, "")))
        parts = {
            name: TargetPart({file: whole.targets[file] for file in held}, whole.counts, collections.Counter())
            for name, held in kept.items()
        }
        parts[TRAIN].remarks.update(whole.remarks)
    for listed in parts.values():
        shown = [value for file in listed.targets for value in values[file] if value != NO_CLASS]
        listed.counts = np.bincount(np.array(shown, int), minlength=len(class_names))
    return TargetListing(SEGMENT, class_names, parts, is_whole)


def _folders(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders in a folder, by their names in small letters."""
    return {entry.name.casefold(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}


def _pairs(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """The folders of images and of masks of each part; of the part "", if there are no parts."""
    whole = _pair(_folders(folder))
    if whole is None:
        around = [
            (part, pair)
            for name, inner in _folders(folder).items()
            if (part := _PART_OF.get(name)) and (pair := _pair(_folders(inner)))
        ]
    else:
        images, masks = map(_folders, whole)
        around = [(part, (images[name], masks[name])) for name in images if name in masks and (part := _PART_OF.get(name))]
    pairs: dict[str, tuple[pathlib.Path, pathlib.Path]] = {}
    for part, pair in around:
        if part in pairs:
            raise InputError(f"{folder} has two {part} parts, {pairs[part][0]} and {pair[0]}: join them, or rename one.")
        pairs[part] = pair
    if not pairs and whole is not None:
        return {"": whole}
    return {part: pairs[part] for part in PART_NAMES if part in pairs}


def _pair(folders: Mapping[str, pathlib.Path]) -> tuple[pathlib.Path, pathlib.Path] | None:
    masks = next((folders[name] for name in _MASKS if name in folders), None)
    return (folders[_IMAGES], masks) if _IMAGES in folders and masks is not None else None


def _matched(images: pathlib.Path, masks: pathlib.Path, remarks: collections.Counter[str]) -> dict[str, str]:
    """The mask of each image that has one."""
    left_out: collections.Counter[str] = collections.Counter()

    def by_stem(folder):
        return {file: os.path.splitext(os.path.relpath(file, folder))[0] for file in images_below(os.fspath(folder), left_out)}

    of_stem = {stem: file for file, stem in by_stem(masks).items() if file.lower().endswith(".png")}
    stems = by_stem(images)
    remarks["images without a mask of the same name, left out"] += sum(stem not in of_stem for stem in stems.values())
    remarks["masks without an image of the same name, left out"] += len(of_stem.keys() - {*stems.values()})
    return {file: of_stem[stem] for file, stem in sorted(stems.items()) if stem in of_stem}


def _values(targets: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """The values in the mask of each image, after a look at its size."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(targets, pool.map(_checked, targets.keys(), targets.values()), strict=True))


def _checked(image: str, mask: str) -> tuple[int, ...]:
    shape, values = _content(mask, os.stat(mask).st_mtime_ns)
    if stored := stored_shape(image):
        width, height, orientation = stored
        upright = (width, height) if orientation > 4 else (height, width)
        if shape != upright:
            raise InputError(
                f"The mask {mask} has {shape[1]} x {shape[0]} pixels, but its image {image} has {upright[1]} x {upright[0]}, "
                "upright: they must be of one size."
            )
    return values


@functools.cache  # each part is asked for on its own
def _content(mask: str, _changed: int) -> tuple[tuple[int, int], tuple[int, ...]]:
    return mask_content(mask)


def _class_names(folder: pathlib.Path, largest: int, values: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Names in classes.txt, or numbers up to the largest value."""
    file = folder / _CLASSES
    if not file.is_file():
        return [str(value) for value in range(largest + 1)]
    names = [line.strip() for line in read_text(existing_path(file)).rstrip().splitlines()]
    check_class_names(names, file)
    if largest >= len(names):
        image = next(image for image, found in values.items() if largest in found)
        raise InputError(
            f"The mask of {image} has the value {largest}, but {file} names "
            f"{len(names)} classes, so values go from 0 to {len(names) - 1}; 255 is no class."
        )
    return names
