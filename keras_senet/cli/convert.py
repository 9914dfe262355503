"""keras-senet convert: weights of another framework as a .keras file."""

import argparse

from keras_senet.errors import InputError, existing_path

HELP = "Turn weights of PyTorch or Caffe, of a network as timm or the authors have it, into a .keras file."
EXAMPLE = "se_resnet50-ce0d4300.pth se_resnet50.keras --model SEResNet50"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from keras_senet.pretrained import SUFFIXES

    parser.add_argument("weights", metavar="WEIGHTS", help=f"a file that ends in one of {', '.join(SUFFIXES)}")
    parser.add_argument("output", metavar="OUTPUT", help="the .keras file to write")
    parser.add_argument("--model", required=True, help="name of the network that the weights are for (required)")
    parser.add_argument("--classes", type=int, help="number of its classes (default: 1000, or 10 for the networks for CIFAR)")
    parser.add_argument("--image-size", type=int, help="height and width of its images, pixels (default: the network's)")


def run(options: argparse.Namespace) -> None:
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
