"""Accuracy over latency."""

import os
from collections.abc import Sequence

from keras_senet.export.latency import Measurement
from keras_senet.plots.figure import new_figure, save_figure


def draw_tradeoff(measurements: Sequence[Measurement], accuracies: dict[str, float], path: str | os.PathLike) -> None:
    """Draws the accuracy of networks over their latency, with one panel for each number of threads.

    Args:
        measurements: results of `keras_senet.export.benchmark`.
        accuracies: top-1 accuracy by network, in [0, 1].
        path: `.png` file to write.
    """
    panels = sorted({measurement.threads for measurement in measurements})
    looks = {
        network: {"color": f"C{index}", "marker": "os^Dv<>p"[index % 8], "markersize": 8, "linestyle": "", "zorder": 3}
        for index, network in enumerate(accuracies)
    }
    figure = new_figure(max(6, 4 * len(panels)), 3.7 + 0.22 * len(accuracies))
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, threads in zip(row, panels, strict=True):
        for measurement in measurements:
            if measurement.threads == threads:
                fill = "none" if measurement.xnnpack is False else "full"
                look = looks[measurement.network] | {"fillstyle": fill, "clip_on": False}
                axes.plot(measurement.latency_ms, 100 * accuracies[measurement.network], **look)
        axes.set(title=f"{threads} thread{'s' * (threads > 1)}", xlabel="median latency, ms")
        axes.grid(alpha=0.3)
    percent = [100 * accuracy for accuracy in accuracies.values()]
    margin = max(1, 0.2 * (max(percent) - min(percent)))
    row[0].set_ylim(max(0, min(percent) - margin), min(100, max(percent) + margin))
    row[0].set_xlim(0, 1.08 * max(measurement.latency_ms for measurement in measurements))
    row[0].set_ylabel("top-1 accuracy, %")
    sizes = {measurement.network: measurement.size for measurement in measurements}
    for network, look in looks.items():
        row[0].plot([], [], label=f"{network}, {sizes[network] / 2**20:,.1f} MiB", **look)
    if any(measurement.xnnpack is False for measurement in measurements):
        row[0].plot([], [], "o", color="gray", markersize=8, fillstyle="none", label="hollow: without XNNPACK")
    figure.legend(loc="outside lower left", frameon=False)
    save_figure(figure, path)
