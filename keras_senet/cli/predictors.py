"""What `keras-senet predict` says of an image, for each task of a network."""

import argparse
import itertools
import pathlib
from collections import Counter
from typing import Any, NamedTuple, Protocol

from keras_senet.errors import InputError

_TOP = 3  # classes of each image, where it has one label
_NO_LABEL = "no label"  # reaches its threshold
_NO_OBJECT = "no object"
_SHARE = 0.001  # of the pixels, that a class must have to be named in the table


class Prediction(NamedTuple):
    """What is in an image.

    Attributes:
        cells: for the table.
        item: for JSON.
        rows: for the CSV file.
        shown: for the picture.
    """

    cells: list[str]
    item: dict
    rows: list[list]
    shown: Any


class Predictor(Protocol):
    """What says what is in an image.

    Attributes:
        table: titles of the columns of the table after that of the image, and their width.
        csv_columns: titles of the columns of the CSV file between that of the image and that of errors.
    """

    table: tuple[list[str], int]
    csv_columns: list[str]

    def predict(self, file: pathlib.Path, image) -> Prediction:
        """What is in the image of `file`, which is `image` as the network takes it, `(H, W, 3)`."""

    def draw(self, pictured: list, path: str) -> None:
        """Draws what was `shown` of each image."""


def predictor_for(network, options: argparse.Namespace) -> Predictor:
    """The predictor for a `Classifier`, a `Detector` or a `Segmenter`."""
    from keras_senet.inference.detector import Detector
    from keras_senet.inference.segmenter import Segmenter

    if options.top is not None and options.top < 1:
        raise InputError(f"--top must be at least 1. Received: {options.top}")
    if isinstance(network, Detector | Segmenter) and options.top is not None:
        raise InputError("--top: only for networks that classify whole images.")
    if isinstance(network, Detector):
        return _Objects(network, options.threshold)
    return _Pixels(network) if isinstance(network, Segmenter) else _Classes(network, options.top)


class _Classes:
    def __init__(self, classifier, top: int | None):
        self.classifier = classifier
        self.several = len(classifier.thresholds) > 0
        self.thresholds = list(classifier.thresholds) if self.several else [0.0] * classifier.classes
        self.top = min(top or (classifier.classes if self.several else _TOP), classifier.classes)
        ranks = range(1, self.top + 1)
        titles = ["labels"] if self.several else [f"top {rank}" for rank in ranks]
        self.table = titles, max(map(len, classifier.class_names)) + len(" 100.0%")
        ranked = [title for rank in ranks for title in (f"class {rank}", f"probability {rank}")]
        self.csv_columns = ["labels", "probabilities"] if self.several else ranked

    def predict(self, file: pathlib.Path, image) -> Prediction:
        import numpy as np

        (probabilities,) = self.classifier.probabilities(image[np.newaxis])
        order = np.argsort(-probabilities, kind="stable")
        best = [index for index in order if probabilities[index] >= self.thresholds[index]][: self.top]
        classes = [(self.classifier.class_names[index], float(probabilities[index])) for index in best]
        texts = [_text(*each) for each in classes] or [_NO_LABEL]
        row = [(name, f"{probability:.6g}") for name, probability in classes]
        if self.several:
            row = [("|".join(name for name, _ in row), "|".join(probability for _, probability in row))]
        item = {"classes": [{"class": name, "probability": probability} for name, probability in classes]}
        caption = "  ".join(texts[: None if self.several else 1])
        return Prediction(texts, item, [[*itertools.chain.from_iterable(row)]], (image, caption))

    def draw(self, pictured: list, path: str) -> None:
        from keras_senet.plots.predictions import draw_predictions

        images, captions = zip(*pictured, strict=True)
        draw_predictions(images, captions, path)


class _Objects:
    def __init__(self, detector, threshold: float | None):
        from keras_senet.inference.labels import DEFAULT_THRESHOLD

        self.detector = detector
        self.threshold = DEFAULT_THRESHOLD if threshold is None else threshold
        self.table = ["objects"], 0
        self.csv_columns = ["label", "score", "left", "top", "right", "bottom"]

    def predict(self, file: pathlib.Path, image) -> Prediction:
        import numpy as np

        from keras_senet import data

        height, width = data.read_shape(file)
        letterbox = self.detector.preprocessing
        found = {name: values[0] for name, values in self.detector.detections(image[np.newaxis]).items()}
        sure = (found["classes"] >= 0) & (found["scores"] >= self.threshold)
        sure &= letterbox.shows(found["boxes"], height, width)
        names = [self.detector.class_names[int(index)] for index in found["classes"][sure]]
        scores = found["scores"][sure].tolist()
        boxes = letterbox.in_image(found["boxes"][sure], height, width).round(2).tolist()
        counts = Counter(names)  # in the order of the surest of each class
        texts = [f"{count} x {_text(name, scores[names.index(name)])}" for name, count in counts.items()] or [_NO_OBJECT]
        objects = list(zip(names, scores, boxes, strict=True))
        item = {
            "width": width,
            "height": height,
            "objects": [{"label": name, "score": score, "box": box} for name, score, box in objects],
        }
        rows = [[name, f"{score:.6g}", *box] for name, score, box in objects]
        row_count, column_count = letterbox.content(height, width)
        captions = [_text(name, score) for name, score in zip(names, scores, strict=True)]
        shown = image[:row_count, :column_count], found["boxes"][sure], captions, found["classes"][sure].astype(int)
        return Prediction([", ".join(texts)], item, rows, shown)

    def draw(self, pictured: list, path: str) -> None:
        from keras_senet.plots.objects import draw_objects

        draw_objects(pictured, self.detector.classes, path)


class _Pixels:
    def __init__(self, segmenter):
        self.segmenter = segmenter
        self.table = ["share of the pixels"], 0
        self.csv_columns = [f"share of {name}" for name in segmenter.class_names]

    def predict(self, file: pathlib.Path, image) -> Prediction:
        import numpy as np

        from keras_senet import data

        rows, columns = self.segmenter.preprocessing.content(*data.read_shape(file))
        mask = self.segmenter.masks(image[np.newaxis])[0, :rows, :columns]
        shares = np.bincount(mask.ravel(), minlength=self.segmenter.classes) / mask.size
        named = [(self.segmenter.class_names[index], float(shares[index])) for index in np.argsort(-shares, kind="stable")]
        texts = [_text(*each) for each in named if each[1] >= _SHARE]
        item = {"classes": [{"class": name, "share": share} for name, share in named if share > 0]}
        return Prediction([", ".join(texts)], item, [[f"{share:.6g}" for share in shares]], (image[:rows, :columns], mask))

    def draw(self, pictured: list, path: str) -> None:
        from keras_senet.plots.masks import draw_masks

        draw_masks(pictured, self.segmenter.class_names, path)


def _text(name: str, share: float) -> str:
    return f"{name} {share:.1%}"
