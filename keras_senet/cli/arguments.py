"""Arguments: a parser that names what may have been meant, and the arguments that several commands share."""

import argparse
import ast
import contextlib
import dataclasses
import itertools
import os
import sys
import types
import typing
from collections.abc import Iterable

from keras_senet.errors import InputError, did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose errors take the same way out as all others, and name the flag that was meant.

    A flag must be written out: by its first letters, one that is misspelt would be taken for another.
    """

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def parse_args(self, args=None, namespace=None):
        # Before argparse, which would complain first about a required argument that the misspelt one stands for.
        for word in itertools.takewhile(lambda word: word != "--", args):
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in self._option_string_actions:
                self.error(f"There is no flag {flag}.{did_you_mean(flag, self._option_string_actions)}")
        for before, word in itertools.pairwise([self.prog, *args]):
            if word == "" or (word.startswith("--") and word.endswith("=")):
                self.error(f"What follows {word or before} is empty, as a variable of the shell is that is not set.")
        return super().parse_args(args, namespace)

    def error(self, message):
        raise InputError(f"{message}{'' if message.endswith(('.', '?')) else '.'} See: {self.prog} --help")


def one_of(choices: Iterable[str]) -> dict[str, typing.Any]:
    """What `add_argument` takes for an argument that must be one of `choices`; its error suggests the nearest."""
    choices = tuple(choices)

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(
                f"must be one of {', '.join(choices)}. Received: {text}.{did_you_mean(text, choices)}"
            )
        return text

    return {"type": convert, "metavar": f"{{{','.join(choices)}}}"}


def add_json(parser: argparse.ArgumentParser) -> None:
    """The flag --json."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_dataset(parser: argparse.ArgumentParser, split: str) -> None:
    """The flags of images with labels, which the command reads; `split` says for what."""
    parser.add_argument("--dataset", help="name of a tensorflow-datasets dataset, or a folder of images (required)")
    parser.add_argument(
        "--labels-csv",
        metavar="FILE.csv",
        help="a path and a label, or several, on each line, in place of folders for the classes",
    )
    parser.add_argument("--split", default="validation", help=f"{split}, or all (default: validation)")
    add_data_dir(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")


def check_dataset(options: argparse.Namespace) -> str:
    """The dataset that the flags of `add_dataset` name, which they must."""
    dataset = options.dataset or folder_of_labels(options.labels_csv)
    if dataset is None:
        raise InputError("--dataset must be given.")
    return dataset


def load_dataset(options: argparse.Namespace, task: str = "classify"):
    """The labelled images that the flags of `add_dataset` name."""
    from keras_senet import data

    return data.load(check_dataset(options), options.split, options.data_dir, options.labels_csv, task)


def folder_of_labels(labels_csv: str | None) -> str | None:
    """The folder of a CSV file of labels, where its images are if --dataset does not say otherwise."""
    return None if labels_csv is None else os.path.dirname(labels_csv) or os.curdir


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """The flag --data-dir."""
    parser.add_argument("--data-dir", help="folder of tensorflow-datasets")


def add_network(parser: argparse.ArgumentParser) -> None:
    """A network in any form, and what it looks at; `open_network` opens it."""
    from keras_senet.inference.preprocessing import INTERPOLATIONS

    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="a .keras file, a .tflite file, the folder of a SavedModel, or a name from keras-senet models --checkpoints",
    )
    parser.add_argument("--image-size", type=int, help="height and width of the image, pixels (default: the network's)")
    parser.add_argument(
        "--crop-ratio", type=float, help="share of the image's shorter side to look at (default: the network's, or by image size)"
    )
    parser.add_argument(
        "--interpolation", **one_of(INTERPOLATIONS), help="how that square is resized (default: the network's, or bilinear)"
    )


def add_threshold(parser: argparse.ArgumentParser, more: str = "", default: str = "the network's own") -> None:
    """The flag --threshold; `open_network` heeds it."""
    what = f"probability that each label must reach, for networks that give an image several{more} (default: {default})"
    parser.add_argument("--threshold", type=float, help=what)


