"""The report of a finished run: how good its networks are, measured, drawn and on one page of Markdown."""

import datetime
import json
import pathlib
import statistics
import warnings
from collections.abc import Sequence

import numpy as np

from keras_senet import data
from keras_senet.analysis import grad_cam
from keras_senet.detection import each_image
from keras_senet.errors import one_line
from keras_senet.files import write_text
from keras_senet.inference.classifier import Classifier
from keras_senet.inference.detector import Detector
from keras_senet.inference.labels import DEFAULT_THRESHOLD
from keras_senet.inference.opening import open_network
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.inference.segmenter import Segmenter
from keras_senet.layers.attention import AttentionConfig
from keras_senet.models.registry import MODELS
from keras_senet.plots.confusion import draw_confusion
from keras_senet.plots.explanation import heated
from keras_senet.plots.masks import draw_masks
from keras_senet.plots.objects import draw_objects
from keras_senet.plots.precision_recall import draw_precision_recall
from keras_senet.plots.predictions import draw_predictions, most_wrong
from keras_senet.settings import flat_fields
from keras_senet.training.evaluation import Evaluation, evaluate, with_classes_of
from keras_senet.training.multi_label import MultiLabelEvaluation
from keras_senet.training.places import DetectionEvaluation, SegmentationEvaluation
from keras_senet.training.recipe import Recipe
from keras_senet.training.run import load_images, load_test_images
from keras_senet.training.run_folder import RunFolder, read_recipe

_PICTURED = 16  # images with what was found in them
_BATCHES_OF_MISTAKES = 30  # in which to look for mistakes to draw
_MEASURES = {
    "epoch": ("epoch", "{}"),
    "top1": ("top-1", "{:.2%}"),
    "top5": ("top-5", "{:.2%}"),
    "map": ("mAP", "{:.2%}"),
    "ap": ("average precision", "{:.2%}"),
    "ap50": ("at an overlap of 0.5", "{:.2%}"),
    "ap75": ("of 0.75", "{:.2%}"),
    "mean_iou": ("mean IoU", "{:.2%}"),
    "accuracy": ("pixels that are right", "{:.2%}"),
    "micro_f1": ("micro F1", "{:.2%}"),
    "macro_f1": ("macro F1", "{:.2%}"),
    "loss": ("loss", "{:.4f}"),
    "calibration_error": ("calibration error", "{:.2%}"),
    "images": ("images", "{:,}"),
}
_PICTURES = {
    "learning_curve.png": "How it learned",
    "confusion.png": "Which class it takes for which",
    "precision_recall.png": "How sure a label is that it finds",
    "mistakes.png": "Where it is most sure and wrong, and where it sees the wrong class",
    "found.png": "What it finds in validation images",
}
_HOW_GOOD = {
    "map": "Mean average precision {:.2%} on",
    "ap": "Average precision {:.2%} on",
    "mean_iou": "Mean intersection over union {:.2%} on",
    "top1": "Right on {:.2%} of",
}


