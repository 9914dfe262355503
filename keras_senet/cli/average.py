"""keras-senet average: one network from several, whose weights are the mean of theirs."""

import argparse

from keras_senet.cli.arguments import add_data_dir, folder_of_labels
from keras_senet.errors import InputError

HELP = "Average the weights of several networks: the last epochs of a run, or several runs from the same weights."
EXAMPLE = "runs/pets/states/*.npz --output pets.keras"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "networks",
        metavar="NETWORK",
        nargs="+",
        help="a .keras file; the folder of a run, for its last.keras; or one of the files in its folder states",
    )
    parser.add_argument("--output", required=True, metavar="FILE.keras", help="the file to write (required)")
    parser.add_argument(
        "--dataset",
        help="training images, from which batch normalization gets new statistics: name of a tensorflow-datasets dataset, or a "
        "folder of images (default: that of the first network's run)",
    )
    parser.add_argument(
        "--labels-csv", metavar="FILE.csv", help="a path and a label on each line, in place of folders for the classes"
    )
    parser.add_argument("--train-split", help="its training part (default: train, or that of the run)")
    add_data_dir(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (default: 64)")


def run(options: argparse.Namespace) -> None:
    from keras_senet.files import check_place, replacing
    from keras_senet.training import average
    from keras_senet.training.averaging import check_networks
    from keras_senet.training.network import normalizations

    if not options.output.endswith(".keras"):
        raise InputError(f"--output must end in .keras. Received: {options.output}")
    check_networks(options.networks, options.output)
    check_place(options.output)
    images = _training_images(options)
    soup = average(options.networks, images, batch_size=options.batch_size)
    with replacing(options.output) as partial:
        soup.save(partial)
    print(f"{options.output} is the mean of {len(options.networks)} networks.", end=" ")
    if images is not None and normalizations(soup):
        print(f"Batch normalization got new statistics from {images.size - len(images.damaged):,} training images.", end="")
    print()


def _training_images(options: argparse.Namespace):
    """The training images that the flags name, or else those of the first network's run; None if there is neither."""
    from keras_senet import data
    from keras_senet.training import read_recipe
    from keras_senet.training.averaging import run_of

    dataset, labels_csv = options.dataset or folder_of_labels(options.labels_csv), options.labels_csv
    split, data_dir = options.train_split or "train", options.data_dir
    if dataset is None:
        config = run_of(options.networks[0]).config
        if not config.exists():
            return None
        recipe = read_recipe(config)
        dataset, labels_csv = recipe.dataset, recipe.labels_csv
        split, data_dir = options.train_split or recipe.train_split, options.data_dir or recipe.data_dir
    return data.load(dataset, split, data_dir, labels_csv)