def open_network(options: argparse.Namespace):
    """The `Classifier`, `Detector` or `Segmenter` that the arguments of `add_network` and `add_threshold` describe."""
    from keras_senet.export import Classifier, Segmenter, open_network
    from keras_senet.inference.labels import check_thresholds

    threshold = getattr(options, "threshold", None)
    if threshold is not None:
        check_thresholds([threshold], "--threshold")
    network = open_network(options.network, options.image_size)
    if isinstance(network, Segmenter) and threshold is not None:
        raise InputError("--threshold: each pixel has the class that is most probable.")
    changes = {name: value for name in ("crop_ratio", "interpolation") if (value := getattr(options, name)) is not None}
    if not isinstance(network, Classifier):
        if "crop_ratio" in changes:
            raise InputError("--crop-ratio: detectors and segmenters look at the whole image.")
        return dataclasses.replace(network, preprocessing=dataclasses.replace(network.preprocessing, **changes))
    return dataclasses.replace(
        network,
        preprocessing=dataclasses.replace(network.preprocessing, **changes),
        thresholds=network.thresholds if threshold is None else [threshold] * network.classes,
    )


def open_classifier(options: argparse.Namespace):
    """The same, for a command that takes classifiers alone."""
    from keras_senet.export import Classifier

    network = open_network(options)
    if not isinstance(network, Classifier):
        raise InputError(f"{options.network} is a {type(network).__name__.lower()}, and this takes an image classifier.")
    return network


def tell_note(network) -> None:
    """Says on stderr what had to be done to get probabilities, if anything."""
    if note := getattr(network, "note", ""):
        print(f"keras-senet: note: {note}", file=sys.stderr)


def add_settings(parser: argparse._ActionsContainer, fields: Iterable[dataclasses.Field]) -> None:
    """One flag for each field that `keras_senet.settings.setting` made. A flag that is not given leaves no option."""
    for field in fields:
        required = field.default is dataclasses.MISSING
        text = field.metadata["help"] + (
            " (required)" if required else f" (default: {field.metadata['default_text'] or _as_text(field.default)})"
        )
        options = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if field.metadata["choices"]:
            options |= one_of(field.metadata["choices"])
        elif field.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(kind := _kind(field.type)) is tuple:
            options |= {"type": _or_none(typing.get_args(kind)[0]), "nargs": "+", "action": _Tuple}
        elif kind is dict:
            options |= {"nargs": "+", "action": _Mapping, "metavar": "NAME=VALUE"}
        elif isinstance(field.type, types.UnionType):
            options["type"] = _or_none(kind)
        else:
            options["type"] = field.type
        parser.add_argument(as_flag(field.name), **options)


def as_flag(name: str) -> str:
    """The flag of the field or argument `name`."""
    return f"--{name.replace('_', '-')}"


def _kind(annotation: typing.Any) -> typing.Any:
    """The type of the values of a field, but for None."""
    return typing.get_args(annotation)[0] if isinstance(annotation, types.UnionType) else annotation


class _Tuple(argparse.Action):
    """Stores a tuple, or None for the one word "none"."""

    def __call__(self, parser, namespace, values, option_string=None):
        if None in values and len(values) > 1:
            raise argparse.ArgumentError(self, "must be numbers, or none alone")
        setattr(namespace, self.dest, None if values == [None] else tuple(values))


class _Mapping(argparse.Action):
    """Stores a dictionary of NAME=VALUE, where a value is a Python literal or a text."""

    def __call__(self, parser, namespace, values, option_string=None):
        pairs = [value.partition("=") for value in values]
        for name, sign, _ in pairs:
            if not (name.isidentifier() and sign):
                raise argparse.ArgumentError(self, f"must be of the form NAME=VALUE. Received: {' '.join(values)}")
        setattr(namespace, self.dest, {name: _literal(text) for name, _, text in pairs})


def _literal(text: str) -> typing.Any:
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    return text


def _or_none(kind: type):
    def convert(text: str):
        return None if text == "none" else kind(text)

    convert.__name__ = kind.__name__  # for argparse's message
    return convert


def _as_text(value) -> str:
    return "none" if value is None else str(value)
