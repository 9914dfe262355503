"""What a TFLite file of this package says about itself.

It names the classes, and says how its input is made from an image, the thresholds of labels, and what makes boxes of the outputs
of a detector.

MediaPipe keeps such files in a zip archive at the end of the TFLite file, so `zipfile` reads them.
"""

import json
import math
import os
import typing
import zipfile
from collections.abc import Iterable

from keras_senet.detection.anchors import Anchors
from keras_senet.detection.detecting import Decoding
from keras_senet.inference.preprocessing import Preprocessing

# Names in the archive.
LABELS, PREPROCESSING, CALIBRATION, DETECTOR = "labels.txt", "preprocessing.json", "score_calibration.csv", "detector.json"


class Metadata(typing.NamedTuple):
    """What a TFLite file says about itself.

    Attributes:
        class_names: names of the classes; empty if it does not have them.
        preprocessing: how to make its input; None if it does not say so.
        thresholds: the threshold of each label; empty if an image has one label.
        classes: of a detector, the number of its classes; None for others, which put out a number for each.
        decoding: of a detector that does not return boxes, what makes boxes of its outputs.
    """

    class_names: list[str]
    preprocessing: Preprocessing | None
    thresholds: list[float]
    classes: int | None
    decoding: Decoding | None


def read_metadata(path: str | os.PathLike) -> Metadata:
    """The metadata in a TFLite file."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
    except zipfile.BadZipFile:
        files = {}
    preprocessing = json.loads(files[PREPROCESSING]) if PREPROCESSING in files else None
    offsets = [float(line.split(",")[2]) for line in files.get(CALIBRATION, "").splitlines()]
    detector = json.loads(files.get(DETECTOR, "{}"))
    if "anchors" in detector:
        detector["anchors"] = Anchors(**detector["anchors"])
    return Metadata(
        files.get(LABELS, "").splitlines(),
        preprocessing and Preprocessing(**preprocessing),
        [1 / (1 + math.exp(offset)) for offset in offsets],
        detector.get("classes"),
        Decoding(**detector) if "anchors" in detector else None,
    )


def calibration_of(thresholds: Iterable[float]) -> str:
    """MediaPipe's score calibration that moves each threshold to 0.5.

    Its lines are `scale,slope,offset`, for a score of `scale / (1 + exp(-slope * logit - offset))`.
    """
    # No line break at the end, after which MediaPipe would expect one more class.
    return "\n".join(f"1,1,{math.log(1 - threshold) - math.log(threshold)!r}" for threshold in thresholds)
