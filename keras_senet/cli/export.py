"""keras-senet export: a trained network as a file for another program."""

import argparse
import dataclasses
import pathlib

from keras_senet.cli.arguments import add_data_dir, as_flag, one_of
from keras_senet.errors import InputError, did_you_mean

HELP = "Write a trained network as a file for a phone or a server, compared with it on images."
EXAMPLE = "runs/digits/last.keras digits.tflite"

# Arguments of a .tflite file alone, with their defaults.
_TFLITE = {"quantize": "float32", "limit": [], "keep_failed": False, "gates": None}
# Those of a SavedModel alone.
_SAVED_MODEL = {"signature": "both"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from keras_senet.export import EXPORTERS, QUANTIZATIONS
    from keras_senet.export.to_saved_model import SIGNATURES

    parser.add_argument("network", metavar="NETWORK", help="a .keras file")
    parser.add_argument(
        "output", metavar="OUTPUT", help=f"a name that ends in {', '.join(EXPORTERS)}, or the folder of a SavedModel"
    )
    parser.add_argument("--dataset", help="compare on its validation split, and calibrate integers on its training split")
    add_data_dir(parser)
    group = parser.add_argument_group(".tflite files")
    summaries = "; ".join(f"{name}: {mode.summary}" for name, mode in QUANTIZATIONS.items())
    group.add_argument("--quantize", **one_of(QUANTIZATIONS), help=f"kind of numbers (default: float32). {summaries}")
    group.add_argument(
        "--limit",
        action="append",
        type=_limit,
        metavar="NAME=VALUE",
        help="what the file may lose: largest or mean difference in probability, least agreement of classes, or accuracy",
    )
    group.add_argument("--keep-failed", action="store_true", help="keep a file that loses more")
    group.add_argument("--gates", metavar="LAYER", help="a layer with one gate a channel, a second output")
    group = parser.add_argument_group("SavedModels")
    group.add_argument(
        "--signature",
        **one_of(SIGNATURES),
        help="both (default): for pixels and for encoded images; pixels: one alone, for converters that take no other",
    )
    parser.set_defaults(**_TFLITE, **_SAVED_MODEL)


def _limit(text: str) -> tuple[str, float]:
    from keras_senet.export import Limits

    name, _, value = text.partition("=")
    names = [field.name for field in dataclasses.fields(Limits)]
    try:
        return names[names.index(name)], float(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be one of {', '.join(names)} with =VALUE, a number. Received: {text}.{did_you_mean(name, names)}"
        ) from error


def run(options: argparse.Namespace) -> None:
    from keras_senet import data, export
    from keras_senet.inference.labels import class_count, class_names_in, known_class_names
    from keras_senet.inference.runtimes import load_keras_model
    from keras_senet.inference.tasks import shapes_of, task_of

    exporter = export.exporter_for(options.output)
    suffix = pathlib.Path(options.output).suffix
    is_saved_model = exporter is export.saved_model
    _refuse(options, {} if suffix == ".tflite" else _TFLITE, "only for .tflite")
    _refuse(options, {} if is_saved_model else _SAVED_MODEL, "only for the folder of a SavedModel")
    model = load_keras_model(options.network)
    class_names, _ = known_class_names(options.network, class_names_in(model), class_count(model))
    task = task_of(*shapes_of(model))
    images = data.load(options.dataset, "validation", options.data_dir, task=task) if options.dataset else None
    more = {"signature": options.signature} if is_saved_model else {}
    if suffix == ".tflite":
        quantization = export.QUANTIZATIONS[options.quantize]
        more = {
            "quantize": options.quantize,
            "calibration": data.load(options.dataset, "train", options.data_dir, task=task) if options.dataset else None,
            "limits": dataclasses.replace(quantization.limits_for(task), **dict(options.limit)),
            "keep_failed": options.keep_failed,
            "gates": options.gates,
        }
    proof = exporter(model, options.output, class_names, images, **more)
    print(f"{options.output} was made from {options.network}" + (f": {proof}." if proof else "."))


def _refuse(options: argparse.Namespace, defaults: dict, why: str) -> None:
    """Raises a ValueError if any of these options is given."""
    given = [as_flag(name) for name, default in defaults.items() if getattr(options, name) != default]
    if given:
        raise InputError(f"{' and '.join(given)}: {why}. Received: {options.output}")
