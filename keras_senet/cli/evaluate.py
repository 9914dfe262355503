"""keras-senet evaluate: how often a network is right."""

import argparse
import sys

from keras_senet.cli.arguments import (
    add_dataset,
    add_json,
    add_network,
    add_threshold,
    as_flag,
    check_dataset,
    load_dataset,
    open_network,
    tell_note,
)
from keras_senet.cli.output import print_json, print_table
from keras_senet.errors import InputError

HELP = "Measure how good a network is, trained or exported: its accuracy, average precision, or intersection over union."
EXAMPLE = "saved_models/seresnet20_digits/model.tflite --dataset digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from keras_senet.data import VIEWS

    add_network(parser)
    add_dataset(parser, split="part to evaluate on")
    parser.add_argument(
        "--views",
        type=int,
        default=1,
        choices=VIEWS,
        help="average the probabilities of the center and its mirror image (2), or of the corners, too (10) (default: 1)",
    )
    parser.add_argument(
        "--labels", metavar="FILE.json", help="labels in place of the dataset's, several an image, as those of ReaL"
    )
    parser.add_argument("--confusion", metavar="FILE.png", help="draw which class is taken for which")
    add_threshold(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from keras_senet import data, training
    from keras_senet.export import Classifier
    from keras_senet.inference.opening import task_for
    from keras_senet.plots.confusion import draw_confusion
    from keras_senet.training.evaluation import with_classes_of

    if options.labels and options.confusion:
        raise InputError("--labels and --confusion: where an image has several labels, none is taken for another. Choose one.")
    check_dataset(options)
    network = open_network(options)
    images = load_dataset(options, task_for(network))
    if not isinstance(network, Classifier):
        _refuse(options, {"views": 1, "labels": None, "confusion": None, "threshold": None})
    elif options.threshold is not None and not images.multi_label:
        raise InputError("--threshold is for images that can have several labels. These have one each.")
    if options.confusion and images.multi_label:
        raise InputError("--confusion: where an image can have several labels, none is taken for another.")
    tell_note(network)
    if not options.labels:  # which count the classes in the order of the data
        images = with_classes_of(network, images)
    print(data.contents({options.split: images}), end="\n\n", file=sys.stderr if options.json else sys.stdout, flush=True)
    measured = training.evaluate(network, images, options.batch_size, views=options.views, labels=options.labels)
    summary = measured.summary()
    if options.json:
        print_json(summary | ({} if options.labels else {"per_class": measured.per_class}))
    else:
        texts = {"images": "{}", "loss": "{:.4f}", "calibration_error": "{:.4f}"}
        titles = {"top1": "top-1", "top5": "top-5", "calibration_error": "calibration error"}
        titles |= {"map": "mAP", "micro_f1": "micro F1", "macro_f1": "macro F1"}
        titles |= {"ap": "average precision", "ap50": "at an overlap of 0.5", "ap75": "of 0.75"}
        titles |= {"mean_iou": "mean IoU", "accuracy": "pixels that are right"}
        row = [texts.get(name, "{:.2%}").format(value) for name, value in summary.items()]
        print_table([titles.get(name, name) for name in summary], [row])
        if isinstance(measured, training.MultiLabelEvaluation):
            print()
            rows = [
                [name, f"{of['images']:,}", f"{of['average_precision']:.2%}", f"{of['f1']:.2%}", f"{of['threshold']:.3f}"]
                for name, of in measured.per_class.items()
            ]
            print_table(["class", "images", "average precision", "F1", "threshold"], rows)
        elif isinstance(measured, training.DetectionEvaluation | training.SegmentationEvaluation):
            print()
            measure = "average precision" if isinstance(measured, training.DetectionEvaluation) else "IoU"
            print_table(["class", measure], [[name, f"{value:.2%}"] for name, value in measured.per_class.items()])
    # Last: a picture that fails must not cost the numbers, which may have taken hours.
    if options.confusion and isinstance(measured, training.Evaluation):
        draw_confusion(measured.confusion, measured.class_names, options.confusion)


def _refuse(options: argparse.Namespace, defaults: dict) -> None:
    """Raises a ValueError if any of these options is given."""
    given = [as_flag(name) for name, default in defaults.items() if getattr(options, name) != default]
    if given:
        raise InputError(f"{' and '.join(given)}: only for image classifiers. {options.network} is none.")
