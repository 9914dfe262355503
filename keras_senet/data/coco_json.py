"""Boxes from JSON files in COCO's format, beside the images that they name.

The layouts that are known: COCO's own, `annotations/instances_train2017.json` and the folder `train2017`; Roboflow's,
`train/_annotations.coco.json` beside the images of that part; and `train.json`, in the folder itself or in `annotations`, with
the images in the folder, in `images` or in a folder of the part. `annotations.json` and the like are for all images.
"""

import collections
import concurrent.futures
import functools
import json
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from keras_senet.data.folders import PART_NAMES, TRAIN
from keras_senet.data.orientation import FLIPS
from keras_senet.data.pillow_reader import stored_shape
from keras_senet.data.target_listing import TargetListing, TargetPart, check_present, split_targets
from keras_senet.errors import InputError, named, one_line
from keras_senet.files import read_text
from keras_senet.inference.labels import check_class_names
from keras_senet.inference.tasks import DETECT

_NAME = re.compile(r"(?:instances[_-])?(.+?)(?:[_-]?(?:19|20)\d\d)?(?:\.coco)?", re.IGNORECASE)  # of a file without .json
_OF_A_FOLDER = ("_annotations.coco", "_annotations", "annotations", "instances", "instances_default")  # without a part's name
_PART_OF = {name: part for part, names in PART_NAMES.items() for name in names}
_THREADS = 8
LAYOUTS = (
    "instances_train2017.json in the folder `annotations` beside the folder of images `train2017`, "
    "`train/_annotations.coco.json` beside its images, or train.json beside the folder `images`; in the same way for other parts"
)


class _Content(NamedTuple):
    """What a file holds.

    Attributes:
        class_names: by index, in the order of the categories' numbers.
        targets: objects of each image, as in `TargetPart`.
        remarks: as there.
    """

    class_names: tuple[str, ...]
    targets: dict[str, np.ndarray]
    remarks: collections.Counter[str]


def list_coco(folder: pathlib.Path) -> TargetListing | None:
    """The images that JSON files in COCO's format name, with their boxes.

    Args:
        folder: the folder.

    Returns:
        The images; None if there is no such file. Boxes are of the image as it is shown, which metadata may turn; if the width
        and height that the file names are those of the stored image alone, of that. Boxes are clipped to the image.

    Raises:
        ValueError: if a file is none of COCO's, names a class twice or images of another size, if over 1 % of its images are
            missing, if no image has a box, or if a part has classes that the training part lacks.
    """
    files = _files(folder)
    if not files:
        return None
    contents = {part: _read(file, folder, file.stat().st_mtime_ns) for part, file in files.items()}
    owner = TRAIN if TRAIN in contents else next(iter(contents))
    class_names = contents[owner].class_names
    parts = {}
    for part, content in contents.items():
        if unknown := {*content.class_names} - {*class_names}:
            raise InputError(f"{files[part]} has categories that {files[owner]} lacks: {named(sorted(unknown))}.")
        places = np.array([class_names.index(name) for name in content.class_names], np.float32)
        parts[part] = _part(content.targets, places, len(class_names), content.remarks)
    listing = TargetListing(DETECT, [*class_names], parts)
    if parts.keys() in ({TRAIN}, {""}):
        (whole,) = parts.values()
        kept = split_targets(whole.targets, len(os.path.join(folder, "")))
        same = np.arange(len(class_names), dtype=np.float32)
        listing.parts = {
            name: _part({file: whole.targets[file] for file in held}, same, len(class_names), collections.Counter())
            for name, held in kept.items()
        }
        listing.parts[TRAIN].remarks.update(contents[owner].remarks)
        listing.is_split_by_us = True
    if not sum(part.counts.sum() for part in listing.parts.values()):
        raise InputError(f"{files[owner]} has no box for any image: there is nothing to detect.")
    return listing


