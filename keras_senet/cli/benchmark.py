"""keras-senet benchmark: what networks cost where they run."""

import argparse
import collections
import dataclasses

from keras_senet.cli.arguments import add_data_dir, add_json, one_of
from keras_senet.cli.output import print_json, print_table
from keras_senet.errors import InputError

HELP = "Measure what networks cost where they run, side by side: time, memory, size, and operators that XNNPACK did not take."
EXAMPLE = "saved_models/seresnet20_digits/model.keras saved_models/seresnet20_digits/model.tflite --threads 1 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "networks", nargs="+", metavar="FILE", help="a .tflite file, a .keras file, or the folder of a SavedModel"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N", help="numbers of threads (default: 1)")
    parser.add_argument("--xnnpack", **one_of(("on", "off")), nargs="+", default=["on"], help="on, off or both (default: on)")
    parser.add_argument("--rounds", type=int, default=30, help="how often each is timed, in turn (default: 30)")
    parser.add_argument("--dataset", help="measure accuracy, too: a dataset, as of evaluate, whose validation split is taken")
    add_data_dir(parser)
    parser.add_argument("--picture", metavar="FILE.png", help="draw accuracy over latency; needs --dataset")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from keras_senet import data, export, training
    from keras_senet.plots.tradeoff import draw_tradeoff

    if options.dataset is None and (options.picture or options.data_dir):
        raise InputError("--picture and --data-dir are about accuracy: say with --dataset what that is measured on.")
    images = options.dataset and data.load(options.dataset, "validation", options.data_dir)
    xnnpack = [choice == "on" for choice in options.xnnpack]
    if images and images.multi_label:
        raise InputError(f"--dataset: top-1 is of images that have one label each. Those of {options.dataset} can have several.")
    measurements = export.benchmark(options.networks, options.threads, xnnpack, options.rounds)
    rows = [dataclasses.asdict(measurement) for measurement in measurements]
    if images:
        accuracies = {
            path: training.evaluate(export.open_classifier(path), images).summary()["top1"] for path in options.networks
        }
        rows = [row | {"top1": accuracies[row["network"]]} for row in rows]
    if options.json:
        print_json(rows)
    else:
        columns = ["network", "threads", "XNNPACK", "median ms", "90 % ms", "to first", "peak MiB", "file MiB", "operators"]
        print_table([*columns, "not delegated", *["top-1"] * bool(images)], [_cells(**row) for row in rows])
    if options.picture:  # last, as in evaluate
        draw_tradeoff(measurements, accuracies, options.picture)


def _cells(
    network, threads, xnnpack, latency_ms, latency_ms_p90, ratio, memory, size, operators, not_delegated, top1=None
) -> list[str]:
    left = collections.Counter(kind for kind, _ in not_delegated or ())
    named = "all" if left == operators else ", ".join(f"{kind} x{count}" for kind, count in left.items()) or "none"
    return [
        network,
        str(threads),
        {None: "", True: "on", False: "off"}[xnnpack],
        *(f"{number:,.2f}" for number in (latency_ms, latency_ms_p90)),
        f"{ratio:.3f}",
        *(f"{number / 2**20:,.1f}" for number in (memory, size)),
        *([f"{sum(operators.values()):,}", named] if operators else ["", ""]),
        *([] if top1 is None else [f"{top1:.2%}"]),
    ]
