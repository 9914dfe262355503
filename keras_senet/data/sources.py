"""Where labelled images come from: tensorflow-datasets by name, a folder of images, or a CSV file of labels.

For detection and segmentation: tensorflow-datasets, JSON files of boxes, and folders of masks.
"""

import contextlib
import os
import pathlib
import re

from keras_senet.data.folders import TEST, VALIDATION, Listing
from keras_senet.data.from_folders import accepted, images_of_folder, in_folder
from keras_senet.data.from_tfds import SHUFFLE_BUFFER, images_of_tfds, is_of_tfds, prepared
from keras_senet.data.label_csv import list_csv
from keras_senet.data.labelled_images import LabelledImages
from keras_senet.data.target_listing import TargetListing
from keras_senet.errors import InputError, did_you_mean, existing_path, require
from keras_senet.inference.tasks import CLASSIFY, TASKS


def load(
    dataset: str,
    split: str = "train",
    data_dir: str | None = None,
    labels_csv: str | os.PathLike | None = None,
    task: str = CLASSIFY,
) -> LabelledImages:
    """Labelled images by the name of their dataset.

    Args:
        dataset: "digits", 1,797 handwritten digits that need no download; any classification dataset of tensorflow-datasets,
            such as "cifar10"; or the path of a folder, either `<folder>/<class>/<image>`, or with the parts in sub-folders
            `<folder>/train/<class>/<image>`. Parts are called train, validation (or val, valid, dev, eval) and test, in any case.
            Without a part for validation, the test part takes its place; without either, about a fifth of each class, chosen by
            file name. Images may lie in folders within that of their class. Names that begin with a dot are left out. Classes
            are in the order of their names as text. Write "./digits" for a folder that has the name of a dataset. Instead of
            folders for the classes, each image can have a JSON file beside it: `photo.json` with `{"labels": ["cat", "dog"]}`
            for `photo.jpg`.
        split: "train"; "validation", which is the test split of a dataset that has no validation split; "test"; "all"; for
            tensorflow-datasets also any split that it understands, such as "train[:10%]".
        data_dir: where tensorflow-datasets keeps its data, by default `~/tensorflow_datasets`.
        labels_csv: a CSV file with a path and a label on each line, with or without the first line `path,label`, in place of
            folders for the classes. Paths start from the folder `dataset`, or else from that of the file. For several labels an
            image, write `a.jpg,cat|dog` or `a.jpg,cat;dog`, or a first line `path,cat,dog` and 0 or 1 below each class.
        task: what is learned of the images:

            - "classify": their classes, as above.
            - "detect": boxes and classes of their objects. `dataset` is "digit_scenes", which needs no download; any dataset of
              tensorflow-datasets that has `objects` with `bbox` and `label`, such as "voc" and "coco/2017"; or a folder with JSON
              files in COCO's format: `annotations/instances_train2017.json` and `train2017/`, as COCO has them;
              `train/_annotations.coco.json` beside the images of that part, as Roboflow has them; or `train.json` or
              `annotations/train.json`, with the images in the folder, in `images/` or in `train/`. Parts are called as above; a
              file `annotations.json` or `_annotations.coco.json` in the folder is for all images. Boxes are of the upright image,
              unless `width` and `height` in the file are those of the stored image alone. Crowds are kept for evaluation only.
            - "segment": the class of each pixel. `dataset` is "digit_scenes"; any dataset of tensorflow-datasets that has a mask,
              such as "oxford_iiit_pet"; or a folder with `images/1.jpg` and `masks/1.png` (or `annotations/` or `labels/`), with
              parts within, `images/train/` and `masks/train/`, or around, `train/images/` and `train/masks/`. Masks are gray PNG
              files, or such with a palette, whose values are class indices; 255 is no class. They are as large as their upright
              images. A file `classes.txt` in the folder can name the classes, one a line.

            For both, without parts or with one for training alone, a fifth of the images, chosen by name, is for validation.

    Returns:
        The images, a `LabelledImages`. `keras_senet.data.contents` shows them as a table.

    Raises:
        FileNotFoundError: if the folder does not exist.
        OSError: if a folder cannot be read.
        ValueError: if the dataset or the split does not exist or has no images, or is both a dataset and a folder; if a class
            name has a line break or is not UTF-8; if a folder is that of a training run; if there are no boxes or masks for the
            task, or they do not fit their images.
        ImportError: if tensorflow-datasets is needed and not installed.

    Example:

    >>> keras_senet.data.load("digits", "validation", data_dir="datasets").size
    360
    """
    source = _open(dataset, data_dir, labels_csv, task)
    if isinstance(source, Listing | TargetListing):
        return images_of_folder(source, split, labels_csv or dataset)
    return images_of_tfds(source, split, task)


