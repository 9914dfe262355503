"""The command keras-senet: a thin face over the package's functions."""

import argparse
import collections
import dataclasses
import inspect
import itertools
import json
import logging
import os
import pathlib
import re
import sys
import types
import typing
import warnings

from keras_senet.errors import InputError, UserError, existing_path
from keras_senet.inference.preprocessing import INTERPOLATIONS
from keras_senet.pretrained import SUFFIXES


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: the words after `keras-senet`; by default those of the process.

    Returns:
        The exit status: 0; 2 after an error that the user can mend, with one line on stderr; 130 after Ctrl-C, and 143 after
        SIGTERM in training.

    Raises:
        Exception: any other error, since its traceback helps to mend it; with --traceback those of the user, too.
    """
    show_traceback = False
    warnings.formatwarning = lambda message, *_, **__: f"keras-senet: warning: {message}\n"
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        options = _parser().parse_args(arguments)
        show_traceback = options.traceback
        options.run(options)
    except KeyboardInterrupt as interrupt:
        print(f"keras-senet: {interrupt}".rstrip(": "), file=sys.stderr)
        return getattr(interrupt, "status", 130)
    except BrokenPipeError:  # whoever reads our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if show_traceback or not _user_can_mend(error):
            raise
        # TensorFlow puts the names of its nodes, {{node ...}}, into its messages.
        message = re.sub(r"\[?\{\{.*?\}\}\]?", "", str(error))
        print(f"keras-senet: error: {' '.join(message.split())}", file=sys.stderr)
        return 2
    return 0


def _user_can_mend(error: Exception) -> bool:
    if isinstance(error, UserError):
        return True
    if isinstance(error, OSError):  # the system's, such as a full disk, has a number; one that a library made up has none
        return error.errno is not None
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return False
    of_the_system = ("NotFoundError", "PermissionDeniedError", "ResourceExhaustedError", "UnavailableError")
    return isinstance(error, tuple(getattr(tensorflow.errors, name) for name in of_the_system))


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print with the usage before it, so that every error takes the same way out."""

    def error(self, message):
        raise InputError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="keras-senet", description="Squeeze-and-Excitation networks: train, evaluate, export.")
    from keras_senet.export import QUANTIZATIONS
    from keras_senet.training import RECIPES, STRATEGIES

    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(run, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            run.__name__.strip("_"),
            help=run.__doc__.splitlines()[0],
            description=run.__doc__,
            epilog=f"example:\n  keras-senet {run.__name__.strip('_')} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        sub.add_argument("--traceback", action="store_true", help="after an error, show where in the code it was raised")
        return sub

    sub = add(_models, "--checkpoints")
    sub.add_argument("--checkpoints", action="store_true", help="list published weights instead")
    _add_json(sub)

    sub = add(_info, "SEResNet50 --reduction 8")
    sub.add_argument(
        "model", nargs="?", metavar="MODEL", help="name of a network, a .keras file, or a .tflite file for its metadata"
    )
    sub.add_argument("--paper", action="store_true", help="compare every table of the paper with our networks instead")
    sub.add_argument("--image-size", type=int, help="height and width of the image, pixels (default: the network's)")
    _add_recipe(sub, only_of_the_network=True)
    _add_json(sub)

    sub = add(_train, "--model SEResNet20 --dataset digits --epochs 2 --batch-size 64 --learning-rate 0.1 --output runs/digits")
    sub.add_argument("--output", required=True, help="folder of the run, new or empty")
    sub.add_argument("--config", help="config.json of a run to repeat; other flags take precedence over it")
    sub.add_argument("--recipe", choices=tuple(RECIPES), help="defaults for the flags below, as published")
    sub.add_argument("--resume", action="store_true", help="go on with the run in the folder, if there is one")
    sub.add_argument("--save-every", type=int, metavar="STEPS", help="save the state after so many steps, too")
    sub.add_argument("--keep", type=int, default=3, help="states to keep (default: 3)")
    sub.add_argument("--strategy", default="auto", choices=STRATEGIES, help="devices to train on (default: auto)")
    sub.add_argument("--hosts", type=lambda text: text.split(","), metavar="HOST:PORT,...", help="address of each worker")
    sub.add_argument("--worker", type=int, help="number of this worker among the hosts, from 0")
    sub.add_argument("--data-service", metavar="ADDRESS", help="tf.data service that reads and augments the training images")
    _add_recipe(sub)

    sub = add(_evaluate, "saved_models/seresnet20_digits/model.tflite --dataset digits")
    _add_network(sub)
    sub.add_argument("--dataset", required=True, help="name of a tensorflow-datasets dataset, or a folder of images")
    sub.add_argument("--split", default="validation", help="part to evaluate on, or all (default: validation)")
    sub.add_argument("--data-dir", help="folder of tensorflow-datasets")
    sub.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")
    sub.add_argument("--ten-crop", action="store_true", help="average over corners, centre and their mirror images")
    sub.add_argument("--labels", metavar="FILE.json", help="labels in place of the dataset's, several an image, as those of ReaL")
    sub.add_argument("--confusion", metavar="FILE.png", help="draw which class is taken for which")
    _add_json(sub)

    sub = add(_predict, "saved_models/seresnet20_digits/model.tflite examples/digits")
    _add_network(sub)
    sub.add_argument("images", nargs="+", metavar="IMAGE", help="an image, or a folder of images")
    sub.add_argument("--top", type=int, default=3, help="how many classes to show (default: 3)")
    sub.add_argument("--picture", metavar="FILE.png", help="draw the images with their classes")
    _add_json(sub)

    sub = add(_export, "runs/digits/last.keras digits.tflite")
    sub.add_argument("network", metavar="NETWORK", help="a .keras file")
    sub.add_argument(
        "output", metavar="OUTPUT", help="a name that ends in .tflite, .onnx or .xml (OpenVINO), or the folder of a SavedModel"
    )
    kinds = "; ".join(f"{name}: {mode.summary}" for name, mode in QUANTIZATIONS.items())
    sub.add_argument("--quantize", choices=tuple(QUANTIZATIONS), help=f"numbers in a .tflite file (default: float32). {kinds}")
    sub.add_argument("--dataset", help="compare on its held-out part, and calibrate integers on its training part")
    sub.add_argument("--data-dir", help="folder of tensorflow-datasets")
    sub.add_argument(
        "--limit",
        action="append",
        type=_limit,
        default=[],
        metavar="NAME=VALUE",
        help="what a .tflite file may lose: largest or mean difference in probability, least agreement of top-1, or accuracy",
    )
    sub.add_argument("--keep-failed", action="store_true", help="keep a .tflite file that loses more")
    sub.add_argument("--gates", metavar="LAYER", help="a layer with one gate a channel, a second output of a .tflite file")

    sub = add(_benchmark, "saved_models/seresnet20_digits/model.keras saved_models/seresnet20_digits/model.tflite --threads 1 2")
    sub.add_argument("networks", nargs="+", metavar="FILE", help="a .tflite file, a .keras file, or the folder of a SavedModel")
    sub.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N", help="numbers of threads (default: 1)")
    sub.add_argument("--xnnpack", choices=("on", "off"), nargs="+", default=["on"], help="on, off or both (default: on)")
    sub.add_argument("--rounds", type=int, default=30, help="how often each is timed, in turn (default: 30)")
    sub.add_argument("--dataset", help="measure accuracy, too: a dataset, as of evaluate, whose held-out part is taken")
    sub.add_argument("--data-dir", help="folder of tensorflow-datasets")
    sub.add_argument("--picture", metavar="FILE.png", help="draw accuracy over latency; needs --dataset")
    _add_json(sub)

    sub = add(_gates, "saved_models/seresnet20_digits/model.keras --dataset digits --classes 1 3 8 --output runs/gates")
    sub.add_argument(
        "network", metavar="RUN", help="the folder of a run, a .keras file, or a name from keras-senet models --checkpoints"
    )
    sub.add_argument("--dataset", required=True, help="name of a tensorflow-datasets dataset, or a folder of images")
    sub.add_argument("--split", default="validation", help="part to read the gates for, or all (default: validation)")
    sub.add_argument("--data-dir", help="folder of tensorflow-datasets")
    sub.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")
    sub.add_argument("--classes", nargs="+", metavar="CLASS", help="classes to draw (default: the first four)")
    sub.add_argument("--output", help="folder for pictures and gates.csv (default: RUN/gates, or beside the file)")
    _add_json(sub)

    sub = add(_convert, "se_resnet50-ce0d4300.pth se_resnet50.keras --model SEResNet50")
    sub.add_argument("weights", metavar="WEIGHTS", help=f"a file that ends in one of {', '.join(SUFFIXES)}")
    sub.add_argument("output", metavar="OUTPUT", help="the .keras file to write")
    sub.add_argument("--model", required=True, help="name of the network that the weights are for (required)")
    sub.add_argument("--classes", type=int, help="number of its classes (default: 1000, or 10 for the networks for CIFAR)")
    sub.add_argument("--image-size", type=int, help="height and width of its images, pixels (default: the network's)")
    return parser


def _add_json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print JSON")


def _add_network(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "network",
        metavar="NETWORK",
        help="a .keras file, a .tflite file, the folder of a SavedModel, or a name from keras-senet models --checkpoints",
    )
    sub.add_argument("--image-size", type=int, help="height and width of the image, pixels (default: the network's)")
    sub.add_argument(
        "--crop-ratio", type=float, help="share of the image's shorter side to look at (default: the network's, or by image size)"
    )
    sub.add_argument(
        "--interpolation", choices=INTERPOLATIONS, help="how that square is resized (default: the network's, or bilinear)"
    )


def _add_recipe(sub: argparse.ArgumentParser, only_of_the_network: bool = False) -> None:
    """One flag for each field of the recipe, or for those that the network's constructor takes."""
    from keras_senet.layers.attention import AttentionConfig
    from keras_senet.settings import flat_fields
    from keras_senet.training import Recipe

    for field in flat_fields(AttentionConfig if only_of_the_network else Recipe):
        required = field.default is dataclasses.MISSING
        text = field.metadata["help"] + (" (required)" if required else f" (default: {_as_text(field.default)})")
        options = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%"), "choices": field.metadata["choices"]}
        if field.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif field.type == tuple[int, ...] | None:
            options |= {"type": int, "nargs": "+"}
        elif isinstance(field.type, types.UnionType):
            options["type"] = _or_none(typing.get_args(field.type)[0])
        else:
            options["type"] = field.type
        sub.add_argument(f"--{field.name.replace('_', '-')}", **options)


def _limit(text: str) -> tuple[str, float]:
    from keras_senet.export import Limits

    name, _, value = text.partition("=")
    names = [field.name for field in dataclasses.fields(Limits)]
    try:
        return names[names.index(name)], float(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)} with =VALUE. Received: {text}") from error


