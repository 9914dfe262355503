"""What a folder of images holds: its parts, its classes, the images of each, and what is left out of them."""

import collections
import contextlib
import dataclasses
import os
import pathlib
import unicodedata
import zlib
from collections.abc import Mapping, Sequence

from keras_senet.data.formats import image_suffixes
from keras_senet.errors import FileError, InputError, named
from keras_senet.inference.labels import check_class_names

TRAIN, VALIDATION, TEST, ALL = "train", "validation", "test", "all"
NO_LABEL = ""  # in place of a class, whose name is never empty
PART_NAMES = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation", "dev", "eval"),
    TEST: ("test", "testing"),
}
_RUN_FILES = {"config.json", "labels.txt", "logs"}  # which together only the folder of a training run has


@dataclasses.dataclass
class Listing:
    """The images that a folder, or a file of labels, names.

    Attributes:
        parts: the files of each class, by the name of the part; `{"train": {"cat": ["cat/1.jpg"]}}`. With several labels an
            image, a file is listed under each of its labels, or under `NO_LABEL`.
        is_split_by_us: whether we chose the validation images, because no folder has them.
        left_out: how often something was left out, by the reason.
        empty: classes that have no image.
        multi_label: whether an image can have several labels, or none.
    """

    parts: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)
    is_split_by_us: bool = False
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    empty: list[str] = dataclasses.field(default_factory=list)
    multi_label: bool = False

    def class_names(self) -> list[str]:
        """The classes of the training part or, without one, of all parts; in the order of their text."""
        parts = [self.parts[TRAIN]] if TRAIN in self.parts else self.parts.values()
        return sorted({name for classes in parts for name in classes} - {NO_LABEL})

    def split(self, split: str) -> dict[str, list[str]]:
        """The files of each class in the part `split`, "train", "validation", "test" or "all".

        The test part stands in for a validation part that is missing.

        Raises:
            ValueError: if there is no such part.
        """
        if split == ALL:
            names = [*self.class_names(), NO_LABEL]
            joined = {name: [file for part in self.parts.values() for file in part.get(name, ())] for name in names}
            return {name: sorted(files) for name, files in joined.items()} if self.is_split_by_us else joined
        return self.parts[chosen_part(self.parts, split)]

    def notes(self, split: str) -> list[str]:
        """What became of the content, in sentences, for those who read the part `split`."""
        notes = []
        if self.is_split_by_us and split != ALL:
            held_out = "the images" if self.multi_label else "each class"
            notes.append(f"A fifth of {held_out} is held out for validation, chosen by file name.")
        elif split == VALIDATION and VALIDATION not in self.parts and TEST in self.parts:
            notes.append("There is no validation part: the test part takes its place.")
        if self.multi_label and (count := len(self.split(split).get(NO_LABEL, ()))):
            notes.append(f"{count:,} images have no label: they are examples of no class.")
        if self.left_out:
            notes.append("Left out: " + ", ".join(f"{count:,} {why}" for why, count in self.left_out.most_common()) + ".")
        if self.empty:
            notes.append(f"Classes without images, left out: {named(self.empty)}.")
        return [printable(note) for note in notes]


def printable(note: str) -> str:
    """A sentence without what no terminal takes: names on disk can hold anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in note)


def chosen_part(parts: Mapping[str, object], split: str) -> str:
    """The part that `split` means, where the test part stands in for a validation part that is missing.

    Raises:
        ValueError: if there is no such part.
    """
    if split == VALIDATION and VALIDATION not in parts and TEST in parts:
        split = TEST
    if split not in parts:
        raise InputError(f"There is no part {split!r}. Available: {named([*parts, ALL])}.")
    return split


def list_folder(folder: pathlib.Path) -> Listing:
    """Lists `<folder>/<class>/**/<image>`, or `<folder>/<part>/<class>/**/<image>`.

    Raises:
        OSError: if a folder cannot be read.
        ValueError: if a class name cannot be used, a part occurs twice, a class of another part is missing in the training part,
            or a folder belongs to a training run.
    """
    listing = Listing()
    roots = _part_folders(folder, listing)
    if not roots:
        split_classes(listing, _classes(folder, listing), folder)
        return listing
    for part, root in roots.items():
        listing.parts[part] = _classes(root, listing)
    train = listing.parts.get(TRAIN)
    for part, classes in listing.parts.items():
        if train is not None and (unknown := classes.keys() - train.keys()):
            raise InputError(f"{roots[part]} has classes that {roots[TRAIN]} lacks: {named(sorted(unknown))}.")
    if listing.parts.keys() == {TRAIN}:
        split_classes(listing, listing.parts[TRAIN], roots[TRAIN])
    return listing


def split_classes(listing: Listing, classes: dict[str, list[str]], root: pathlib.Path) -> None:
    """Makes a training and a validation part of `classes`, whose files are below `root`."""
    beyond = len(os.path.join(root, ""))
    listing.is_split_by_us = True
    listing.parts = {TRAIN: {}, VALIDATION: {}}
    for name, files in classes.items():
        # The name within the folder of the class, where the files are in such folders.
        names = {file: file[beyond:].partition(os.sep)[2] or file[beyond:] for file in files}
        listing.parts[TRAIN][name], listing.parts[VALIDATION][name] = split_files(names)


def files_by_label(labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The files of each label, where a file has several or none, as `Listing.parts` has them."""
    files: dict[str, list[str]] = collections.defaultdict(list)
    for file, names in labels.items():
        for name in names or (NO_LABEL,):
            files[name].append(file)
    return dict(files)


