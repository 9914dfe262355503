"""The images that a folder holds for detection or segmentation, part by part, each with its objects or its mask."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_senet.data.folders import ALL, TEST, TRAIN, VALIDATION, chosen_part, printable, split_files
from keras_senet.errors import InputError, named

_MAX_MISSING = 0.01  # of the images that a file names


@dataclasses.dataclass
class TargetPart:
    """The images of one part.

    Attributes:
        targets: of each image file, its objects, float32 of shape `(M, 6)` as in `placing`; or the file of its mask.
        counts: number of objects of each class; or of images that show it.
        remarks: how often something was found that is worth a word, by what it is and what became of it.
    """

    targets: dict[str, Any]
    counts: np.ndarray
    remarks: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass
class TargetListing:
    """The images of all parts.

    Attributes:
        task: "detect" or "segment".
        class_names: names of the classes, by index.
        parts: the images of each part that the folder has.
        is_split_by_us: whether the folder has no parts.
    """

    task: str
    class_names: list[str]
    parts: dict[str, TargetPart]
    is_split_by_us: bool = False

    def split(self, split: str) -> tuple[dict, np.ndarray, list[str]]:
        """Targets of the part `split`, "train", "validation", "test" or "all"; the number of each class; and notes.

        Raises:
            ValueError: if there is no such part.
        """
        names = [*self.parts] if split == ALL else [chosen_part(self.parts, split)]
        notes = []
        if self.is_split_by_us and split != ALL:
            notes.append("A fifth of the images is held out for validation, chosen by file name.")
        elif split == VALIDATION and names == [TEST]:
            notes.append("There is no validation part: the test part takes its place.")
        parts = [self.parts[name] for name in names]
        targets = {file: target for part in parts for file, target in part.targets.items()}
        if self.is_split_by_us:
            targets = dict(sorted(targets.items()))
        remarks: collections.Counter[str] = sum((part.remarks for part in parts), collections.Counter())
        notes += [f"{count:,} {what}." for what, count in remarks.most_common()]
        counts = np.sum([part.counts for part in parts], axis=0)
        if absent := [name for name, count in zip(self.class_names, counts, strict=True) if not count]:
            notes.append(f"Classes that no image shows: {named(absent)}.")
        return targets, counts, [printable(note) for note in notes]


def split_targets(targets: Mapping[str, object], beyond: int) -> dict[str, list[str]]:
    """The files of a training and of a validation part; `beyond` is the length of the path of the folder that they are in."""
    train, validation = split_files({file: file[beyond:] for file in targets})
    return {TRAIN: sorted(train), VALIDATION: sorted(validation)}


def check_present(missing: list[str], count: int, owner: object) -> None:
    """Raises a ValueError if over 1 % of the images that `owner` names are missing."""
    if len(missing) > _MAX_MISSING * count:
        raise InputError(
            f"{owner} names {len(missing):,} of {count:,} images that do not exist, over 1 %; the first is {missing[0]}. Put "
            "them where the file says, or remove them from it."
        )