def _or_none(kind: type):
    def convert(text: str):
        return None if text == "none" else kind(text)

    convert.__name__ = kind.__name__  # for argparse's message
    return convert


def _as_text(value) -> str:
    return "none" if value is None else str(value)


def _print_json(value) -> None:
    print(json.dumps(value, indent=2))


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    # A pipe has no width: lines are as long as they are.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


def _models(options) -> None:
    """List the networks, or the published weights for them."""
    from keras_senet.models.registry import find_model, list_models

    if options.checkpoints:
        _list_checkpoints(options.json)
        return
    summaries = {name: inspect.getdoc(find_model(name)).splitlines()[0] for name in list_models()}
    if options.json:
        _print_json(summaries)
    else:
        _print_table(["network", ""], [list(row) for row in summaries.items()])


def _list_checkpoints(as_json: bool) -> None:
    from keras_senet.models import list_checkpoints

    checkpoints = list_checkpoints()
    if as_json:
        _print_json([dataclasses.asdict(one) | {"url": one.url, "architecture": one.architecture} for one in checkpoints])
        return
    rows = []
    for one in checkpoints:
        accuracy = ["" if percent is None else f"{percent:.2f}" for percent in (one.top1, one.top5)]
        image = [str(one.input_size), f"{one.crop_ratio:g}", one.interpolation]
        rows.append([one.model, one.tag, one.name, *image, f"{one.classes:,}", *accuracy, one.license])
    _print_table(
        ["network", "tag", "name", "pixels", "crop ratio", "interpolation", "classes", "top-1 %", "top-5 %", "license"], rows
    )


