"""Draws which share of each room's lines was run: python tests/coverage_picture.py DATA PICTURE, as `make coverage` does."""

import pathlib
import sys

import coverage
from matplotlib import figure

import keras_senet


def shares(data: str) -> dict[str, tuple[int, int]]:
    """The number of lines that were run, and of all lines, of each room of the package."""
    package = pathlib.Path(keras_senet.__file__).parent
    measured = coverage.Coverage(data_file=data)
    measured.load()
    rooms: dict[str, tuple[int, int]] = {}
    for file in measured.get_data().measured_files():
        _, statements, _, missing, _ = measured.analysis2(file)
        room = pathlib.Path(file).relative_to(package).parts[0]
        run, lines = rooms.get(room, (0, 0))
        rooms[room] = run + len(statements) - len(missing), lines + len(statements)
    return rooms


def draw(rooms: dict[str, tuple[int, int]], path: str) -> None:
    picture = figure.Figure(figsize=(7, 0.3 * len(rooms) + 1), layout="constrained")
    axes = picture.subplots()
    names = sorted(rooms, reverse=True)
    axes.barh(names, [rooms[name][1] for name in names], color="0.85", label="lines")
    axes.barh(names, [rooms[name][0] for name in names], color="tab:blue", label="run by the fast tests")
    for place, name in enumerate(names):
        axes.text(rooms[name][1], place, f" {rooms[name][0] / max(rooms[name][1], 1):.0%}", va="center", fontsize=8)
    axes.margins(x=0.1)
    axes.set_xlabel("lines")
    axes.legend(loc="upper right", frameon=False)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    draw(shares(sys.argv[1]), sys.argv[2])
