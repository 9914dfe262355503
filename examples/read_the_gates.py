"""Shows what the gates of a network learned: how they differ between classes, early and late in the network.

    python examples/read_the_gates.py

It reads the shipped network for digits, on the validation digits, in seconds. For a network of your own there is the command:
keras-senet gates RUN --dataset NAME.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

from keras_senet import analysis, data, gates, preprocessing_for
from keras_senet.errors import UserError

NETWORK = pathlib.Path(__file__).parent.parent / "saved_models" / "seresnet20_digits" / "model.keras"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default="runs/gates", help="folder of the pictures (default: runs/gates)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    options = parser.parse_args(arguments)

    model = keras.saving.load_model(NETWORK)
    digits = data.load("digits", "validation", options.data_dir)
    batches = data.evaluation_batches(digits, preprocessing_for(model), batch_size=64)

    for name, values in gates(model, next(iter(batches))[0][:1]).items():
        print(f"{name}: the gates of the first digit lie between {values.min():.3f} and {values.max():.3f}")

    statistics = analysis.gate_statistics(model, batches, digits.class_names)
    for layer in statistics.layers:
        most = np.ptp(layer.by_class, axis=0).max()
        print(
            f"{layer.name}: the mean gates of two classes differ by {most:.3f} at most; gates vary {layer.separability:.2f} "
            f"times as much between classes as within; {layer.never_moves.sum()} of {len(layer.mean)} channels never move"
        )

    # Figures 6 and 7 of the paper, with the layers that it chose: the last of each stage, and all of the last stage.
    analysis.write_gates(statistics, options.output, ["1", "3", "8", "9"], ["stage[23]_block3_se", "stage4_.*"], channels=50)
    print(f"The pictures are in {options.output}.")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"read_the_gates.py: error: {error}")