def _info(options) -> None:
    """Show what a network costs for one image, layer by layer: parameters, multiply-adds, activations and memory."""
    import keras

    from keras_senet.analysis import profile
    from keras_senet.inference.runtimes import load_keras_model
    from keras_senet.layers.attention import AttentionConfig
    from keras_senet.models.build import image_shape
    from keras_senet.models.registry import find_model

    if options.paper == bool(options.model):
        raise InputError("Give the name of a network, a .keras or a .tflite file, or --paper. See: keras-senet info --help")
    shape = None if options.image_size is None else image_shape(options.image_size)
    names = {field.name for field in dataclasses.fields(AttentionConfig)}
    chosen = {name: value for name, value in vars(options).items() if name in names}
    file = bool(options.model) and options.model.endswith((".keras", ".tflite"))
    if (chosen and (file or options.paper)) or (shape and options.paper):
        flags = [f"--{name.replace('_', '-')}" for name in chosen] + ["--image-size"] * bool(shape and options.paper)
        raise InputError(f"{' and '.join(flags)}: only for the name of a network. Received: {options.model or '--paper'}")
    if file and options.model.endswith(".tflite"):
        _show_metadata(options.model, options.json)
        return
    if file:
        model = load_keras_model(options.model)
        _show_cost(model, profile(model, shape), options.json)
        return
    # Shapes are all that is needed of a network that is built for this: its weights never get values.
    with keras.StatelessScope(initialize_variables=False):
        if options.paper:
            _compare_with_paper(options.json)
        else:
            model = find_model(options.model)(weights=None, input_shape=shape, **chosen)
            _show_cost(model, profile(model), options.json)
    keras.utils.clear_session()  # else Keras would give them values at the next opportunity


