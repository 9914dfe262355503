"""Labels from a CSV file: a path and a class on each line."""

import collections
import csv
import os
import pathlib
import unicodedata
from collections.abc import Iterable

from keras_senet.data.folders import Listing, split_classes
from keras_senet.data.formats import image_suffixes
from keras_senet.errors import InputError, existing_path
from keras_senet.files import read_text
from keras_senet.inference.labels import check_class_names

_PATH, _LABEL = "path", "label"


def list_csv(path: str | os.PathLike, folder: pathlib.Path) -> Listing:
    """The images that a CSV file names.

    Args:
        path: the file: `path,label`, with or without names of the columns as its first line. If these are "path" and "label",
            there may be other columns, in any order. A comma, a semicolon or a tab separates the columns.
        folder: the folder that the paths start from, or else they start from that of the file.

    Returns:
        The images, of which a fifth of each class is the validation part.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no such table, if images do not exist or have two labels, or if a class name cannot be used.
    """
    lines = read_text(existing_path(path)).splitlines()
    separator = next((each for each in ",;\t" if lines and each in lines[0]), ",")
    rows = [(number, row) for number, row in enumerate(csv.reader(lines, delimiter=separator), 1) if any(row)]
    roots = (folder, pathlib.Path(path).parent)
    columns = (0, 1)
    if rows:
        header = {name.strip().casefold(): index for index, name in enumerate(rows[0][1])}
        if {_PATH, _LABEL} <= header.keys():
            columns = (header[_PATH], header[_LABEL])
        if columns != (0, 1) or not _names_an_image(rows[0][1][0].strip(), roots):
            del rows[0]
    for number, row in rows:
        if len(row) <= max(columns) or not all(row[column].strip() for column in columns) or (columns == (0, 1) and len(row) > 2):
            raise InputError(f"Line {number} of {path} must be a path and a label, with a comma between them. It is: {row}")
    pairs = [(row[columns[0]].strip(), unicodedata.normalize("NFC", row[columns[1]].strip())) for _, row in rows]
    if not pairs:
        raise InputError(f"{path} names no image.")
    root = next((root for root in roots if (root / pairs[0][0]).exists()), folder)

    listing = Listing()
    labels: dict[str, str] = {}
    for name, label in pairs:
        file = os.path.join(root, name)
        if labels.setdefault(file, label) != label:
            raise InputError(f"{path} calls {name} {labels[file]!r} and {label!r}: leave one line.")
    if len(labels) < len(pairs):
        listing.left_out["lines that repeat one before"] += len(pairs) - len(labels)
    if missing := [file for file in labels if not os.path.isfile(file)]:
        raise InputError(
            f"{path} names {len(missing):,} images that do not exist, such as {missing[0]}. Paths start from --dataset, or "
            "from the folder of the file."
        )
    classes: dict[str, list[str]] = collections.defaultdict(list)
    for file, label in labels.items():
        classes[label].append(file)
    check_class_names(classes, path)
    split_classes(listing, classes, root)
    return listing


def _names_an_image(name: str, roots: Iterable[pathlib.Path]) -> bool:
    """Whether the first line is of an image, not of the names of columns."""
    return os.path.splitext(name)[1].lower() in image_suffixes() or any((root / name).is_file() for root in roots)
