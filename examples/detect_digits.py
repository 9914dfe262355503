"""Trains a detector of handwritten digits, measures its average precision, and draws what it finds.

    python examples/detect_digits.py

The scenes are made of the digits that scikit-learn has, so nothing is downloaded; those of the test scenes are in no training
scene. The detector is a RetinaNet on a small SE-ResNet; `--attention none` is the same without SE, and `--network faster-rcnn` a
detector in two stages, each of whose epochs takes four times as long. It takes four minutes on two cores and ends in a
picture, a `.keras` file of the network that returns boxes, and COCO's average precision.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

import keras_senet
from keras_senet import detection
from keras_senet.data import digit_scenes
from keras_senet.data.digit_scenes import MOST_DIGITS, SCENES, SIZE
from keras_senet.errors import UserError, require
from keras_senet.models.build import constructor
from keras_senet.models.resnet import ResNet, features
from keras_senet.plots.figure import new_figure, save_figure

BATCH_SIZE = 16

LOSSES = {
    "retinanet": {"boxes": detection.BoxLoss(), "classes": detection.FocalLoss()},
    "faster-rcnn": {
        "rpn_boxes": detection.BoxLoss(),
        "rpn_classes": detection.ProposalLoss(),
        "roi_boxes": detection.RegionBoxLoss(),
        "roi_classes": detection.RegionClassLoss(),
    },
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/detect"), help="folder (default: runs/detect)")
    parser.add_argument("--network", choices=LOSSES, default="retinanet", help="(default: retinanet)")
    parser.add_argument("--attention", choices=["se", "none"], default="se", help="of the backbone (default: se)")
    parser.add_argument("--epochs", type=int, default=5, help="(default: 5)")
    parser.add_argument("--scenes", type=int, default=SCENES["train"], help="scenes to train on, from 16 (default: all 4800)")
    parser.add_argument("--test-scenes", type=int, default=SCENES["test"], help="scenes to measure on (default: all 300)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    parser.add_argument("--seed", type=int, default=0, help="of the network and the order of the scenes (default: 0)")
    options = parser.parse_args(arguments)
    if not (BATCH_SIZE <= options.scenes <= SCENES["train"] and 1 <= options.test_scenes <= SCENES["test"]):
        parser.error(f"--scenes must be from {BATCH_SIZE} to {SCENES['train']}, --test-scenes from 1 to {SCENES['test']}")
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    require("pycocotools", "train")  # before the training, not after it

    training = scenes(f"train[:{options.scenes}]", options.data_dir)
    images, objects = scenes(f"test[:{options.test_scenes}]", options.data_dir)
    keras.utils.set_random_seed(options.seed)
    model = network(options.network, None if options.attention == "none" else options.attention)
    print(f"{model.name}: {model.count_params():,} parameters", flush=True)
    batches = dataset(*training, detection.encoder(model))
    steps = options.epochs * (options.scenes // BATCH_SIZE)
    model.compile(optimizer(steps), LOSSES[options.network], jit_compile=False)
    model.fit(batches, epochs=options.epochs, verbose=2, shuffle=False)

    detector = detection.detector(model, candidates=300, max_detections=30)
    detections = detector.predict(images, batch_size=50, verbose=0)
    precision = detection.average_precision(detection.each_image(objects), detection.each_image(detections))
    print(f"Average precision on {options.test_scenes} scenes: {precision.ap:.1%}, at an overlap of a half {precision.ap50:.1%}")
    options.output.mkdir(parents=True, exist_ok=True)
    draw(images[:8], detections, options.output / "detections.png")
    detector.save(options.output / "detector.keras")
    print(f"The picture is {options.output / 'detections.png'}.")


def network(name: str, attention: str | None) -> keras.Model:
    """A detector on SE-ResNet-18 at half its width, whose first convolution is 3x3."""
    half = ResNet(depths=(2, 2, 2, 2), widths=(32, 64, 128, 256), bottleneck=False, stem_kernel_size=3, stem_widths=(32,))
    build = constructor("SEResNet18Half", half, features, "SE-ResNet-18 at half its width.")
    base = build(include_top=False, attention=attention, input_shape=(SIZE, SIZE, 3))
    if name == "retinanet":
        anchors = detection.Anchors((SIZE, SIZE), levels=(3, 4, 5), scale=1.75, ratios=(1.0, 1.7))
        return detection.retinanet(keras_senet.backbone(base, (3, 4, 5)), 10, anchors, width=64, depth=2)
    anchors = detection.Anchors((SIZE, SIZE), levels=(2, 3, 4, 5), octaves=(1.0,), ratios=(1.0, 1.5, 2.0))
    small = {"width": 64, "units": 256, "proposals": 64, "max_objects": MOST_DIGITS, "canonical_size": 56.0}
    return detection.faster_rcnn(keras_senet.backbone(base), 10, anchors, **small)


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    """One whose learning rate rises for a twentieth of the steps and then falls."""
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - steps // 20, warmup_target=1e-3, warmup_steps=steps // 20)
    return keras.optimizers.AdamW(rate, weight_decay=1e-4, global_clipnorm=10.0)


def dataset(images: np.ndarray, objects: dict, encode):
    """Batches of shuffled scenes with what the detector should say of them."""
    import tensorflow as tf

    scenes = tf.data.Dataset.from_tensor_slices((images, objects)).shuffle(len(images), seed=0)
    return scenes.map(encode, tf.data.AUTOTUNE).batch(BATCH_SIZE, drop_remainder=True).prefetch(2)


def scenes(split: str, data_dir: str | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images `(N, 96, 96, 3)` and their objects: "boxes" `(N, 6, 4)`, and "labels" `(N, 6)`, -1 where there are fewer."""
    found = digit_scenes.load(split, data_dir)
    objects = {"boxes": np.full((len(found), MOST_DIGITS, 4), -1, np.float32), "labels": np.full((len(found), MOST_DIGITS), -1)}
    for number, scene in enumerate(found):
        top, left, bottom, right = SIZE * scene["objects"]["bbox"].T
        count = len(top)
        objects["boxes"][number, :count] = np.stack([left, top, right, bottom], axis=-1)
        objects["labels"][number, :count] = scene["objects"]["label"]
    return np.stack([scene["image"] for scene in found]), objects


def draw(images: np.ndarray, detections: dict[str, np.ndarray], path: pathlib.Path) -> None:
    """The detections that are surer than 40 %, on their scenes."""
    figure = new_figure(10, 5.4)
    for number, axes in enumerate(figure.subplots(2, 4).flat):
        axes.axis("off")
        if number >= len(images):
            continue
        axes.imshow(images[number])
        for box, score, digit in zip(*(detections[name][number] for name in ("boxes", "scores", "classes")), strict=True):
            if score > 0.4:
                left, top, right, bottom = box
                axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color="lime", linewidth=1)
                axes.text(left, top - 1, f"{int(digit)}  {score:.0%}", color="yellow", fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"detect_digits.py: error: {error}")
