"""keras-senet models: the networks, or the published weights for them."""

import argparse
import dataclasses
import inspect

from keras_senet.cli.arguments import add_json
from keras_senet.cli.output import print_json, print_table

HELP = "List the networks, or the published weights for them."
EXAMPLE = "--checkpoints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoints", action="store_true", help="list published weights instead")
    parser.add_argument("--family", help="those of one family alone, such as SE-ResNeXt")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if options.checkpoints:
        _list_checkpoints(options.family, options.json)
    else:
        _list_networks(options.family, options.json)


def _list_networks(family: str | None, as_json: bool) -> None:
    from keras_senet.models.registry import find_model, list_models

    models = [find_model(name) for name in list_models(family)]
    rows = [(model.__name__, model.architecture.family, inspect.getdoc(model).splitlines()[0]) for model in models]
    if as_json:
        print_json({name: {"family": family, "summary": summary} for name, family, summary in rows})
    else:
        print_table(["network", "family", ""], rows)


def _list_checkpoints(family: str | None, as_json: bool) -> None:
    from keras_senet.models.registry import call_of, list_checkpoints, list_models

    models = list_models(family)
    checkpoints = [checkpoint for checkpoint in list_checkpoints() if checkpoint.model in models]
    if as_json:
        facts = ("tag", "url", "architecture")  # properties, which asdict leaves out
        print_json([dataclasses.asdict(each) | {fact: getattr(each, fact) for fact in facts} for each in checkpoints])
        return
    rows = []
    for checkpoint in checkpoints:
        accuracy = ["" if percent is None else f"{percent:.2f}" for percent in (checkpoint.top1, checkpoint.top5)]
        image = [str(checkpoint.input_size), f"{checkpoint.crop_ratio:g}", checkpoint.interpolation]
        names = [call_of(checkpoint.model, checkpoint.options), checkpoint.tag, checkpoint.name]
        rows.append([*names, *image, f"{checkpoint.classes:,}" if checkpoint.classes else "none", *accuracy, checkpoint.license])
    print_table(
        ["network", "tag", "name", "pixels", "crop ratio", "interpolation", "classes", "top-1 %", "top-5 %", "license"], rows
    )
