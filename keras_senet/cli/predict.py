"""keras-senet predict: what is in these images."""

import argparse

from keras_senet.cli.arguments import add_json, add_network, open_network
from keras_senet.cli.output import print_json, print_table
from keras_senet.errors import InputError

HELP = "Classify images: the most probable classes of each."
EXAMPLE = "saved_models/seresnet20_digits/model.tflite examples/digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image, or a folder of images")
    parser.add_argument("--top", type=int, default=3, help="how many classes to show (default: 3)")
    parser.add_argument("--picture", metavar="FILE.png", help="draw the images with their classes")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    import numpy as np

    from keras_senet import data
    from keras_senet.plots.predictions import draw_predictions

    if options.top < 1:
        raise InputError(f"--top must be at least 1. Received: {options.top}")
    classifier = open_network(options)
    files = data.list_images(options.images)
    predictions: list[dict] = []
    pictured: list[np.ndarray] = []
    for file in files:
        image = data.read_image(file, classifier.preprocessing).numpy()
        if options.picture:
            pictured.append(image)
        (probabilities,) = classifier.probabilities(image[np.newaxis])
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        classes = [{"class": classifier.class_names[index], "probability": float(probabilities[index])} for index in best]
        predictions.append({"image": str(file), "classes": classes})
    texts = [[f"{each['class']} {each['probability']:.1%}" for each in prediction["classes"]] for prediction in predictions]
    if options.picture:
        draw_predictions(pictured, [classes[0] for classes in texts], options.picture)
    if options.json:
        print_json(predictions)
    else:
        ranks = [f"top {rank}" for rank in range(1, len(texts[0]) + 1)]
        rows = [[prediction["image"], *classes] for prediction, classes in zip(predictions, texts, strict=True)]
        print_table(["image", *ranks], rows)
