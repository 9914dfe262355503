"""Labels from JSON files: photo.json beside photo.jpg, with a list of its labels."""

import json
import os
import pathlib
import unicodedata

from keras_senet.data.folders import NO_LABEL, PART_NAMES, TRAIN, Listing, files_by_label, images_below, split_images
from keras_senet.data.formats import image_suffixes
from keras_senet.errors import InputError, named
from keras_senet.files import read_text
from keras_senet.inference.labels import check_class_names


def list_json(folder: pathlib.Path) -> Listing | None:
    """The images in a folder, or in its parts, that have a JSON file beside them.

    `photo.json` holds `{"labels": ["cat", "dog"]}`; an empty list is an image without a label. There may be other keys. Images
    without such a file are left out.

    Args:
        folder: the folder; images may also lie in folders within it.

    Returns:
        The images; None if no image that lies in the folder itself, or in one with the name of a part, has such a file.

    Raises:
        ValueError: if a file holds something else, if no image has a label, if a class name cannot be used, or if a part has
            labels that the training part lacks.
    """
    listing = Listing(multi_label=True)
    if _has_labels(folder):
        labels = _labels(folder, listing)
        split_images(listing, labels, folder)
    else:
        part_of = {name: part for part, names in PART_NAMES.items() for name in names}
        roots = [entry for entry in sorted(folder.iterdir()) if entry.name.casefold() in part_of and _has_labels(entry)]
        for root in roots:
            if (part := part_of[root.name.casefold()]) in listing.parts:
                raise InputError(f"{folder} has two {part} parts, of which one is {root.name}: join them, or rename one.")
            labels = _labels(root, listing)
            listing.parts[part] = files_by_label(labels)
        if listing.parts.keys() == {TRAIN}:
            split_images(listing, labels, roots[0])
    if not listing.parts:
        return None
    classes = listing.class_names()
    check_class_names(classes, folder)
    if not classes:
        raise InputError(f"The JSON files in {folder} have no label for any image.")
    for part, files in listing.parts.items():
        if unknown := files.keys() - {*classes, NO_LABEL}:
            raise InputError(f"The part {part} of {folder} has labels that the training part lacks: {named(sorted(unknown))}.")
    return listing


def _has_labels(folder: pathlib.Path) -> bool:
    """Whether an image in the folder has a JSON file beside it."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries}
    stems = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    return any(stem in stems and suffix.lower() in image_suffixes() for stem, suffix in map(os.path.splitext, names))


def _labels(folder: pathlib.Path, listing: Listing) -> dict[str, list[str]]:
    """The labels of each image below a folder."""
    labels = {}
    for image in images_below(os.fspath(folder), listing.left_out):
        file = f"{os.path.splitext(image)[0]}.json"
        if os.path.isfile(file):
            labels[image] = _read(file)
        else:
            listing.left_out["images without a .json file beside them"] += 1
    del listing.left_out[".json"]
    return labels


def _read(file: str) -> list[str]:
    """The labels in a JSON file, each once."""
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise InputError(f"{file} is not a JSON file: {error}.") from error
    found = content.get("labels") if isinstance(content, dict) else None
    if not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise InputError(f'{file} must hold the labels of its image as {{"labels": ["cat", "dog"]}}.')
    return sorted({unicodedata.normalize("NFC", name) for name in found})