def _show_metadata(path: str, as_json: bool) -> None:
    from keras_senet.export.metadata import describe

    metadata = describe(existing_path(path))
    if as_json:
        _print_json(metadata)
        return
    if not metadata:
        raise InputError(f"{path} has no metadata. Export it again: keras-senet export NETWORK {path}")
    labels, preprocessing = metadata.pop("labels"), metadata.pop("preprocessing")
    metadata["normalization"] = f"(pixel - {metadata.pop('mean')}) / {metadata.pop('std')} before the network"
    metadata["image"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in preprocessing.items())
    metadata["classes"] = f"{len(labels)}: " + ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
    _print_table(["metadata", ""], [list(row) for row in metadata.items()])


def _show_cost(model, cost, as_json: bool) -> None:
    blocks = sum(layer.name.endswith("_se") for layer in cost.layers)
    if as_json:
        info = {
            "name": model.name,
            **dataclasses.asdict(cost.total),
            "input_shape": list(model.input_shape[1:]),
            "output_shape": list(model.output_shape[1:]),
            "se_blocks": blocks,
            "se": dataclasses.asdict(cost.attention),
            "layers": [dataclasses.asdict(layer) for layer in cost.layers],
        }
        _print_json(info)
        return

    def cells(cost, *shares: str) -> list[str]:
        texts = [f"{number:,}" for number in (cost.parameters, cost.multiply_adds, cost.activations)]
        texts.append(f"{cost.memory / 2**20:,.1f} MiB")
        return [" ".join(pair) for pair in zip(texts, shares, strict=True)] if shares else texts

    rows = []
    for layer in cost.layers:
        output = " x ".join(map(str, layer.output_shape[1:]))
        rows.append([layer.name, layer.kind, output, *cells(layer), "" if layer.counted else "multiply-adds not known"])
    costs = zip(dataclasses.astuple(cost.attention), dataclasses.astuple(cost.total), strict=True)
    shares = [f"({part / max(1, whole):.2%})" for part, whole in costs]
    rows.append([f"{model.name}, in total", "", "", *cells(cost.total), ""])
    rows.append([f"of that in {blocks} SE blocks", "", "", *cells(cost.attention, *shares), ""])
    _print_table(["layer", "", "output", "parameters", "multiply-adds", "activations", "memory", ""], rows)


