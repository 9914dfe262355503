"""Puts SE into a network that is trained already, and trains it further beside the network without SE.

    python examples/add_se_to_pretrained.py

Without arguments it runs as it stands, in a minute and a half on two cores: a plain ResNet-20 has learned handwritten digits, and
now meets others, half of them inverted. SE, which sees the whole image, can tell the two kinds apart. For ImageNet weights it is
the same two lines:

    model = keras.applications.ResNet50(weights="imagenet")
    with_se = keras_senet.add_se(model)
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

import keras_senet
from keras_senet.errors import UserError
from keras_senet.plots.figure import new_figure, save_figure

SIZE = 16  # pixels


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("runs/add_se"), help="folder of the picture (default: runs/add_se)"
    )
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    parser.add_argument("--epochs", type=int, default=6, help="epochs before SE is added, and as many after (default: 6)")
    options = parser.parse_args(arguments)

    training, held_out = pixels_and_labels("train", options.data_dir), pixels_and_labels("validation", options.data_dir)
    now_training, now_held_out = half_inverted(*training), half_inverted(*held_out)
    keras.utils.set_random_seed(0)
    plain = keras_senet.SEResNet20(weights=None, attention=None, input_shape=(SIZE, SIZE, 3))
    learned = accuracy_by_epoch(plain, training, held_out, options.epochs, learning_rate=0.1)[-1]
    start = plain.evaluate(*now_held_out, verbose=0)[1]
    print(f"Without SE: {learned:.2%} of the validation digits are right, and {start:.2%} where half of them are inverted.")

    with_se = keras_senet.add_se(plain, after=r".*_bn2", reduction=4)
    gates = sum(isinstance(layer, keras_senet.layers.SqueezeExcite) for layer in with_se.layers)
    same = bool(np.all(with_se(now_held_out[0]) == plain(now_held_out[0])))
    print(f"With {gates} SE layers: all {len(held_out[0])} outputs are {'the same to the last bit' if same else 'NOT the same'}.")

    curves = {}
    for name, model in {"with SE": with_se, "without SE": plain}.items():
        keras.utils.set_random_seed(1)
        curves[name] = [start, *accuracy_by_epoch(model, now_training, now_held_out, options.epochs, learning_rate=0.1)]
        print(f"{options.epochs} epochs more {name}: {curves[name][-1]:.2%}.")
    moved = keras_senet.gates(with_se, now_held_out[0])
    for name, values in moved.items():
        print(f"{name}: gates were 0.5, and lie now between {values.min():.3f} and {values.max():.3f}")

    options.output.mkdir(parents=True, exist_ok=True)
    draw(curves, moved, options.output / "add_se.png")
    with_se.save(options.output / "with_se.keras")
    print(f"The network and the picture are in {options.output}.")


def pixels_and_labels(split: str, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    digits = keras_senet.data.load("digits", split, data_dir)
    batches = keras_senet.data.evaluation_batches(digits, keras_senet.Preprocessing(SIZE), batch_size=256)
    pixels, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def half_inverted(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(np.arange(len(pixels))[:, None, None, None] % 2, 255 - pixels, pixels), labels


def accuracy_by_epoch(model: keras.Model, training, held_out, epochs: int, learning_rate: float) -> list[float]:
    steps = epochs * -(-len(training[0]) // 64)
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(learning_rate, steps), momentum=0.9)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    history = model.fit(*training, batch_size=64, epochs=epochs, validation_data=held_out, verbose=0)
    return history.history["val_accuracy"]


def draw(curves: dict[str, list[float]], gates: dict[str, np.ndarray], path: pathlib.Path) -> None:
    figure = new_figure(9, 3.2)
    left, right = figure.subplots(1, 2)
    for name, values in curves.items():
        left.plot(100 * np.array(values), label=name, marker=".")
    left.set(xlabel="epochs since SE was added", ylabel="top-1 on validation digits, %", title="A trained network learns more")
    left.grid(alpha=0.3)
    left.legend()
    right.boxplot([values.ravel() for values in gates.values()], showfliers=False)
    right.axhline(0.5, color="gray", linewidth=0.8, linestyle="--")
    names = [name.removesuffix("_bn2_se") for name in gates]
    right.set_xticks(range(1, len(names) + 1), names, rotation=45, ha="right", fontsize=8)
    right.set(ylabel="gate", title="Where its gates have gone from 0.5")
    save_figure(figure, path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"add_se_to_pretrained.py: error: {error}")
