"""Trains a network on ImageNet by one of the published recipes.

    python examples/train_imagenet.py --model SEResNet50 --recipe paper --data-dir /data/tensorflow_datasets

ImageNet has to be fetched by hand: https://www.tensorflow.org/datasets/catalog/imagenet2012 says where its two files go. Whether
all of it runs on your machine is shown in about a minute, without ImageNet, by

    python examples/train_imagenet.py --limit 64

which trains on so many made-up photographs. Started again, either goes on where it was stopped.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

from keras_senet.errors import UserError
from keras_senet.training import RECIPES, report, train


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="SEResNet50", help="the network (default: SEResNet50)")
    recipes = [name for name in RECIPES if name != "finetune" and not name.startswith("cifar")]
    parser.add_argument("--recipe", choices=recipes, default="paper", help="how to train it (default: paper)")
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets with ImageNet (default: ~/tensorflow_datasets)")
    parser.add_argument("--limit", type=int, help="made-up photographs to train on instead: 1 epoch, batches of 16, 64 pixels")
    parser.add_argument("--image-size", type=int, help="pixels (default: the recipe's or the network's)")
    parser.add_argument("--epochs", type=int, help="passes over the images (default: the recipe's)")
    parser.add_argument("--batch-size", type=int, help="images in a step, on all GPUs together (default: the recipe's)")
    parser.add_argument("--output", type=pathlib.Path, help="folder of the run (default: runs/<model>-<recipe>)")
    options = parser.parse_args(arguments)

    output = options.output or pathlib.Path(f"runs/{options.model}-{options.recipe}{'-limited' if options.limit else ''}")
    chosen = {name: value for name in ("image_size", "epochs", "batch_size") if (value := getattr(options, name)) is not None}
    dataset = "imagenet2012"
    if options.limit:
        dataset = str(make_up_photographs(output.with_name(f"{output.name}-photographs"), options.limit).resolve())
        chosen = {"image_size": 64, "epochs": 1, "batch_size": 16} | chosen
    recipe = RECIPES[options.recipe](options.model, dataset, data_dir=options.data_dir)
    epochs = chosen.get("epochs", recipe.epochs)
    of_the_epochs = {name: min(getattr(recipe, name), epochs) for name in ("warmup_epochs", "freeze_bn_epochs")}
    folder = train(recipe.replace(**chosen, **of_the_epochs), output, resume=True)
    if folder is None:  # the first worker reports
        return
    error = 100 * (1 - report(folder)["last"]["top1"])
    print(f"{options.model}, recipe {options.recipe}: top-1 error {error:.2f} %. The report is {folder.page}")


def make_up_photographs(folder: pathlib.Path, count: int) -> pathlib.Path:
    """JPEG files as large as those of ImageNet, of coloured clouds in ten classes: `count` to train on, a quarter to validate."""
    random = np.random.default_rng(0)
    for part, size in (("train", count), ("validation", count // 4)):
        for index in range(size):
            path = folder / part / f"class{index % 10}" / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            clouds = keras.ops.image.resize(random.uniform(0, 255, (6, 8, 3)), (375, 500))
            keras.utils.save_img(path, clouds, scale=False)
    return folder


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"train_imagenet.py: error: {error}")
