"""What a TFLite file of this package says about itself: class names, and how to make its input from an image.

MediaPipe keeps such files in a zip archive at the end of the TFLite file, so `zipfile` reads them.
"""

import json
import os
import zipfile

from keras_senet.inference.preprocessing import Preprocessing

LABELS, PREPROCESSING = "labels.txt", "preprocessing.json"  # names in the archive


def read_metadata(path: str | os.PathLike) -> tuple[list[str], Preprocessing | None]:
    """The class names and the preprocessing in a TFLite file; an empty list and None if the file does not have them."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
    except zipfile.BadZipFile:
        return [], None
    preprocessing = json.loads(files[PREPROCESSING]) if PREPROCESSING in files else None
    return files.get(LABELS, "").splitlines(), preprocessing and Preprocessing(**preprocessing)
