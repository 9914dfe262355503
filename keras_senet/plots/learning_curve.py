"""How networks learned, epoch by epoch: one run, or several in comparison."""

import os
import pathlib
import textwrap
from collections.abc import Mapping

import numpy as np

from keras_senet.errors import InputError, MissingFileError, require
from keras_senet.files import read_csv
from keras_senet.plots.figure import colors, draw_legend, new_figure, save_figure

_LOSS, _RATE = "Loss", "Learning rate"
# By the column of the history: the title of its panel.
_QUALITIES = {
    "map": "Mean average precision, %",
    "ap": "Average precision, %",
    "mean_iou": "Mean intersection over union, %",
    "top1": "Top-1 error, %",
}
_STYLES = {"training": "--", "validation": "-"}


def draw_learning_curves(runs: Mapping[str, str | os.PathLike], path: str | os.PathLike) -> None:
    """Draws loss and top-1 error by epoch: training dashed, validation solid, one color for each run.

    What a run measured in place of the error, such as mean average precision with several labels an image, it draws in its place.

    The learning rate has a panel where every history has it, except when several runs all used the same one.

    Args:
        runs: the history.csv of each run, by the name that the legend gives it. The legend does not name a single run.
        path: `.png` file to write.

    Raises:
        FileNotFoundError: if there is no history.csv.
        ValueError: if a history has no finished epoch, lacks a column, or holds something that is not a number; or if runs were
            measured in different ways.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, figure 4.
    """
    curves = [_curves(name, pathlib.Path(history)) for name, history in runs.items()]
    titles = [title for title in (_LOSS, *_QUALITIES.values()) if any(title in curve for _, curve in curves)]
    if len(titles) > 2:
        measured = " and some ".join(title.removesuffix(", %").lower() for title in titles[1:])
        raise InputError(f"Some of these runs measured {measured}: draw them in two pictures.")
    rates = [curve.get(_RATE) for _, curve in curves]
    if None not in rates and (len(rates) == 1 or len({rate[""].tobytes() for rate in rates}) > 1):
        titles.append(_RATE)
    names = [textwrap.fill(name, 24) for name in runs] if len(runs) > 1 else []
    lines = sum(name.count("\n") + 1 for name in [*names, *_STYLES])
    figure = new_figure(4.5 * len(titles) + 1.5, max(3.5, 0.8 + 0.22 * lines))
    for axes, title in zip(figure.subplots(1, len(titles)), titles, strict=True):
        for color, (epochs, curve) in zip(colors(len(curves)), curves, strict=True):
            marker = "o" if len(epochs) == 1 else None
            for part, values in curve[title].items():
                axes.plot(epochs, values, _STYLES.get(part, "-"), color=color, linewidth=1.2, marker=marker)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if title == _LOSS:
            axes.set_yscale("log")
            axes.minorticks_off()
            axes.yaxis.set_major_locator(require("matplotlib.ticker", "train").LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
    of_runs = [(name, {"color": color}) for name, color in zip(names, colors(len(names)), strict=True)]
    of_parts = [(part, {"color": "dimgray" if names else "C0", "linestyle": style}) for part, style in _STYLES.items()]
    draw_legend(figure, [*of_runs, *of_parts])
    save_figure(figure, path)


def _curves(name: str, history: pathlib.Path) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """The numbers of the epochs of a run, and by panel and part what is drawn over them."""
    if not history.exists():
        raise MissingFileError(
            f"{history.parent} holds no run with a finished epoch, as it has no {history.name}: give the folder of a run of "
            "keras-senet train."
        )
    try:
        rows = read_csv(history)
        if not rows:
            raise InputError(f"The run {name!r} has no finished epoch: {history} has no row. Draw it when one is finished.")
        quality = next((name for name in _QUALITIES if f"val_{name}" in rows[0]), "top1")
        # Average precision is that of validation images alone.
        needed = ("epoch", "loss", "val_loss", *([] if quality == "ap" else [quality]), f"val_{quality}")
        if missing := [column for column in needed if column not in rows[0]]:
            raise InputError(
                f"The run {name!r} has other metrics: {history} has no column {', '.join(missing)}; it has {', '.join(rows[0])}. "
                "Give runs of keras-senet train."
            )
        columns = [column for column in (*needed, "learning_rate") if column in rows[0]]
        values = {column: np.array([float(row[column]) for row in rows]) for column in columns}
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # a row that was cut off, a word, or a file that is no text
        raise InputError(f"{history}, of the run {name!r}, is damaged: it must hold only numbers ({error}).") from error
    parts = {"training": quality, "validation": f"val_{quality}"}
    shares = {part: values[column] for part, column in parts.items() if column in values}
    curves = {
        _LOSS: {"training": values["loss"], "validation": values["val_loss"]},
        _QUALITIES[quality]: {part: 100 * (1 - share if quality == "top1" else share) for part, share in shares.items()},
    }
    if "learning_rate" in values:
        curves[_RATE] = {"": values["learning_rate"]}
    return values["epoch"] + 1, curves
