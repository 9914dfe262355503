"""keras-senet predict: what is in these images."""

import argparse
import contextlib
import csv
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from keras_senet.cli.arguments import add_json, add_network, add_threshold, open_network, tell_note
from keras_senet.cli.images import Images, add_images
from keras_senet.errors import InputError
from keras_senet.files import check_place

HELP = "Classify images: the most probable classes of each, or all labels of a network that gives an image several."
EXAMPLE = "saved_models/seresnet20_digits/model.tflite examples/digits"

_TOP = 3  # classes of each image, where it has one label
_PICTURED = 100  # images in a picture
_NO_LABEL = "no label"  # reaches its threshold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    add_images(parser)
    parser.add_argument(
        "--top", type=int, help="how many classes to show (default: 3, or all labels that reach their thresholds)"
    )
    add_threshold(parser)
    parser.add_argument("--picture", metavar="FILE.png", help=f"draw the first {_PICTURED} images with their classes")
    parser.add_argument("--csv", metavar="FILE.csv", help="write all predictions there, each as it comes")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Classifies one image after the other.

    A network that gives an image several labels shows those which reach their thresholds, the most probable first.

    Returns:
        The exit status: 1 if some images could not be read; they are named.
    """
    import numpy as np

    from keras_senet.plots.predictions import draw_predictions

    if options.top is not None and options.top < 1:
        raise InputError(f"--top must be at least 1. Received: {options.top}")
    for path in filter(None, (options.csv, options.picture)):
        check_place(path)
    classifier = open_network(options)
    tell_note(classifier)
    images = Images(options, classifier.preprocessing)
    several = len(classifier.thresholds) > 0
    thresholds = np.array(classifier.thresholds) if several else np.zeros(classifier.classes)
    top = min(options.top or (classifier.classes if several else _TOP), classifier.classes)
    pictured: list[tuple[np.ndarray, str]] = []
    with contextlib.ExitStack() as stack:
        writers: list[Any] = [
            _Json(stack) if options.json else _Lines(list(map(str, images.files)), classifier.class_names, top, several)
        ]
        if options.csv:
            writers.append(_Csv(stack.enter_context(open(options.csv, "w", encoding="utf-8", newline="")), top, several))
        for file, image, reason in images:
            if image is None:
                for writer in writers:
                    writer.failed(str(file), reason)
                continue
            (probabilities,) = classifier.probabilities(image[np.newaxis])
            best = [index for index in np.argsort(-probabilities, kind="stable") if probabilities[index] >= thresholds[index]]
            classes = [(classifier.class_names[index], float(probabilities[index])) for index in best[:top]]
            for writer in writers:
                writer.classified(str(file), classes)
            if options.picture and len(pictured) < _PICTURED:
                pictured.append((image, "  ".join(_text(*each) for each in classes[: None if several else 1]) or _NO_LABEL))
    if pictured:
        shown, captions = zip(*pictured, strict=True)
        draw_predictions(shown, captions, options.picture)
    return images.status()


def _text(name: str, probability: float) -> str:
    return f"{name} {probability:.1%}"


class _Lines:
    """Writes the predictions to stdout as lines of a table."""

    def __init__(self, files: list[str], class_names: Sequence[str], top: int, several: bool):
        self.first = max(map(len, ["image", *files]))
        self.others = max(map(len, class_names)) + len(" 100.0%")
        self.header = ["labels"] if several else [f"top {rank}" for rank in range(1, top + 1)]

    def _write(self, image: str, cells: list[str]) -> None:
        if self.header:
            titles, self.header = self.header, []
            self._write("image", titles)
        print("  ".join([image.ljust(self.first), *(cell.ljust(self.others) for cell in cells)]).rstrip(), flush=True)

    def classified(self, image: str, classes: list[tuple[str, float]]) -> None:
        self._write(image, [_text(*each) for each in classes] or [_NO_LABEL])

    def failed(self, image: str, reason: str) -> None:
        self._write(image, ["not read"])


class _Json:
    """Writes the predictions to stdout as one JSON list, an item at a time."""

    def __init__(self, stack: contextlib.ExitStack):
        self.separator = "[\n"
        stack.callback(self._end)

    def _end(self) -> None:
        print("[]" if self.separator == "[\n" else "\n]")

    def _write(self, item: dict) -> None:
        print(f"{self.separator}  {json.dumps(item)}", end="", flush=True)
        self.separator = ",\n"

    def classified(self, image: str, classes: list[tuple[str, float]]) -> None:
        self._write({"image": image, "classes": [{"class": name, "probability": probability} for name, probability in classes]})

    def failed(self, image: str, reason: str) -> None:
        self._write({"image": image, "error": reason})


class _Csv:
    """Writes the predictions to a file as they come: what is there when the run is interrupted is right."""

    def __init__(self, file: TextIO, top: int, several: bool):
        self.flush: Callable[[], None] = file.flush
        self.writer = csv.writer(file)
        self.several = several
        self.columns = 2 if several else 2 * top
        ranks = [title for rank in range(1, top + 1) for title in (f"class {rank}", f"probability {rank}")]
        self._write(["image", *(["labels", "probabilities"] if several else ranks), "error"])

    def _write(self, row: list) -> None:
        self.writer.writerow(row)
        self.flush()

    def classified(self, image: str, classes: list[tuple[str, float]]) -> None:
        cells = [(name, f"{probability:.6g}") for name, probability in classes]
        if self.several:
            cells = [("|".join(name for name, _ in cells), "|".join(probability for _, probability in cells))]
        self._write([image, *itertools.chain.from_iterable(cells), ""])

    def failed(self, image: str, reason: str) -> None:
        self._write([image, *[""] * self.columns, reason])
