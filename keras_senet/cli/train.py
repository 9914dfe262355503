"""keras-senet train: from a recipe, whose fields are flags, to a trained network."""

import argparse
import dataclasses
import os
from typing import Any

from keras_senet.cli.arguments import add_settings, folder_of_labels, one_of
from keras_senet.errors import InputError, existing_path

HELP = "Train a network and keep all that the run made in one folder."
EXAMPLE = "--model SEResNet20 --dataset digits --epochs 2 --batch-size 64 --learning-rate 0.1 --output runs/digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from keras_senet.training import RECIPES, STRATEGIES

    parser.usage = "%(prog)s --model MODEL --dataset DATASET --output OUTPUT [FLAG ...]\n       %(prog)s --resume --output OUTPUT"
    group = parser.add_argument_group("run")
    group.add_argument("--output", required=True, help="folder of the run, new or empty (required)")
    group.add_argument("--config", help="config.json of a run to repeat; other flags take precedence over it")
    group.add_argument(
        "--recipe",
        **one_of(RECIPES),
        help="defaults for the other flags (default: they follow from the network and the images)",
    )
    group.add_argument("--resume", action="store_true", help="go on with the run in the folder, if there is one")
    group.add_argument("--save-every", type=int, metavar="STEPS", help="save the state after so many steps, too")
    group.add_argument("--keep-states", type=int, help="states to keep (default: 3)")
    for heading, fields in _recipe_fields().items():
        add_settings(parser.add_argument_group(heading), fields)
    group = parser.add_argument_group("devices")
    group.add_argument("--strategy", default="auto", **one_of(STRATEGIES), help="devices to train on (default: auto)")
    group.add_argument("--hosts", type=lambda text: text.split(","), metavar="HOST:PORT,...", help="address of each worker")
    group.add_argument("--worker", type=int, help="number of this worker among the hosts, from 0")
    group.add_argument("--data-service", metavar="ADDRESS", help="tf.data service that reads and augments the training images")


def _recipe_fields() -> dict[str, list[dataclasses.Field]]:
    """The fields of a recipe, those of its parts among them, by their headings."""
    from keras_senet.settings import flat_fields
    from keras_senet.training.recipe import GROUPS, Recipe

    heading = ""
    groups: dict[str, list[dataclasses.Field]] = {title: [] for title in GROUPS.values()}
    for field in dataclasses.fields(Recipe):
        heading = GROUPS.get(field.name, heading)
        groups[heading] += flat_fields(field.type) if dataclasses.is_dataclass(field.type) else [field]
    return groups


def run(options: argparse.Namespace) -> None:
    from keras_senet.training import RunFolder, report, train

    recipe = recipe_of(options)
    run_names = ("resume", "save_every", "keep_states", "strategy", "hosts", "worker", "data_service")
    given = {name: value for name in run_names if (value := getattr(options, name)) is not None}
    before = RunFolder(options.output).saving() if options.resume else {}
    folder = train(recipe, options.output, **before | given)
    if folder is None:  # only the first worker of several reports
        return
    for name, result in report(folder).items():
        network, images = ("best", "on the test part, ") if name == "test" else (name, "")
        titles = {"map": "mAP", "ap": "average precision", "mean_iou": "mean IoU", "top1": "top-1 accuracy"}
        good = next(f"{title} {result[name]:.2%}" for name, title in titles.items() if name in result)
        print(f"{options.output}/{network}.keras: {good}, {images}epoch {result['epoch']}")


def recipe_of(options: argparse.Namespace):
    """The `Recipe` that the flags describe.

    Raises:
        ValueError: if they contradict each other, or a field has a value that it does not take.
    """
    from keras_senet.settings import flat_fields
    from keras_senet.training import RECIPES, Recipe, read_recipe

    names = {field.name for field in flat_fields(Recipe)}
    given = {name: value for name, value in vars(options).items() if name in names}
    config = options.config
    started = os.path.join(options.output, "config.json")
    if options.resume and not (config or options.recipe) and (os.path.exists(started) or not given):
        if not os.path.exists(started):
            raise InputError(f"There is no {started}, so no run to go on with: give --model and --dataset for a new one.")
        config = started
    if config is not None and options.recipe:
        raise InputError("--recipe says what --config says already: leave one of them out.")
    fields = given if config is None else read_recipe(existing_path(config)).replace(**given).flat()
    if "dataset" not in fields and (folder := folder_of_labels(fields.get("labels_csv"))):
        fields["dataset"] = folder
    missing = [f"--{name}" for name in ("model", "dataset") if name not in fields]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given. See: keras-senet train --help")
    if options.recipe:
        return RECIPES[options.recipe](**fields)
    if config is not None:
        return Recipe.of(**fields)
    return _automatic_recipe(options, fields)


def _automatic_recipe(options: argparse.Namespace, fields: dict[str, Any]):
    """The `Recipe` that follows from the images; says which."""
    from keras_senet import data
    from keras_senet.settings import flat_fields
    from keras_senet.training import Recipe, RunFolder, automatic_recipe, strategy_of

    RunFolder(options.output).check_that_it_is_free(options.resume)  # before the images are listed, which may take long
    if strategy_of(options.strategy, options.hosts) == "multi_worker":
        raise InputError("Several workers start before the images are counted: name what they do with --recipe or --config.")
    defaults = {field.name: field.default for field in flat_fields(Recipe)}
    names = ("dataset", "train_split", "data_dir", "labels_csv", "task")
    images = data.load(*(fields.get(name, defaults[name]) for name in names))
    recipe, why = automatic_recipe(images=images.size, multi_label=images.multi_label, **fields)
    print(why)
    return recipe
