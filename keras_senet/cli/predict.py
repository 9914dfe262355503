"""keras-senet predict: what is in these images."""

import argparse
import contextlib
import csv
import json
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from keras_senet.cli.arguments import add_json, add_network, add_threshold, open_network, tell_note
from keras_senet.cli.images import Images, add_images
from keras_senet.cli.predictors import Prediction, predictor_for
from keras_senet.files import check_place

HELP = "Say what is in images: their most probable classes or all labels, their objects, or the classes of their pixels."
EXAMPLE = "saved_models/seresnet20_digits/model.tflite examples/digits"

_PICTURED = 100  # images in a picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    add_images(parser)
    parser.add_argument(
        "--top", type=int, help="how many classes to show (default: 3, or all labels that reach their thresholds)"
    )
    add_threshold(parser, ", or each object of a detector", "the network's own, or 0.5")
    parser.add_argument("--picture", metavar="FILE.png", help=f"draw the first {_PICTURED} images with what is in them")
    parser.add_argument("--csv", metavar="FILE.csv", help="write all predictions there, each as it comes")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Looks at one image after the other.

    A network that gives an image several labels shows those which reach their thresholds, the most probable first.

    Returns:
        The exit status: 1 if some images could not be read; they are named.
    """
    for path in filter(None, (options.csv, options.picture)):
        check_place(path)
    network = open_network(options)
    predictor = predictor_for(network, options)
    tell_note(network)
    images = Images(options, network.preprocessing)
    pictured: list = []
    with contextlib.ExitStack() as stack:
        writers: list[Any] = [_Json(stack) if options.json else _Lines(list(map(str, images.files)), *predictor.table)]
        if options.csv:
            writers.append(_Csv(stack.enter_context(open(options.csv, "w", encoding="utf-8", newline="")), predictor.csv_columns))
        for file, image, reason in images:
            if image is None:
                for writer in writers:
                    writer.failed(str(file), reason)
                continue
            prediction = predictor.predict(file, image)
            for writer in writers:
                writer.predicted(str(file), prediction)
            if options.picture and len(pictured) < _PICTURED:
                pictured.append(prediction.shown)
    if pictured:
        predictor.draw(pictured, options.picture)
    return images.status()


class _Lines:
    """Writes the predictions to stdout as lines of a table."""

    def __init__(self, files: list[str], titles: Sequence[str], width: int):
        self.first = max(map(len, ["image", *files]))
        self.others = width
        self.header = list(titles)

    def _write(self, image: str, cells: list[str]) -> None:
        if self.header:
            titles, self.header = self.header, []
            self._write("image", titles)
        print("  ".join([image.ljust(self.first), *(cell.ljust(self.others) for cell in cells)]).rstrip(), flush=True)

    def predicted(self, image: str, prediction: Prediction) -> None:
        self._write(image, prediction.cells)

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

    def predicted(self, image: str, prediction: Prediction) -> None:
        self._write({"image": image, **prediction.item})

    def failed(self, image: str, reason: str) -> None:
        self._write({"image": image, "error": reason})


class _Csv:
    """Writes the predictions to a file as they come: what is there when the run is interrupted is right."""

    def __init__(self, file: TextIO, columns: Sequence[str]):
        self.flush: Callable[[], None] = file.flush
        self.writer = csv.writer(file)
        self.columns = len(columns)
        self._write([["image", *columns, "error"]])

    def _write(self, rows: list[list]) -> None:
        self.writer.writerows(rows)
        self.flush()

    def predicted(self, image: str, prediction: Prediction) -> None:
        self._write([[image, *row, *[""] * (self.columns - len(row)), ""] for row in prediction.rows or [[]]])

    def failed(self, image: str, reason: str) -> None:
        self._write([[image, *[""] * self.columns, reason]])
