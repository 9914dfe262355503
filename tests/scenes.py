"""Scenes of one to three handwritten digits: images with several labels, made of scikit-learn's digits."""

import json
import pathlib

import numpy as np
from PIL import Image
from sklearn import datasets

SIZE = 16
_CORNERS = ((0, 0), (0, 8), (8, 0), (8, 8))


def scenes(count: int, first: int = 0, digits: range = range(10)) -> list[tuple[np.ndarray, set[int]]]:
    """Gray scenes, uint8 of shape `(16, 16)`, and the digits in them; scenes of other numbers have other handwriting.

    Args:
        count: number of scenes.
        first: number of the first; below 1,000 a scene takes its digits from another half of the handwriting than from there on.
        digits: which there are.
    """
    handwriting = datasets.load_digits()
    half = np.arange(len(handwriting.target)) % 2 == (first >= 1000)
    usable = np.flatnonzero(half & np.isin(handwriting.target, list(digits)))
    made = []
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        scene = np.zeros((SIZE, SIZE), np.uint8)
        chosen = random.choice(usable, random.integers(1, 4), replace=False)
        for index, corner in zip(chosen, random.permutation(4), strict=False):
            row, column = _CORNERS[corner]
            scene[row : row + 8, column : column + 8] = np.round(handwriting.images[index] * (255 / 16))
        made.append((scene, {int(digit) for digit in handwriting.target[chosen]}))
    return made


def write_scenes(folder: pathlib.Path, made: list) -> list[tuple[str, list[str]]]:
    """Writes scenes as PNG files; returns the name and the labels of each."""
    folder.mkdir(parents=True, exist_ok=True)
    named = []
    for number, (scene, shown) in enumerate(made):
        name = f"{number:04}.png"
        Image.fromarray(scene).save(folder / name)
        named.append((name, [str(digit) for digit in sorted(shown)]))
    return named


def with_csv(folder: pathlib.Path, made: list, separator: str = "|") -> pathlib.Path:
    """Writes scenes and a CSV file with the list of labels of each; returns its path."""
    named = write_scenes(folder, made)
    lines = ["path,labels", *(f"{name},{separator.join(labels)}" for name, labels in named)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def with_columns(folder: pathlib.Path, made: list) -> pathlib.Path:
    """The same with a column of 0 and 1 for each digit."""
    named = write_scenes(folder, made)
    digits = [str(digit) for digit in range(10)]
    rows = [",".join([name, *(str(int(digit in labels)) for digit in digits)]) for name, labels in named]
    (folder / "columns.csv").write_text("\n".join([",".join(["image", *digits]), *rows]) + "\n")
    return folder / "columns.csv"


def with_json(folder: pathlib.Path, made: list) -> pathlib.Path:
    """Writes scenes, and beside each a JSON file with its labels; returns the folder."""
    for name, labels in write_scenes(folder, made):
        (folder / name).with_suffix(".json").write_text(json.dumps({"labels": labels}))
    return folder
