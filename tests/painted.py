"""Images of plain rectangles on black, each of a color and a class of its own: pixels show where boxes and masks belong."""

import json
import pathlib

import numpy as np
from PIL import Image

COLORS = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)], np.uint8)  # by mask value
NAMES = ["red", "green", "blue", "yellow", "pink"]


def mask(number: int, width: int = 120, height: int = 80) -> np.ndarray:
    """Values uint8 `(height, width)`: 0 for the ground, 1 + class for the rectangles, one in each of six fields at most."""
    random = np.random.default_rng(number)
    values = np.zeros((height, width), np.uint8)
    fields = random.permutation(6)
    for label in range(len(NAMES)):
        row, column = divmod(fields[label], 3)
        top, left = row * height // 2 + random.integers(1, height // 8), column * width // 3 + random.integers(1, width // 12)
        values[top : top + random.integers(height // 6, height // 3), left : left + random.integers(width // 8, width // 5)] = (
            label + 1
        )
    return values


def boxes(values: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom of each value from 1 in a mask, float64; NaN for one that does not occur."""
    found = np.full((len(NAMES), 4), np.nan)
    for label in range(len(NAMES)):
        rows, columns = np.nonzero(values == label + 1)
        if len(rows):
            found[label] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return found


def write(folder: pathlib.Path, count: int, **size) -> pathlib.Path:
    """Writes images, masks and train.json; returns the folder."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    images, annotations = [], []
    for number in range(count):
        values = mask(number, **size)
        Image.fromarray(COLORS[values]).save(folder / "images" / f"{number:03}.png")
        Image.fromarray(values).save(folder / "masks" / f"{number:03}.png")
        height, width = values.shape
        images.append({"id": 7 * number, "file_name": f"{number:03}.png", "width": width, "height": height})
        for label, (left, top, right, bottom) in enumerate(boxes(values).tolist()):
            box = {"bbox": [left, top, right - left, bottom - top], "iscrowd": 0, "area": (right - left) * (bottom - top)}
            annotations.append({"id": len(annotations) + 1, "image_id": 7 * number, "category_id": 10 * label + 3, **box})
    categories = [{"id": 10 * label + 3, "name": name} for label, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories[::-1]}
    (folder / "train.json").write_text(json.dumps(content))
    (folder / "classes.txt").write_text("\n".join(["ground", *NAMES]) + "\n")
    return folder
