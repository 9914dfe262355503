"""keras-senet info: what a network costs, or what a .tflite file says about itself, or our numbers beside the paper's."""

import argparse
import dataclasses

from keras_senet.cli.arguments import add_json, add_settings, as_flag
from keras_senet.cli.output import print_json, print_table
from keras_senet.errors import InputError, existing_path

HELP = "Show what a network costs for one image, layer by layer: parameters, multiply-adds, activations and memory."
EXAMPLE = "SEResNet50 --reduction 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from keras_senet.layers.attention import AttentionConfig

    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="name of a network, a .keras file, or a .tflite file for its metadata"
    )
    parser.add_argument("--paper", action="store_true", help="show the paper's tables beside our networks instead")
    parser.add_argument("--image-size", type=int, help="height and width of the image, pixels (default: the network's)")
    add_json(parser)
    add_settings(parser.add_argument_group("attention"), dataclasses.fields(AttentionConfig))


def run(options: argparse.Namespace) -> None:
    import keras

    from keras_senet.analysis import profile
    from keras_senet.cli.paper import show_tables
    from keras_senet.inference.runtimes import load_keras_model
    from keras_senet.layers.attention import AttentionConfig
    from keras_senet.models.build import image_shape
    from keras_senet.models.registry import find_model

    if options.paper == bool(options.model):
        raise InputError("Give the name of a network, a .keras or a .tflite file, or --paper. See: keras-senet info --help")
    shape = None if options.image_size is None else image_shape(options.image_size)
    names = {field.name for field in dataclasses.fields(AttentionConfig)}
    attention = {name: value for name, value in vars(options).items() if name in names}
    is_file = bool(options.model) and options.model.endswith((".keras", ".tflite"))
    if (attention and (is_file or options.paper)) or (shape and options.paper):
        flags = [as_flag(name) for name in attention] + ["--image-size"] * bool(shape and options.paper)
        raise InputError(f"{' and '.join(flags)}: only for the name of a network. Received: {options.model or '--paper'}")
    if is_file and options.model.endswith(".tflite"):
        _show_metadata(options.model, options.json)
        return
    if is_file:
        model = load_keras_model(options.model)
        _show_cost(model, profile(model, shape), options.json)
        return
    # A profile needs shapes alone, so the weights never get values.
    with keras.StatelessScope(initialize_variables=False):
        if options.paper:
            show_tables(options.json)
        else:
            model = find_model(options.model)(weights=None, input_shape=shape, **attention)
            _show_cost(model, profile(model), options.json, find_model(options.model).architecture.family)
    keras.utils.clear_session()  # else Keras would initialize them at the next opportunity


def _show_metadata(path: str, as_json: bool) -> None:
    from keras_senet.export.metadata import describe

    metadata = describe(existing_path(path))
    if as_json:
        print_json(metadata)
        return
    if not metadata:
        raise InputError(f"{path} has no metadata. Export it again: keras-senet export NETWORK {path}")
    labels, preprocessing, thresholds = (metadata.pop(name) for name in ("labels", "preprocessing", "thresholds"))
    metadata["normalization"] = f"(pixel - {metadata.pop('mean')}) / {metadata.pop('std')} before the network"
    metadata["image"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in preprocessing.items())
    metadata["classes"] = f"{len(labels)}: " + ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
    if thresholds:
        shown = ", ".join(f"{threshold:.3f}" for threshold in thresholds[:10])
        metadata["thresholds"] = shown + (", ..." if len(thresholds) > 10 else "")
    print_table(["metadata", ""], metadata.items())


def _show_cost(model, cost, as_json: bool, family: str | None = None) -> None:
    blocks = cost.attention_blocks
    if as_json:
        info = {
            "name": model.name,
            "family": family,
            **dataclasses.asdict(cost.total),
            "input_shape": list(model.input_shape[1:]),
            "output_shape": list(model.output_shape[1:]),
            "se_blocks": blocks,
            "se": dataclasses.asdict(cost.attention),
            "layers": [dataclasses.asdict(layer) for layer in cost.layers],
        }
        print_json(info)
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
    rows.append([f"{model.name}, in total", "" if family is None else f"family {family}", "", *cells(cost.total), ""])
    rows.append([f"of that in {blocks} SE blocks", "", "", *cells(cost.attention, *shares), ""])
    print_table(["layer", "", "output", "parameters", "multiply-adds", "activations", "memory", ""], rows)
