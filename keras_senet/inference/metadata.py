"""What a TFLite file of this package says about itself: class names, how to make its input from an image, thresholds of labels.

MediaPipe keeps such files in a zip archive at the end of the TFLite file, so `zipfile` reads them.
"""

import json
import math
import os
import zipfile
from collections.abc import Iterable

from keras_senet.inference.preprocessing import Preprocessing

LABELS, PREPROCESSING, CALIBRATION = "labels.txt", "preprocessing.json", "score_calibration.csv"  # names in the archive


def read_metadata(path: str | os.PathLike) -> tuple[list[str], Preprocessing | None, list[float]]:
    """The class names, the preprocessing and the thresholds in a TFLite file; empty lists and None if it does not have them."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
    except zipfile.BadZipFile:
        return [], None, []
    preprocessing = json.loads(files[PREPROCESSING]) if PREPROCESSING in files else None
    offsets = [float(line.split(",")[2]) for line in files.get(CALIBRATION, "").splitlines()]
    thresholds = [1 / (1 + math.exp(offset)) for offset in offsets]
    return files.get(LABELS, "").splitlines(), preprocessing and Preprocessing(**preprocessing), thresholds


def calibration_of(thresholds: Iterable[float]) -> str:
    """MediaPipe's score calibration that moves each threshold to 0.5.

    Its lines are `scale,slope,offset`, for a score of `scale / (1 + exp(-slope * logit - offset))`.
    """
    # No line break at the end, after which MediaPipe would expect one more class.
    return "\n".join(f"1,1,{math.log(1 - threshold) - math.log(threshold)!r}" for threshold in thresholds)