def report(folder: RunFolder) -> dict[str, dict[str, float]]:
    """Evaluates the networks of a finished run on its validation images.

    Writes metrics.json (what is returned), confusion.png, mistakes.png where the last network makes any, and report.md, which
    shows all of the run. With several labels an image, precision_recall.png takes the place of the two pictures, and with boxes
    or masks found.png does. The numbers come first: a picture that cannot be drawn is a warning.

    Args:
        folder: the folder of the run, from `train`, or a `RunFolder` of its path.

    Returns:
        For "last" and "best" the results of `evaluate` and the epoch. The best epoch is chosen by the same images, so its
        accuracy is a little too good; the last one's is not. For a dataset with a validation and a test part also "test": the
        results of the best network on the test part, which nothing was chosen by.

    Raises:
        FileNotFoundError: if the folder does not hold a finished run.

    Example:

    >>> few = {"train_split": "train[:64]", "validation_split": "test[:20]", "image_size": 8, "data_dir": "data"}
    >>> recipe = keras_senet.training.Recipe.of("SEResNet20", "digits", epochs=1, batch_size=32, learning_rate=0.1, **few)
    >>> folder = keras_senet.training.train(recipe, "runs/example")
    class       training  validation
    10 classes        64          20
    SEResNet20 on digits: 8 x 8 pixels, images in a step 32, steps in an epoch 2, epochs 1, on 1 ...
    epoch 1/1  loss ...
    >>> sorted(keras_senet.training.report(folder))
    ['best', 'last']
    """
    recipe = read_recipe(folder.config)
    network = open_network(folder.last)
    images = with_classes_of(network, load_images(recipe, recipe.validation_split))
    last = best = evaluate(network, images)
    last_epoch, best_epoch = folder.last_epoch(), folder.best_epoch()
    if best_epoch != last_epoch:
        best = evaluate(open_network(folder.best), images)
    measured = {"last": last.summary() | {"epoch": last_epoch}, "best": best.summary() | {"epoch": best_epoch}}
    if (test_images := load_test_images(recipe)) is not None:
        measured["test"] = evaluate(open_network(folder.best), test_images).summary() | {"epoch": best_epoch}
    write_text(folder.metrics, json.dumps(measured, indent=2) + "\n")
    write_page(folder)
    try:
        _draw(last, network, images, folder)
    except Exception as error:  # whatever it is, it must not cost the numbers, which may have taken days
        warnings.warn(f"Not all pictures of {folder.page} could be drawn: {one_line(error)}", stacklevel=2)
    write_page(folder)  # again, with the pictures
    return measured


def _draw(
    last: Evaluation | MultiLabelEvaluation | DetectionEvaluation | SegmentationEvaluation,
    network: Classifier | Detector | Segmenter,
    images: data.LabelledImages,
    folder: RunFolder,
) -> None:
    """Draws confusion.png and mistakes.png; precision_recall.png with several labels an image; found.png of boxes or masks."""
    if not isinstance(network, Classifier):
        _draw_found(network, images, folder.found)
    elif isinstance(last, MultiLabelEvaluation):
        draw_precision_recall(last.titled_curves(), folder.precision_recall)
    elif isinstance(last, Evaluation):
        draw_confusion(last.confusion, last.class_names, folder.confusion)
        _draw_mistakes(network, images, folder.mistakes)


def _draw_mistakes(classifier: Classifier, images: data.LabelledImages, path: pathlib.Path) -> None:
    """Draws the mistakes of which the network is most sure, if it makes any, and where it finds the wrong classes."""
    mistakes: list[tuple] = []
    for pixels, labels in data.evaluation_batches(images, classifier.preprocessing, 64).take(_BATCHES_OF_MISTAKES):
        probabilities = classifier.probabilities(pixels.numpy())
        mistakes = most_wrong(pixels.numpy(), probabilities, labels.numpy(), images.class_names, mistakes)
    if mistakes:
        _, pictures, captions = zip(*mistakes, strict=True)
        heat = grad_cam(classifier.model, np.stack(pictures))
        pairs = [np.concatenate([picture, heated(picture, each)], axis=1) for picture, each in zip(pictures, heat, strict=True)]
        draw_predictions(pairs, captions, path)


def _draw_found(network: Detector | Segmenter, images: data.LabelledImages, path: pathlib.Path) -> None:
    """Draws a few images with the objects that a detector finds, or the classes of their pixels."""
    preprocessing = Preprocessing(network.preprocessing.height, interpolation=network.preprocessing.interpolation)
    pixels = next(iter(data.evaluation_batches(images, preprocessing, _PICTURED)))[0].numpy()
    if isinstance(network, Segmenter):
        draw_masks(list(zip(pixels, network.masks(pixels), strict=True)), network.class_names, path)
        return
    pictured = []
    for image, found in zip(pixels, each_image(network.detections(pixels)), strict=True):
        sure = found["scores"] >= DEFAULT_THRESHOLD
        classes = found["classes"][sure].astype(int)
        scores = zip(classes, found["scores"][sure], strict=True)
        captions = [f"{network.class_names[index]} {score:.0%}" for index, score in scores]
        pictured.append((image, found["boxes"][sure], captions, classes))
    draw_objects(pictured, network.classes, path)