def _part(targets: dict[str, np.ndarray], places: np.ndarray, classes: int, remarks: collections.Counter[str]) -> TargetPart:
    """A part with the classes renumbered, and what is to be said of it."""
    renumbered = {}
    for file, objects in targets.items():
        renumbered[file] = np.concatenate([objects[:, :4], places[objects[:, 4:5].astype(int)], objects[:, 5:]], axis=1)
    every = np.concatenate([*renumbered.values(), np.zeros((0, 6), np.float32)])
    remarks = collections.Counter(remarks)
    remarks["images without an object, kept as background"] += sum(not len(objects) for objects in renumbered.values())
    remarks["boxes of crowds, for evaluation only"] += int((every[:, 5] > 0).sum())
    return TargetPart(renumbered, np.bincount(every[:, 4].astype(int), minlength=classes), +remarks)


def _files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The file of each part; of the part "", if there is one for all images."""
    parts: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    whole = []
    for place in (folder, folder / "annotations"):
        for file in sorted(place.glob("*.json")) if place.is_dir() else ():
            name = _NAME.fullmatch(file.stem)
            if name and (part := _PART_OF.get(name[1].casefold())):
                parts[part].append(file)
            elif file.stem.casefold() in _OF_A_FOLDER:
                whole.append(file)
    for place in sorted(folder.iterdir()):
        if (part := _PART_OF.get(place.name.casefold())) and place.is_dir():
            parts[part] += [file for file in sorted(place.glob("*.json")) if file.stem.casefold() in _OF_A_FOLDER]
    found = {part: parts[part] for part in PART_NAMES if parts.get(part)} or ({"": whole} if whole else {})
    for part, files in found.items():
        if len(files) > 1:
            raise InputError(
                f"{folder} has several files of boxes for {part or 'all images'}: {files[0]} and {files[1]}. Leave one."
            )
    return {part: file for part, (file,) in found.items()}


@functools.lru_cache(maxsize=4)  # each part is asked for on its own, and COCO's file takes seconds
def _read(file: pathlib.Path, folder: pathlib.Path, _changed: int) -> _Content:
    """What a file holds, checked."""
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise InputError(f"{file} is not a JSON file: {one_line(error)}.") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in ("images", "annotations")):
        raise InputError(
            f"{file} is not in COCO's format: it must hold an object with lists `images`, `annotations`, `categories`."
        )
    remarks: collections.Counter[str] = collections.Counter()
    index_of, class_names = _classes(content.get("categories"), file)
    images = {_field(image, "id", file, "images"): image for image in content["images"]}
    names = {number: str(_field(image, "file_name", file, "images")) for number, image in images.items()}
    root = _root(file, folder, [*names.values()])
    paths = {number: os.path.join(root, name) for number, name in names.items()}
    missing = [path for path in paths.values() if not os.path.isfile(path)]
    check_present(missing, len(paths), file)
    if missing:
        remarks[f"images that {file.name} names do not exist and are left out, first {missing[0]}"] += len(missing)
        gone = {*missing}
        paths = {number: path for number, path in paths.items() if path not in gone}

    boxes: dict[Any, list] = {number: [] for number in paths}
    for annotation in content["annotations"]:
        number = _field(annotation, "image_id", file, "annotations")
        if number not in boxes:
            remarks["boxes of images that are not there, left out"] += 1
            continue
        category = _field(annotation, "category_id", file, "annotations")
        if category not in index_of:
            raise InputError(f"{file} has a box of the category {category!r}, which is none of its `categories`.")
        box = _field(annotation, "bbox", file, "annotations")
        try:
            left, top, width, height = (float(side) for side in box)
        except (TypeError, ValueError) as error:
            raise InputError(f"{file} has a box that is not [left, top, width, height] in pixels: {box!r}.") from error
        boxes[number].append([left, top, left + width, top + height, index_of[category], bool(annotation.get("iscrowd"))])

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        shapes = dict(zip(paths, pool.map(stored_shape, paths.values()), strict=True))
    targets = {}
    for number, path in sorted(paths.items(), key=lambda pair: pair[1]):
        objects = np.array(boxes[number], np.float64).reshape(-1, 6)
        size, orientation = _size(images[number], shapes[number], path, file)
        targets[path] = _objects(objects, size, orientation, path, remarks).astype(np.float32)
    return _Content(class_names, targets, +remarks)


def _field(entry: Any, key: str, file: pathlib.Path, where: str) -> Any:
    """What an entry of one of the lists holds under a key."""
    if (
        not isinstance(entry, dict)
        or key not in entry
        or isinstance(entry[key], dict)
        or (key != "bbox" and isinstance(entry[key], list))
    ):
        raise InputError(f"{file} has an entry without a usable {key!r} in `{where}`: {one_line(ValueError(repr(entry)))}.")
    return entry[key]


def _classes(categories: Any, file: pathlib.Path) -> tuple[dict[Any, int], tuple[str, ...]]:
    """The index of each category by its number, and the names by index."""
    if not isinstance(categories, list) or not categories:
        raise InputError(f'{file} has no `categories`: it must name the classes as [{{"id": 1, "name": "cat"}}, ...].')
    numbers = [_field(category, "id", file, "categories") for category in categories]
    names = [str(_field(category, "name", file, "categories")) for category in categories]
    if len({*numbers}) < len(numbers) or len({*names}) < len(names):
        raise InputError(f"{file} has two categories of one `id` or one `name`: {named(names)}. Name each class once.")
    check_class_names(names, file)
    order = sorted(range(len(numbers)), key=lambda place: (str(type(numbers[place])), numbers[place]))
    return {numbers[place]: index for index, place in enumerate(order)}, tuple(names[place] for place in order)


def _root(file: pathlib.Path, folder: pathlib.Path, names: list[str]) -> pathlib.Path:
    """The folder that the paths in a file start from: that in which most of the first images lie."""
    stem = re.sub("^instances[_-]", "", file.stem, flags=re.IGNORECASE)
    roots = [file.parent, file.parent / "images", folder, folder / "images", folder / stem, folder / "images" / stem]
    part = (_NAME.fullmatch(stem) or [stem, stem])[1]
    roots += [folder / part, folder / "images" / part, folder / part / "images"]
    return max(roots, key=lambda root: sum(os.path.isfile(root / name) for name in names[:100]))


def _size(image: dict, stored: tuple[int, int, int] | None, path: str, file: pathlib.Path) -> tuple[tuple[float, float], int]:
    """Width and height that the boxes of an image are in, and the orientation by which they are to be turned upright."""
    named_size = tuple(image[side] for side in ("width", "height") if isinstance(image.get(side), int | float))
    if stored is None:  # a damaged image, which reading leaves out
        return (named_size if len(named_size) == 2 and min(named_size) > 0 else (1, 1)), 1
    width, height, orientation = stored
    upright = (height, width) if orientation > 4 else (width, height)
    if len(named_size) < 2 or named_size == upright:
        return upright, 1
    if named_size == (width, height):
        return named_size, orientation
    raise InputError(
        f"{file} says that {path} has {named_size[0]} x {named_size[1]} pixels, but it has {upright[0]} x {upright[1]}: the "
        "boxes would not fit. Correct the file, or put the images there that it was made for."
    )


def _objects(
    objects: np.ndarray, size: tuple[float, float], orientation: int, path: str, remarks: collections.Counter[str]
) -> np.ndarray:
    """Objects `(M, 6)` in pixels as shares of the upright image, clipped to it; without those that have no area."""
    if not np.isfinite(objects).all():
        raise InputError(f"A box of {path} is not a number.")
    upside_down = (objects[:, 2:4] < objects[:, :2]).any(axis=1)
    remarks["boxes of negative width or height, left out"] += int(upside_down.sum())
    objects = objects[~upside_down]
    limits = np.array([*size, *size])
    clipped = np.clip(objects[:, :4], 0, limits)
    is_empty = (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    remarks["boxes without an area within the image, left out"] += int(is_empty.sum())
    # Boxes of COCO reach beyond by fractions of a pixel, which is not worth a word.
    remarks["boxes that reach out of their image, clipped"] += int(
        (np.abs(clipped - objects[:, :4])[~is_empty] > 1).any(axis=1).sum()
    )
    corners = (clipped / limits)[~is_empty].reshape(-1, 2, 2)  # of the first and the last corner, x and y
    if orientation > 4:
        corners = corners[..., ::-1]
    is_flipped = FLIPS[orientation][::-1]
    corners = np.where(is_flipped, 1 - corners[:, ::-1], corners)
    return np.concatenate([corners.reshape(-1, 4), objects[~is_empty, 4:]], axis=1)