def _compare_with_paper(as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import track

    from keras_senet.analysis.paper_tables import ROWS, compare

    comparisons = [compare(row) for row in track(ROWS, "Counting", console=Console(stderr=True), transient=True)]
    if as_json:
        _print_json([dataclasses.asdict(comparison) for comparison in comparisons])
        return
    marks = {None: "", True: "equal", False: "not equal"}
    for table, group in itertools.groupby(comparisons, lambda comparison: comparison.row.table):
        rows = []
        for one in group:
            row = one.row
            mega = row.multiply_adds.endswith("M")
            ours = (f"{one.parameters:,}", f"{one.multiply_adds / 1e6:,.1f} M" if mega else f"{one.multiply_adds / 1e9:,.3f} G")
            theirs = (row.parameters, row.multiply_adds)
            mark = ", ".join(filter(None, (marks[one.equal], one.reading, row.remark)))
            rows.append([row.network, row.published, ours[0], theirs[0], ours[1], theirs[1], mark])
        _print_table([table, "", "parameters", "paper", "multiply-adds", "paper", ""], rows)
        print()


def _train(options) -> None:
    """Train a network and keep all that the run made in one folder."""
    from keras_senet.settings import flat_fields
    from keras_senet.training import RECIPES, Recipe, read_recipe, train

    names = {field.name for field in flat_fields(Recipe)}
    chosen, given = {}, {name: value for name, value in vars(options).items() if name in names}
    config = options.config
    if options.resume and not (config or options.recipe or given):
        config = os.path.join(options.output, "config.json")
    if config is not None:
        if options.recipe:
            raise InputError("--recipe says what --config says already: leave one of them out.")
        chosen = read_recipe(existing_path(config)).flat()
    chosen |= given
    missing = [f"--{name}" for name in ("model", "dataset") if name not in chosen]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given. See: keras-senet train --help")
    make = RECIPES[options.recipe] if options.recipe else Recipe.of
    where = ("resume", "save_every", "keep", "strategy", "hosts", "worker", "data_service")
    measured = train(make(**chosen), options.output, **{name: getattr(options, name) for name in where})
    for name, result in measured.items():
        print(f"{options.output}/{name}.keras: top-1 accuracy {result['top1']:.2%}, epoch {result['epoch']}")


def _evaluate(options) -> None:
    """Measure the accuracy of a network, trained or exported."""
    from keras_senet import data, training
    from keras_senet.plots.confusion import draw_confusion

    if options.labels and options.confusion:
        raise InputError("--labels and --confusion: where an image has several labels, none is taken for another. Choose one.")
    images = data.load(options.dataset, options.split, options.data_dir)
    measured = training.evaluate(
        _open_classifier(options), images, options.batch_size, ten_crop=options.ten_crop, labels=options.labels
    )
    summary = measured.summary()
    if options.json:
        _print_json(summary | ({} if options.labels else {"per_class": measured.per_class}))
    else:
        texts = {"images": "{}", "top1": "{:.2%}", "top5": "{:.2%}", "loss": "{:.4f}", "calibration_error": "{:.4f}"}
        titles = {"top1": "top-1", "top5": "top-5", "calibration_error": "calibration error"}
        row = [texts[name].format(value) for name, value in summary.items()]
        _print_table([titles.get(name, name) for name in summary], [row])
    if options.confusion:  # last: what may have taken hours is said whatever becomes of the picture
        draw_confusion(measured.confusion, images.class_names, options.confusion)


def _open_classifier(options):
    """The network that the command names, looking at what the command says."""
    from keras_senet import export

    classifier = export.open_classifier(options.network, options.image_size)
    chosen = {name: value for name in ("crop_ratio", "interpolation") if (value := getattr(options, name)) is not None}
    return dataclasses.replace(classifier, preprocessing=dataclasses.replace(classifier.preprocessing, **chosen))


def _predict(options) -> None:
    """Classify images: the most probable classes of each."""
    import numpy as np

    from keras_senet import data
    from keras_senet.plots.predictions import draw_predictions

    if options.top < 1:
        raise InputError(f"--top must be at least 1. Received: {options.top}")
    classifier = _open_classifier(options)
    files = data.list_images(options.images)
    predictions, pictured = [], []
    for file in files:
        image = data.read_image(file, classifier.preprocessing).numpy()
        if options.picture:
            pictured.append(image)
        (probabilities,) = classifier.probabilities(image[np.newaxis])
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        classes = [{"class": classifier.class_names[index], "probability": float(probabilities[index])} for index in best]
        predictions.append({"image": str(file), "classes": classes})
    described = [[f"{one['class']} {one['probability']:.1%}" for one in row["classes"]] for row in predictions]
    if options.picture:
        draw_predictions(pictured, [names[0] for names in described], options.picture)
    if options.json:
        _print_json(predictions)
    else:
        ranks = [f"top {rank}" for rank in range(1, len(described[0]) + 1)]
        _print_table(["image", *ranks], [[row["image"], *names] for row, names in zip(predictions, described, strict=True)])


def _export(options) -> None:
    """Write a trained network as a file for a phone or a server, compared with it on images."""
    from keras_senet import data, export
    from keras_senet.inference.labels import read_labels
    from keras_senet.inference.runtimes import load_keras_model

    suffix, write = pathlib.Path(options.output).suffix, export.exporter_for(options.output)
    chosen = {name: getattr(options, name) for name in ("quantize", "keep_failed", "gates") if getattr(options, name)}
    if suffix != ".tflite" and (chosen or options.limit):
        flags = [f"--{name.replace('_', '-')}" for name in chosen] or ["--limit"]
        raise InputError(f"{', '.join(flags)}: only for .tflite. Received: {options.output}")
    model = load_keras_model(options.network)
    class_names = read_labels(pathlib.Path(options.network), model.output_shape[-1])
    images = None
    if options.dataset:
        images = data.load(options.dataset, "validation", options.data_dir)
        if suffix == ".tflite":
            chosen["calibration"] = data.load(options.dataset, "train", options.data_dir)
    if options.limit:
        limits = export.QUANTIZATIONS[options.quantize or "float32"].limits
        chosen["limits"] = dataclasses.replace(limits, **dict(options.limit))
    proof = write(model, options.output, class_names, images, **chosen)
    print(f"{options.output} was made from {options.network}" + (f": {proof}." if proof else "."))


def _benchmark(options) -> None:
    """Measure what networks cost where they run, side by side: time, memory, size, and operators that XNNPACK did not take."""
    from keras_senet import data, export, training
    from keras_senet.plots.tradeoff import draw_tradeoff

    if options.dataset is None and (options.picture or options.data_dir):
        raise InputError("--picture and --data-dir are about accuracy: say with --dataset what that is measured on.")
    images = options.dataset and data.load(options.dataset, "validation", options.data_dir)
    xnnpack = [choice == "on" for choice in options.xnnpack]
    measurements = export.benchmark(options.networks, options.threads, xnnpack, options.rounds)
    found = [dataclasses.asdict(one) for one in measurements]
    if images:
        accuracies = {path: training.evaluate(export.open_classifier(path), images).top1 for path in options.networks}
        found = [one | {"top1": accuracies[one["network"]]} for one in found]
    if options.json:
        _print_json(found)
    else:
        columns = ["network", "threads", "XNNPACK", "median ms", "90 % ms", "to first", "peak MiB", "file MiB", "operators"]
        _print_table([*columns, "not delegated", *["top-1"] * bool(images)], [_measured_cells(**one) for one in found])
    if options.picture:  # last, as in evaluation
        draw_tradeoff(measurements, accuracies, options.picture)


def _measured_cells(
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


def _gates(options) -> None:
    """Show what the gates of a network do with images: a table by layer, pictures, and the numbers of each channel."""
    from keras_senet import analysis, data, export
    from keras_senet.analysis.statistics import class_indices
    from keras_senet.training.evaluation import check_classes

    network = pathlib.Path(options.network)
    folder = options.output or (network / "gates" if network.is_dir() else network.with_name(f"{network.stem}_gates"))
    classifier = export.open_classifier(network / "last.keras" if network.is_dir() else network)
    if classifier.model is None:
        raise InputError(f"{network} has no layers to read, as it was exported: give the .keras file that it was made from.")
    images = data.load(options.dataset, options.split, options.data_dir)
    check_classes(classifier, images)
    class_indices(options.classes or [], images.class_names)  # now, not after all images
    batches = data.evaluation_batches(images, classifier.preprocessing, options.batch_size)
    with data.plain_errors():
        statistics = analysis.gate_statistics(classifier.model, batches, images.class_names)
    layers = [layer.summary() for layer in statistics.layers]
    if options.json:
        _print_json(layers)
    else:
        texts = {"mean": "{:.3f}", "spread": "{:.3f}", "off": "{:.1%}", "on": "{:.1%}", "separability": "{:.3f}"}
        rows = [[texts.get(name, "{}").format(value) for name, value in layer.items()] for layer in layers]
        _print_table([name.replace("_", " ") for name in layers[0]], rows)
    analysis.write_gates(statistics, folder, options.classes)
    if not options.json:
        print(f"The pictures, and gates.csv with the numbers of each channel, are in {folder}.")


def _convert(options) -> None:
    """Turn weights of PyTorch or Caffe, of a network as timm or the authors have it, into a .keras file."""
    from keras_senet.files import replacing
    from keras_senet.models.build import image_shape
    from keras_senet.models.registry import find_model

    if not options.output.endswith(".keras"):
        raise InputError(f"OUTPUT must end in .keras. Received: {options.output}")
    shape = None if options.image_size is None else image_shape(options.image_size)
    weights = existing_path(options.weights)
    model = find_model(options.model)(weights=weights, classes=options.classes, input_shape=shape)
    with replacing(options.output) as partial:
        model.save(partial)
    print(f"{options.output} is {model.name} with the weights of {options.weights}.")