def write_page(folder: RunFolder) -> None:
    """Writes report.md from the other files of a run.

    Args:
        folder: the folder of a run with metrics.json. Top-5, the calibration error, the pictures and damaged.txt may be missing.

    Raises:
        FileNotFoundError: if the folder does not hold a finished run.
    """
    config, measured = (json.loads(file.read_text(encoding="utf-8")) for file in (folder.config, folder.metrics))
    recipe = Recipe.of(**config["recipe"])
    epochs = folder.epochs()
    seconds = round(sum(float(epoch["seconds"]) for epoch in epochs))
    images_per_second = statistics.median(float(epoch["images_per_second"]) for epoch in epochs)
    last, test = measured["last"], measured.pop("test", None)

    names = [name for name in _MEASURES if name in last]
    results, tested = (
        [[f"{network}.keras", *(_MEASURES[name][1].format(result[name]) for name in names)] for network, result in rows]
        for rows in (measured.items(), [("best", test)] if test else [])
    )
    changed: list[list[str]] = []
    defaults: list[list[str]] = []
    # The network may be one that only the process of the run knew.
    own = MODELS[recipe.model].architecture.attention if recipe.model in MODELS else AttentionConfig()
    by_default = {field.name: field.default for field in flat_fields(Recipe)} | vars(own)
    for field, value in zip(flat_fields(Recipe), recipe.flat().values(), strict=True):
        row = [field.name, "none" if value is None else f"`{value}`", field.metadata["help"]]
        (defaults if value == by_default[field.name] else changed).append(row)
    classes = len(folder.labels.read_text(encoding="utf-8").splitlines())
    facts = [
        ["parameters", f"{config['parameters']:,}"],
        ["classes", f"{classes:,}"],
        ["trained on", f"`{recipe.train_split}` of `{recipe.dataset}`"],
        ["validated on", f"`{recipe.validation_split}` of `{recipe.dataset}`"],
        ["devices", f"{config['replicas']:,}, each with {config['batch_size_per_replica']:,} images of a batch"],
        *([package, version] for package, version in config["versions"].items()),
    ]
    good = next(text.format(last[name]) for name, text in _HOW_GOOD.items() if name in last)
    settings = ("setting", "value", "meaning")
    parts = [
        f"# {recipe.model} on `{recipe.dataset}`",
        f"{good} {last['images']:,} validation images after {last['epoch']} epochs, which took "
        f"{datetime.timedelta(seconds=seconds)} at {images_per_second:,.0f} training images a second.",
        "## Results on the validation images",
        _table(["network", *(_MEASURES[name][0] for name in names)], results),
        "The best epoch was chosen by these same images, so its accuracy is a little too good; the last one's is not.",
        *(
            [
                "## Results on the test images",
                _table(["network", *(_MEASURES[name][0] for name in names)], tested),
                "No image of the test part was used to train the network or to choose its epoch.",
            ]
            if test
            else []
        ),
        *(f"## {title}\n\n![{title}]({name})" for name, title in _PICTURES.items() if (folder.path / name).exists()),
        "## Recipe",
        _table(settings, changed),
        _folded("The other settings, which are at their defaults", _table(settings, defaults)),
        "To train it again: `keras-senet train --config config.json --output another_folder`",
        "## Network, data and versions",
        _table(["", ""], facts),
    ]
    if folder.damaged.exists():
        damaged = folder.damaged.read_text(encoding="utf-8").splitlines()
        listed = "\n".join(["```text", *damaged, "```"])
        parts += ["## Damaged images", _folded(f"{len(damaged):,} were left out", listed)]
    write_text(folder.page, "\n\n".join(parts) + "\n")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned in the text, too."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells)


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"