def load_test(
    dataset: str, data_dir: str | None = None, labels_csv: str | os.PathLike | None = None, task: str = CLASSIFY
) -> LabelledImages | None:
    """The test part of a dataset that has a validation part, too, for a last measurement; None for other datasets.

    Some tests of tensorflow-datasets have no labels; for these it is None, too.

    Args:
        dataset: as for `load`.
        data_dir: as for `load`.
        labels_csv: as for `load`.
        task: as for `load`.

    Returns:
        The images, a `LabelledImages`, or None.

    Raises:
        FileNotFoundError, OSError, ValueError, ImportError: as for `load`.

    Example:

    >>> keras_senet.data.load_test("digits", data_dir="data") is None  # its test part is what `load` takes for validation
    True
    """
    source = _open(dataset, data_dir, labels_csv, task)
    parts = source.parts if isinstance(source, Listing | TargetListing) else source.info.splits
    if not (VALIDATION in parts and TEST in parts):
        return None
    if isinstance(source, Listing | TargetListing):
        return images_of_folder(source, TEST, dataset)
    if task != CLASSIFY:
        with contextlib.suppress(InputError):  # without truth
            return images_of_tfds(source, TEST, task)
        return None
    images = images_of_tfds(source, TEST)
    labels = images.examples(None).take(SHUFFLE_BUFFER if images.multi_label else 1).map(lambda name, source, label: label)
    return images if any((label >= 0).any() for label in labels.as_numpy_iterator()) else None


def _open(dataset: str, data_dir: str | None, labels_csv: str | os.PathLike | None, task: str):
    """The listing of a folder, or the builder of a prepared dataset of tensorflow-datasets."""
    if task not in TASKS:
        raise InputError(f"`task` must be one of {TASKS}.{did_you_mean(str(task), TASKS)} Received: task={task!r}")
    if labels_csv is not None and task != CLASSIFY:
        raise InputError(f"A CSV file has labels of whole images, for the task {CLASSIFY!r}. {accepted(task)}")
    if labels_csv is not None:
        return list_csv(labels_csv, pathlib.Path(existing_path(os.path.expanduser(dataset))))
    if dataset.startswith((".", "~", os.sep)):
        return in_folder(os.path.expanduser(dataset), task)
    tfds = require("tensorflow_datasets", "train")
    for module in ("digits", "digit_scenes"):
        require(f"keras_senet.data.{module}", "train")  # registers the dataset
    known = tfds.list_builders(with_community_datasets=False)
    is_known = re.split("[/:]", dataset)[0] in known
    if is_known and os.path.isdir(dataset) and not is_of_tfds(dataset):
        raise InputError(
            f"{dataset!r} is a dataset of tensorflow-datasets, and a folder here. For the folder write './{dataset}'; for the "
            "dataset, rename the folder or work in another one."
        )
    if is_known:
        return prepared(tfds, dataset, data_dir, task)
    if os.path.isdir(dataset) or os.sep in dataset:
        return in_folder(dataset, task)
    near = did_you_mean(dataset, [*known, *(entry.name for entry in os.scandir() if entry.is_dir())])
    raise InputError(f"There is neither a tensorflow-datasets name nor a folder {dataset!r}.{near}")
