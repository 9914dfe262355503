"""Labels from a CSV file: a path and a label on each line, or several labels."""

import collections
import csv
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable

from keras_senet.data.folders import NO_LABEL, Listing, files_by_label, split_classes, split_images
from keras_senet.data.formats import image_suffixes
from keras_senet.errors import InputError, existing_path
from keras_senet.files import read_text
from keras_senet.inference.labels import check_class_names

_PATH, _LABEL, _LABELS = "path", "label", "labels"
_BETWEEN_LABELS = re.compile("[|;]")
_IS_SHOWN = {"0": False, "1": True, "0.0": False, "1.0": True}


def list_csv(path: str | os.PathLike, folder: pathlib.Path) -> Listing:
    """The images that a CSV file names.

    Args:
        path: the file. A comma, a semicolon or a tab separates its columns. It is one of these tables:
            - `path,label`, with or without names of the columns as its first line. If these are "path" and "label", there may be
              other columns, in any order.
            - The same with several labels in a cell, `a.jpg,cat|dog` or `a.jpg,cat;dog`. An empty cell is an image without a
              label. If the column is called "labels", one label a cell, or none, means the same.
            - `path,cat,dog`: more than two columns, with names. Below a class each line has 1 if the image shows it, and else 0.
        folder: the folder that the paths start from, or else they start from that of the file.

    Returns:
        The images, of which a fifth of each class is the validation part; a fifth of all images, if these have several labels.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no such table, if images do not exist or have two lines of different labels, if no image has a
            label, or if a class name cannot be used.
    """
    lines = read_text(existing_path(path)).splitlines()
    separator = next((each for each in ",;\t" if lines and each in lines[0]), ",")
    rows = [(number, row) for number, row in enumerate(csv.reader(lines, delimiter=separator), 1) if any(row)]
    rows = [(number, [cell.strip() for cell in row]) for number, row in rows]
    roots = (folder, pathlib.Path(path).parent)
    listing = Listing()
    named = _labels(rows, roots, path, listing)
    if not named:
        raise InputError(f"{path} names no image.")
    root = next((root for root in roots if (root / named[0][0]).exists()), folder)

    labels: dict[str, list[str]] = {}
    for name, found in named:
        file = os.path.join(root, name)
        if labels.setdefault(file, found) != found:
            one, other = ("|".join(each) for each in (labels[file], found))
            raise InputError(f"{path} calls {name} {one!r} and {other!r}: leave one line, of several labels as {one}|{other}.")
    if len(labels) < len(named):
        listing.left_out["lines that repeat one before"] += len(named) - len(labels)
    if missing := [file for file in labels if not os.path.isfile(file)]:
        raise InputError(
            f"{path} names {len(missing):,} images that do not exist, such as {missing[0]}. Paths start from --dataset, or "
            "from the folder of the file."
        )
    classes = files_by_label(labels)
    check_class_names(classes.keys() - {NO_LABEL}, path)
    if classes.keys() == {NO_LABEL}:
        raise InputError(f"{path} has no label for any image.")
    if listing.multi_label:
        split_images(listing, labels, root)
    else:
        split_classes(listing, classes, root)
    return listing


def _labels(
    rows: list[tuple[int, list[str]]], roots: Iterable[pathlib.Path], path: str | os.PathLike, listing: Listing
) -> list[tuple[str, list[str]]]:
    """The path and the labels on each line. `listing` learns whether there can be several, and which classes have no image."""
    titles = rows[0][1] if rows else []
    columns = {title.casefold(): index for index, title in enumerate(titles)}
    if {_PATH, _LABEL} <= columns.keys() or not _names_an_image(titles, roots):
        del rows[:1]
    else:
        titles, columns = [], {}
    label = columns.get(_LABEL, columns.get(_LABELS)) if _PATH in columns else None
    if label is None and len(titles) > 2:
        return _labels_by_column(rows, titles, columns.get(_PATH, 0), path, listing)
    place, label, width = (0, 1, 2) if label is None else (columns[_PATH], label, None)
    cells = [row[label] for _, row in rows if len(row) > label]
    listing.multi_label = _LABELS in columns or any(map(_BETWEEN_LABELS.search, cells))
    named = []
    for number, row in rows:
        fits = len(row) > max(place, label) if width is None else len(row) == width
        if not (fits and row[place] and (row[label] or listing.multi_label)):
            raise InputError(f"Line {number} of {path} must be a path and a label, with a comma between them. It is: {row}")
        found = _BETWEEN_LABELS.split(row[label]) if listing.multi_label else [row[label]]
        names = (unicodedata.normalize("NFC", name.strip()) for name in found)
        named.append((row[place], sorted({name for name in names if name})))
    return named


def _labels_by_column(
    rows: list[tuple[int, list[str]]], titles: list[str], place: int, path: str | os.PathLike, listing: Listing
) -> list[tuple[str, list[str]]]:
    """The same of a table that has a column of 0 and 1 for each class."""
    listing.multi_label = True
    classes = [(index, unicodedata.normalize("NFC", title)) for index, title in enumerate(titles) if index != place]
    if repeated := [name for name, count in collections.Counter(name for _, name in classes).items() if count > 1]:
        raise InputError(f"{path} has several columns {repeated[0]!r}: name each class once.")
    named = []
    for number, row in rows:
        if len(row) != len(titles) or not row[place] or not all(row[index] in _IS_SHOWN for index, _ in classes):
            raise InputError(
                f"Line {number} of {path} must be a path, and 0 or 1 for each of the {len(classes)} classes of the first line. "
                f"It is: {row}"
            )
        named.append((row[place], sorted(name for index, name in classes if _IS_SHOWN[row[index]])))
    listing.empty = sorted({name for _, name in classes} - {name for _, names in named for name in names})
    return named


def _names_an_image(row: list[str], roots: Iterable[pathlib.Path]) -> bool:
    """Whether a line is of an image, not of the names of columns."""
    name = row[0] if row else ""
    return os.path.splitext(name)[1].lower() in image_suffixes() or any((root / name).is_file() for root in roots)
