"""A table of what a dataset holds, to be read before it is trained or evaluated on."""

from collections.abc import Mapping

from keras_senet.data.labelled_images import LabelledImages
from keras_senet.inference.tasks import CLASSIFY, DETECT, SEGMENT

_CLASSES_SHOWN = 20
_COUNTED = {CLASSIFY: "class", DETECT: "objects", SEGMENT: "images with"}


def contents(parts: Mapping[str, LabelledImages]) -> str:
    """A table of the images in each part of a dataset, class by class, and what was left out of it.

    Args:
        parts: labelled images, from `keras_senet.data.load`, by what they are for, such as "training" and "validation". They have
            the same classes.

    Returns:
        The table and notes, as lines of text. Only folders tell how many images a class has; for detection, how many objects, and
        for segmentation, how many images show some of it.

    Example:

    >>> print(keras_senet.data.contents({"validation": keras_senet.data.load("digits", "validation", data_dir="datasets")}))
    class       validation
    10 classes         360
    """
    images = list(parts.values())
    names = images[0].class_names
    rows = [[_COUNTED[images[0].task], *parts]]
    if all(part.counts is not None for part in images):
        counted = list(zip(names, *(part.counts for part in images), strict=True))
        shown = counted if len(counted) <= _CLASSES_SHOWN + 1 else counted[:_CLASSES_SHOWN]
        rows += [[name, *(f"{count:,}" for count in counts)] for name, *counts in shown]
        if rest := [counts for _, *counts in counted[len(shown) :]]:
            ranges = [f"{min(column):,} to {max(column):,}" for column in zip(*rest, strict=True)]
            rows.append([f"{len(rest):,} more classes, each", *ranges])
    in_images = "" if images[0].task == CLASSIFY else ", in images"
    rows.append([f"{len(names):,} classes{in_images}", *(f"{part.size:,}" for part in images)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([*lines, *dict.fromkeys(note for part in images for note in part.notes)])
