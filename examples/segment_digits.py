"""Trains a network that finds the pixels of handwritten digits, and draws what it finds in scenes that it has not seen.

    python examples/segment_digits.py

The scenes are made of the digits that scikit-learn has, so nothing is downloaded. In three minutes on two cores a U-Net on
SE-ResNet-18 reaches a mean intersection over union of 93 %. `--attention none` trains it without SE.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

import keras_senet
from keras_senet.errors import UserError, require
from keras_senet.plots.figure import colors, draw_legend, new_figure, save_figure
from keras_senet.segmentation import DiceCrossentropy, deeplab, mean_iou, unet

CLASSES = 11  # the background and ten digits
BATCH_SIZE = 16


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default="runs/segment", help="folder (default: runs/segment)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    parser.add_argument("--network", choices=("unet", "deeplab"), default="unet", help="(default: unet)")
    parser.add_argument("--attention", choices=("se", "none"), default="se", help="(default: se)")
    parser.add_argument("--epochs", type=int, default=4, help="(default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")

    images, masks = scenes("train", options.data_dir)
    test_images, test_masks = scenes("test", options.data_dir)
    keras.utils.set_random_seed(options.seed)
    network = build(options.network, None if options.attention == "none" else options.attention)
    steps = options.epochs * (len(images) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - steps // 20, warmup_target=2e-3, warmup_steps=steps // 20)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), DiceCrossentropy(), jit_compile=False)
    whole = len(images) // BATCH_SIZE * BATCH_SIZE
    network.fit(images[:whole], masks[:whole], batch_size=BATCH_SIZE, epochs=options.epochs, verbose=2)
    predicted = network.predict(test_images, batch_size=50, verbose=0).argmax(axis=-1)
    measured = mean_iou([(test_masks, predicted)], CLASSES)
    print(f"{network.name}: mean IoU {measured.mean:.1%} on {len(test_images)} scenes of other handwriting")

    options.output.mkdir(parents=True, exist_ok=True)
    network.save(options.output / "network.keras")
    draw(test_images[:8], test_masks[:8], predicted[:8], options.output / "segmentation.png")
    print(f"The picture is {options.output / 'segmentation.png'}.")


def scenes(split: str, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 `(N, 96, 96, 3)`, and masks, uint8 `(N, 96, 96)`: 0 for the background, and 1 + the digit."""
    found = require("keras_senet.data.digit_scenes", "train").load(split, data_dir)
    return np.stack([scene["image"] for scene in found]), np.stack([scene["mask"][..., 0] for scene in found])


def build(kind: str, attention: str | None) -> keras.Model:
    """A network for small images: its decoder is narrow, and the last stage of the backbone, with a stride of 32, is left out."""
    network = keras_senet.SEResNet18(weights=None, include_top=False, input_shape=(96, 96, 3), attention=attention)
    if kind == "unet":
        return unet(keras_senet.backbone(network, levels=(1, 2, 3, 4)), CLASSES, width=8)
    return deeplab(keras_senet.backbone(network, levels=(2, 4)), CLASSES, width=64, low_width=32, rates=(1, 2, 3))


def draw(images: np.ndarray, masks: np.ndarray, predicted: np.ndarray, path: pathlib.Path) -> None:
    """Each image above its mask and what was predicted."""
    rows = {"image": images, "truth": masks, "predicted": predicted}
    figure = new_figure(1.2 * len(images) + 1, 4)
    grid = figure.subplots(len(rows), len(images), squeeze=False)
    palette = np.array([(0, 0, 0), *(to_rgb(color) for color in colors(CLASSES - 1))])
    for row, (title, pictures) in zip(grid, rows.items(), strict=True):
        row[0].set_ylabel(title, fontsize=10)
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture if picture.ndim == 3 else palette[picture])
            axes.set(xticks=[], yticks=[])
    names = [(str(digit), {"color": palette[1 + digit], "marker": "s", "linestyle": ""}) for digit in range(CLASSES - 1)]
    draw_legend(figure, names)
    save_figure(figure, path)


def to_rgb(color) -> tuple[float, float, float]:
    return require("matplotlib.colors", "train").to_rgb(color)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"segment_digits.py: error: {error}")
