"""keras-senet gates: what the gates of a network do with images."""

import argparse
import pathlib

from keras_senet.cli.arguments import add_dataset, add_json, load_dataset
from keras_senet.cli.output import print_json, print_table
from keras_senet.errors import InputError

HELP = "Show what the gates of a network do with images: a table by layer, pictures, and the numbers of each channel."
EXAMPLE = "saved_models/seresnet20_digits/model.keras --dataset digits --classes 1 3 8 --layers stage._block3_se"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "network", metavar="RUN", help="the folder of a run, a .keras file, or a name from keras-senet models --checkpoints"
    )
    add_dataset(parser, split="part to read the gates for")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="classes to draw (default: the first four)")
    parser.add_argument(
        "--layers", nargs="+", metavar="LAYER", help="layers to draw by class: names, or regular expressions (default: all)"
    )
    parser.add_argument(
        "--channels",
        type=int,
        help="channels of each layer to draw by class, evenly spaced, in their own order (default: all, sorted by their mean)",
    )
    parser.add_argument("--output", help="folder for pictures and gates.csv (default: RUN/gates, or beside the file)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from keras_senet import analysis, data, export
    from keras_senet.analysis.gate_reader import gate_names
    from keras_senet.analysis.statistics import chosen_layers, class_indices
    from keras_senet.plots.gates import check_channels
    from keras_senet.training.evaluation import with_classes_of

    network = pathlib.Path(options.network)
    folder = options.output or (network / "gates" if network.is_dir() else network.with_name(f"{network.stem}_gates"))
    classifier = export.open_classifier(network / "last.keras" if network.is_dir() else network)
    if classifier.model is None:
        raise InputError(f"{network} has no layers to read, as it was exported: give the .keras file that it was made from.")
    images = with_classes_of(classifier, load_dataset(options))
    # Whatever is misspelt fails now, not after all images.
    check_channels(options.channels)
    class_indices(options.classes or [], images.class_names)
    chosen_layers(options.layers or [], gate_names(classifier.model))
    batches = data.evaluation_batches(images, classifier.preprocessing, options.batch_size)
    with data.plain_errors():
        statistics = analysis.gate_statistics(classifier.model, batches, images.class_names)
    layers = [layer.summary() for layer in statistics.layers]
    if options.json:
        print_json(layers)
    else:
        texts = {"mean": "{:.3f}", "spread": "{:.3f}", "off": "{:.1%}", "on": "{:.1%}", "separability": "{:.3f}"}
        rows = [[texts.get(name, "{}").format(value) for name, value in layer.items()] for layer in layers]
        print_table([name.replace("_", " ") for name in layers[0]], rows)
    analysis.write_gates(statistics, folder, options.classes, options.layers, options.channels)
    if not options.json:
        print(f"The pictures, and gates.csv with the numbers of each channel, are in {folder}.")