def split_images(listing: Listing, labels: Mapping[str, Sequence[str]], root: pathlib.Path) -> None:
    """Makes a training and a validation part of files below `root`, each of which has several labels or none.

    A hash of the name decides, as in `split_classes`. Each label keeps an image in training.
    """
    beyond = len(os.path.join(root, ""))
    in_training = collections.Counter(name for names in labels.values() for name in names)
    held_out: dict[str, None] = {}
    for file in sorted(labels, key=lambda file: zlib.crc32(os.fsencode(file[beyond:]))):
        if len(held_out) < len(labels) // 5 and all(in_training[name] > 1 for name in labels[file]):
            held_out[file] = None
            in_training.subtract(labels[file])
    listing.is_split_by_us = True
    listing.parts = {
        TRAIN: files_by_label({file: names for file, names in labels.items() if file not in held_out}),
        VALIDATION: files_by_label({file: labels[file] for file in held_out}),
    }


def split_files(names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The rest, and the fifth that is for validation, of files with these names.

    A hash of the name decides, so that new files move few of the others. The only one stays in training.
    """
    by_hash = sorted(names, key=lambda file: zlib.crc32(os.fsencode(names[file])))
    count = min(max(1, len(names) // 5), len(names) - 1)
    return by_hash[count:], by_hash[:count]


def _part_folders(folder: pathlib.Path, listing: Listing) -> dict[str, pathlib.Path]:
    """The folders of the parts; none if `folder` holds the classes themselves.

    A folder called "train" is a part if it holds folders, and another part or nothing else stands beside it. Otherwise it is a
    class, as it is beside "car" and "bus".
    """
    entries = [entry for entry in _scan(folder) if not entry.name.startswith(".") and _is_folder(entry)]
    parts = {entry.name: part for entry in entries for part, names in PART_NAMES.items() if entry.name.casefold() in names}
    flat = [name for name in parts if not any(map(_is_folder, _scan(folder / name)))]
    others = len(parts) < len(entries)
    nested_train = any(part == TRAIN and name not in flat for name, part in parts.items())
    if not parts or (others and not (nested_train and len(parts) > 1)):
        return {}
    roots: dict[str, pathlib.Path] = {}
    for name, part in sorted(parts.items()):
        if name in flat and (part == TRAIN or len(flat) == len(parts)):
            raise InputError(
                f"{folder / name} is a part of a dataset by its name, so it must hold one sub-folder of images for each class. "
                "It has none: make them, or give the labels with --labels-csv, or in a .json file beside each image."
            )
        if name in flat:
            listing.left_out[f"part {name}, which has no folders of classes"] += 1
        elif part in roots:
            raise InputError(f"{folder} has two {part} parts, {roots[part].name} and {name}: join them, or rename one.")
        else:
            roots[part] = folder / name
    for entry in _entries(folder, listing):
        if entry.name not in parts:
            listing.left_out[f"folder beside the parts, {entry.name}"] += 1
    return {part: roots[part] for part in PART_NAMES if part in roots}


def _classes(root: pathlib.Path, listing: Listing) -> dict[str, list[str]]:
    """The image files of each class below `root`, whose names are in Unicode's normal form C: macOS stores them in form D."""
    classes: dict[str, list[str]] = collections.defaultdict(list)
    above = tuple(_identity(folder) for folder in (root, *root.resolve().parents))
    for entry in _entries(root, listing):
        files = images_below(entry.path, listing.left_out, above)
        if files:
            classes[unicodedata.normalize("NFC", entry.name)] += files
        else:
            listing.empty.append(entry.name)
    check_class_names(classes, os.fspath(root))
    return {name: classes[name] for name in sorted(classes)}


def _entries(root: pathlib.Path, listing: Listing) -> list[os.DirEntry]:
    """The folders in `root`; all else in it is left out."""
    folders = []
    for entry in sorted(_scan(root), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            listing.left_out["hidden"] += 1
        elif _is_folder(entry):
            folders.append(entry)
        else:
            listing.left_out[f"{_suffix(entry.name)} outside of the folders of classes"] += 1
    return folders


def images_below(folder: str, left_out: collections.Counter[str], above: tuple[tuple[int, int], ...] = ()) -> list[str]:
    """The image files below `folder`, at any depth; `above` identifies the folders around it."""
    files = []
    if (here := _identity(folder)) in above:
        left_out["link back to a folder around it"] += 1
        return []
    for entry in sorted(_scan(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            left_out["hidden"] += 1
        elif _is_folder(entry):
            files += images_below(entry.path, left_out, (*above, here))
        elif not _is_file(entry):
            left_out["link to nothing"] += 1
        elif _suffix(entry.name) in image_suffixes():
            files.append(entry.path)
        else:
            left_out[_suffix(entry.name)] += 1
    return files


def _is_folder(entry: os.DirEntry) -> bool:
    with contextlib.suppress(OSError):  # of a link to itself
        return entry.is_dir()
    return False


def _is_file(entry: os.DirEntry) -> bool:
    with contextlib.suppress(OSError):
        return entry.is_file()
    return False


def _scan(folder: str | os.PathLike) -> list[os.DirEntry]:
    """The content of a folder.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is the folder of a training run, whose pictures are no images to learn from.
    """
    try:
        with os.scandir(os.fspath(folder)) as entries:
            content = list(entries)
    except OSError as error:
        raise FileError(
            f"The folder {os.fspath(folder)} cannot be read: {error.strerror}. Permit it, or remove the folder."
        ) from error
    if {entry.name for entry in content} >= _RUN_FILES:
        raise InputError(f"{os.fspath(folder)} is the folder of a training run, not of images: move it out of the dataset.")
    return content


def _identity(folder: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "without a suffix"
