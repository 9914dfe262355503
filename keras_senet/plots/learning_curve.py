"""How a network learned, epoch by epoch."""

import os
import pathlib

import numpy as np

from keras_senet.errors import require
from keras_senet.files import read_csv
from keras_senet.plots.figure import new_figure, save_figure


def draw_learning_curve(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Draws training and validation loss, top-1 errors, and the learning rate if the history has it, by epoch.

    Args:
        history: history.csv of a run; nothing is drawn if it has no finished epoch.
        path: `.png` file to write.
    """
    history = pathlib.Path(history)
    rows = read_csv(history) if history.exists() else []
    if not rows:
        return

    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    panels = {
        "Loss": {"training": column("loss"), "validation": column("val_loss")},
        "Top-1 error, %": {"training": 100 * (1 - column("top1")), "validation": 100 * (1 - column("val_top1"))},
    }
    if "learning_rate" in rows[0]:
        panels["Learning rate"] = {"": column("learning_rate")}
    figure = new_figure(4.5 * len(panels), 3.5)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for part, values in lines.items():
            axes.plot(column("epoch") + 1, values, label=part, marker="o" if len(rows) == 1 else None)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend()
        if title == "Loss":
            axes.set_yscale("log")
            axes.minorticks_off()
            axes.yaxis.set_major_locator(require("matplotlib.ticker", "train").LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
    save_figure(figure, path)
