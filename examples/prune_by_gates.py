"""Prunes a network by its gates, and draws what is left of its accuracy; beside it, the same with channels chosen at random.

    python examples/prune_by_gates.py

It prunes the shipped network for digits by its gates on training digits, and measures on validation digits, in under two minutes.
Channels that go are missing from the sums behind them, so it measures twice: right after pruning, and after batch normalization
got new statistics from the training digits. Nothing is trained.
"""

import argparse
import dataclasses
import pathlib
import sys

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_senet import analysis, data, gates, preprocessing_for
from keras_senet.errors import UserError
from keras_senet.plots.figure import new_figure, save_figure
from keras_senet.training import renew_statistics

NETWORK = pathlib.Path(__file__).parent.parent / "saved_models" / "seresnet20_digits" / "model.keras"
STATES = ("as pruned", "with new statistics")


@dataclasses.dataclass(frozen=True)
class Point:
    """Networks pruned to the same size, in percent; and the largest difference that the gates' choice makes to an output."""

    keep: float
    multiply_adds: float
    parameters: float
    by_gates: float
    at_random: list[float]
    difference: float


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default="runs/prune", help="folder of the picture (default: runs/prune)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    parser.add_argument(
        "--keep",
        type=float,
        nargs="+",
        default=[0.9, 0.75, 0.6, 0.45],
        help="shares of the gated channels (default: 0.9 0.75 0.6 0.45)",
    )
    parser.add_argument("--draws", type=int, default=3, help="random choices of channels for each of these (default: 3)")
    options = parser.parse_args(arguments)
    if options.draws < 1:
        parser.error("--draws must be at least 1")

    model = keras.saving.load_model(NETWORK)
    images, _ = digits("train[:256]", model, options.data_dir)
    held_out, labels = digits("validation", model, options.data_dir)
    outputs = model(held_out).numpy()

    def accuracy(outputs: np.ndarray) -> float:
        return 100 * float(np.mean(outputs.argmax(axis=1) == labels))

    importance = {name: values.mean(axis=0) for name, values in gates(model, images).items()}
    random = np.random.default_rng(0)
    whole = accuracy(outputs)
    curves = {state: [Point(100, 100, 100, whole, [whole], 0)] for state in STATES}
    for keep in options.keep:
        # Shuffled within each layer, so that it loses as many channels, and the network as many multiply-adds.
        shuffled = [{name: random.permutation(values) for name, values in importance.items()} for _ in range(options.draws)]
        networks, reports = zip(*(analysis.prune(model, images, keep, one) for one in [importance, *shuffled]), strict=True)
        assert len({report.after for report in reports}) == 1
        before, after = reports[0].before, reports[0].after
        costs = 100 * after.multiply_adds / before.multiply_adds, 100 * after.parameters / before.parameters
        for state in STATES:
            if state == "with new statistics":
                for network in networks:
                    renew_statistics(network, [images])
            by_gates, *at_random = (network(held_out).numpy() for network in networks)
            difference = np.abs(by_gates - outputs).max()
            curves[state].append(Point(100 * keep, *costs, accuracy(by_gates), [accuracy(one) for one in at_random], difference))

    options.output.mkdir(parents=True, exist_ok=True)
    for state, points in curves.items():
        show(points, state)
    draw(curves, options.output / "pruning.png")
    print(f"The picture is {options.output / 'pruning.png'}.")


def digits(split: str, model: keras.Model, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    batches = data.evaluation_batches(data.load("digits", split, data_dir), preprocessing_for(model), batch_size=64)
    images, labels = (np.concatenate(parts) for parts in zip(*batches.as_numpy_iterator(), strict=True))
    return images, labels.argmax(axis=1)


def show(points: list[Point], title: str) -> None:
    columns = ("kept", "multiply-adds", "parameters", "by gates", "at random", "difference")
    table = Table(*columns, title=f"Percent and accuracy, {title}", title_justify="left", box=None)
    for point in points:
        at_random = f"{np.mean(point.at_random):.1f} ({min(point.at_random):.1f} to {max(point.at_random):.1f})"
        numbers = [f"{number:.1f}" for number in (point.multiply_adds, point.parameters, point.by_gates)]
        table.add_row(f"{point.keep:.0f}", *numbers, at_random, f"{point.difference:.2f}")
    Console().print(table)


def draw(curves: dict[str, list[Point]], path: pathlib.Path) -> None:
    """Accuracy against multiply-adds, a panel a state; of the random choices the mean and the range."""
    figure = new_figure(8, 3.2)
    for axes, (state, points) in zip(figure.subplots(1, len(curves), sharey=True), curves.items(), strict=True):
        costs = [point.multiply_adds for point in points]
        at_random = np.array([[pick(point.at_random) for point in points] for pick in (min, np.mean, max)])
        axes.plot(costs, [point.by_gates for point in points], "o-", label="by the gates", zorder=3)
        axes.plot(costs, at_random[1], "s--", color="C1", label=f"at random, mean and range of {len(points[-1].at_random)}")
        axes.fill_between(costs, at_random[0], at_random[2], color="C1", alpha=0.2, linewidth=0)
        axes.set_title(state, fontsize=10)
        axes.invert_xaxis()
        axes.set_ylim(0, 102)
        axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    figure.supxlabel("multiply-adds, % of the whole network", fontsize=10)
    figure.supylabel("validation accuracy, %", fontsize=10)
    save_figure(figure, path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"prune_by_gates.py: error: {error}")
