"""keras-senet explain: where a network looks in these images, and which channels its gates open."""

import argparse
import dataclasses

from keras_senet.cli.arguments import add_json, add_network, open_classifier, tell_note
from keras_senet.cli.images import Images, add_images
from keras_senet.cli.output import print_json, print_table
from keras_senet.errors import InputError
from keras_senet.files import check_place

HELP = "Show where a network looks in images (Grad-CAM), and which channels its gates open."
EXAMPLE = "saved_models/seresnet20_digits/model.keras examples/digits --picture looks.png"

_CLASSES = 3  # the most probable ones
_PICTURED = 20  # images in a picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    add_images(parser)
    parser.add_argument(
        "--class", dest="class_name", metavar="CLASS", help=f"the class to look for (default: the {_CLASSES} most probable)"
    )
    parser.add_argument(
        "--layer",
        help="layer whose feature map to read (default: the last before pooling; earlier ones are finer, but say less)",
    )
    parser.add_argument("--picture", metavar="FILE.png", help=f"draw the heat over the first {_PICTURED} images, and the gates")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Explains one image after the other.

    Returns:
        The exit status: 1 if some images could not be read; they are named.
    """
    import numpy as np

    from keras_senet.analysis import HotRegion, grad_cam
    from keras_senet.analysis.gate_reader import GateReader, has_gates, last_of_stages
    from keras_senet.analysis.statistics import class_indices
    from keras_senet.plots.explanation import Explained, draw_explanations

    if options.picture:
        check_place(options.picture)
    classifier = open_classifier(options)
    if classifier.model is None:
        raise InputError(
            f"{options.network} has no gradients to follow, as it was exported: give the .keras file that it was made from."
        )
    tell_note(classifier)
    names = classifier.class_names
    chosen = class_indices([options.class_name], names) if options.class_name is not None else None
    reader = GateReader(classifier.model, average=True) if has_gates(classifier.model) else None
    images = Images(options, classifier.preprocessing)
    pictured: list[Explained] = []
    found: list[dict] = []
    for file, image, reason in images:
        if image is None:
            found.append({"image": str(file), "error": reason})
            continue
        (probabilities,) = classifier.probabilities(image[np.newaxis])
        classes = chosen or np.argsort(-probabilities, kind="stable")[:_CLASSES].tolist()
        heat = grad_cam(classifier.model, np.stack([image] * len(classes)), classes, options.layer)
        gates = {} if reader is None else last_of_stages(reader.predict_on_batch(image[np.newaxis]))
        gates = {name: values[0] for name, values in gates.items()}
        regions = [HotRegion.of(each) for each in heat]
        found.append(
            {
                "image": str(file),
                "classes": [
                    {
                        "class": names[index],
                        "probability": float(probabilities[index]),
                        "region": region and dataclasses.asdict(region),
                    }
                    for index, region in zip(classes, regions, strict=True)
                ],
                "gates": [_opened(name, values) for name, values in gates.items()],
            }
        )
        if not options.json:
            _print(found[-1])
        if options.picture and len(pictured) < _PICTURED:
            captions = [_text(each) for each in found[-1]["classes"]]
            pictured.append(Explained(file.name, image, list(zip(captions, heat, strict=True)), gates))
    if options.json:
        print_json(found)
    if pictured:
        draw_explanations(pictured, options.picture)
    return images.status()


def _opened(layer: str, gates) -> dict:
    """A layer's gates `(C,)` in a few numbers."""
    from keras_senet.plots.explanation import widest

    open_widest = [{"channel": channel, "gate": float(gates[channel])} for channel in widest(gates)]
    return {"layer": layer, "channels": len(gates), "mean": float(gates.mean()), "widest": open_widest}


def _text(found: dict) -> str:
    return f"{found['class']} {found['probability']:.1%}"


def _print(found: dict) -> None:
    """Prints what was found in one image."""
    print(f"{found['image']}")
    rows = []
    for each in found["classes"]:
        if each["region"] is None:
            rows.append([_text(each), "nowhere: nothing at this layer speaks for it", "", ""])
            continue
        left, top, right, bottom = each["region"]["box"]
        box = f"{left:.0%} to {right:.0%} from the left, {top:.0%} to {bottom:.0%} from the top"
        rows.append([_text(each), _place(each["region"]["center"]), box, f"{each['region']['heat']:.0%}"])
    print_table(["class", "looks at", "hottest region", "its share of the heat"], rows)
    if found["gates"]:
        rows = [
            [
                each["layer"],
                str(each["channels"]),
                f"{each['mean']:.2f}",
                ", ".join(f"{one['channel']} ({one['gate']:.2f})" for one in each["widest"]),
            ]
            for each in found["gates"]
        ]
        print_table(["gates", "channels", "mean", "channels open widest"], rows)
    print()


def _place(center: tuple[float, float]) -> str:
    """Where the center of the heat is, in words: in which of three columns and three rows."""
    column, row = (min(2, int(3 * share)) for share in center)
    words = " ".join(filter(None, [("top", "", "bottom")[row], ("left", "", "right")[column]]))
    return words or "center"
