"""Teaches a small network by a large one, and draws what that does to its errors.

    python examples/distil_digits.py

The teacher is an SE-ResNet-20 that has learned all training digits. The student is an SE-ResNet-8 of half its width, which gets a
tenth of them: 144 images. It trains by itself, with the teacher beside the labels, and with the teacher's feature maps, too; then
by itself and taught on images that always look the same, about each of which the teacher is asked only once. All students have
the same recipe. A study that was stopped goes on where it stood. It takes about six minutes on two cores.
"""

import argparse
import dataclasses
import json
import pathlib
import sys

from finetune_few import draw, run, show

from keras_senet import SEResNet20, data
from keras_senet.errors import UserError
from keras_senet.models.build import constructor
from keras_senet.models.resnet import features
from keras_senet.training import automatic_recipe

IMAGE_SIZE = 16
STUDENT = "SEResNet8Half"
FEW = "train[:10%]"

# Way: what differs from the recipe of a student that trains by itself.
UNCHANGED = {"crop": "center"}
WAYS = {
    "by itself": {},
    "taught": {"teacher": True},
    "taught, with maps": {"teacher": True, "distill_maps_weight": 1.0},
    "by itself, unchanged images": UNCHANGED,
    "taught, unchanged images": UNCHANGED | {"teacher": True},
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default="runs/distil", help="folder of the study (default: runs/distil)")
    parser.add_argument("--seeds", type=int, default=5, help="students of each way (default: 5)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")

    all_digits, few_digits = (data.load("digits", split, options.data_dir).size for split in ("train", FEW))
    common = {"image_size": IMAGE_SIZE, "flip": False, "data_dir": options.data_dir}
    recipe, _ = automatic_recipe("SEResNet20", "digits", images=all_digits, **common)
    options.output.mkdir(parents=True, exist_ok=True)
    teacher = run(recipe, options.output / "teacher")
    print(f"The teacher's error: {100 * error(teacher):.2f} %", flush=True)
    small = dataclasses.replace(SEResNet20.architecture, depths=(1, 1, 1), widths=(8, 16, 32), stem_widths=(8,))
    constructor(STUDENT, small, features, "SE-ResNet-8 for small images at half the width.")
    own = {"train_split": FEW, "epochs": 20, "batch_size": 16, "learning_rate": 0.05, "reduction": 4}
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(options.seeds):
        recipe, _ = automatic_recipe(STUDENT, "digits", images=few_digits, **common, **own, seed=seed)
        of_seed = options.output / f"seed{seed}"
        of_seed.mkdir(exist_ok=True)
        for way, changes in WAYS.items():
            changes = dict(changes)
            if changes.pop("teacher", False):
                changes["teacher"] = str((teacher / "last.keras").resolve())
            folder = run(recipe.replace(**changes), of_seed / way.replace(", ", "_").replace(" ", "_"))
            errors[way].append(100 * error(folder))
            print(f"seed {seed}, {way}: error {errors[way][-1]:.2f} %", flush=True)
    show(errors)
    picture = options.output / "distil.png"
    draw(errors, picture, f"A small network, {few_digits} digits, and a teacher")
    print(f"The picture is {picture}.")


def error(folder: pathlib.Path) -> float:
    """The share of the test digits on which the last network of a run is wrong."""
    return 1 - json.loads((folder / "metrics.json").read_text())["last"]["top1"]


if __name__ == "__main__":
    try:
        main()
    except UserError as error_:
        sys.exit(f"distil_digits.py: error: {error_}")
