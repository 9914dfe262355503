"""The dataset "digit_scenes" for tensorflow-datasets: handwritten digits with boxes and masks, without a download.

    import keras_senet.data.digit_scenes  # registers it
    scenes = tensorflow_datasets.load("digit_scenes", split="train")

`load` returns them as NumPy arrays. `keras_senet.data.load("digit_scenes", task="detect")` returns them with their boxes, and
with the task "segment" with their masks, for the same batches as any other dataset.
"""

import os

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from keras_senet.data.digits import TEST_SIZE
from keras_senet.errors import FileError

SIZE = 96  # of a scene, pixels
DIGIT_SIZES = (16, 40)  # of a digit with its margins, pixels
MOST_DIGITS = 6
SCENES = {"train": 4800, "test": 300}
INK = 0.4  # share of a digit's color from which on a pixel belongs to it


def load(split: str, data_dir: str | os.PathLike | None = None) -> list[dict]:
    """Scenes as the examples have them in memory.

    Args:
        split: "train", "test", or a part of one, such as "train[:100]".
        data_dir: folder of tensorflow-datasets, in which they are prepared the first time.

    Returns:
        A dictionary for each scene: "image", uint8 `(96, 96, 3)`; "objects", "bbox" `(M, 4)` as top, left, bottom and right in
        shares of the side, and "label" `(M,)`; "mask", uint8 `(96, 96, 1)`.

    Raises:
        FileError: if the scenes cannot be written to `data_dir`.
    """
    builder = DigitScenes(data_dir=data_dir)
    try:
        builder.download_and_prepare()
    except OSError as error:
        raise FileError(f"The dataset {builder.name!r} could not be prepared in {data_dir!r}: {error}") from error
    return list(builder.as_dataset(split=split).as_numpy_iterator())


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """Scenes of one to six handwritten digits of random sizes and colors on noise: 4,800 for training, 300 for testing.

    Each digit has a box and a label. The mask is 0 for the background, and 1 + the digit for its pixels. The digits hardly
    overlap, and those of the test scenes are in no training scene: they are the test digits of the dataset "digits".

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998), its
    test set, for the digits.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        names = [str(digit) for digit in range(10)]
        features = {
            "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png"),
            "objects": tfds.features.Sequence(
                {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=names)}
            ),
            "mask": tfds.features.LabeledImage(labels=["background", *names], shape=(SIZE, SIZE, 1), encoding_format="png"),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "mask"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager):
        from sklearn import datasets, model_selection

        images, labels = datasets.load_digits(return_X_y=True)
        parts = model_selection.train_test_split(
            images.reshape(-1, 8, 8) / 16, labels, test_size=TEST_SIZE, stratify=labels, random_state=0
        )
        return {
            "train": self._generate_examples(parts[0], parts[2], "train"),
            "test": self._generate_examples(parts[1], parts[3], "test"),
        }

    def _generate_examples(self, digits, labels, split):
        for number in range(SCENES[split]):
            # A generator for each scene, so that a scene is what it is whatever their number.
            image, boxes, shown, mask = _scene(np.random.default_rng((split == "test", number)), digits, labels)
            objects = [
                {"bbox": tfds.features.BBox(*map(float, np.divide(box, SIZE))), "label": int(label)}
                for box, label in zip(boxes, shown, strict=True)
            ]
            yield number, {"image": image, "objects": objects, "mask": mask[..., np.newaxis]}


def _scene(random: np.random.Generator, digits: np.ndarray, labels: np.ndarray):
    """The image, the boxes in pixels as (top, left, bottom, right), their labels, and the mask."""
    image = _background(random)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    boxes: list[tuple] = []
    shown = []
    for _ in range(random.integers(1, MOST_DIGITS, endpoint=True)):
        for _ in range(20):  # places that may be free
            size = round(np.exp(random.uniform(*np.log(DIGIT_SIZES))))
            index = random.integers(len(labels))
            top, left = random.integers(0, SIZE - size, 2, endpoint=True)
            ink = _enlarged(digits[index], size)
            rows, columns = (np.flatnonzero((ink > INK).any(axis)) for axis in (1, 0))
            box = (top + rows[0], left + columns[0], top + rows[-1] + 1, left + columns[-1] + 1)
            if all(_overlap(box, other) < 0.05 for other in boxes):
                break
        else:
            continue
        place = slice(top, top + size), slice(left, left + size)
        image[place] += ink[..., np.newaxis] * (random.uniform(150, 255, 3) - image[place])
        mask[place][ink > INK] = 1 + labels[index]
        boxes.append(box)
        shown.append(labels[index])
    return image.round().astype(np.uint8), boxes, shown, mask


def _background(random: np.random.Generator) -> np.ndarray:
    coarse = np.stack([_enlarged(random.uniform(0, 110, (4, 4)), SIZE) for _ in range(3)], axis=-1)
    return np.clip(coarse + random.normal(0, 8, coarse.shape), 0, 255)


def _enlarged(values: np.ndarray, size: int) -> np.ndarray:
    """Values in a square, enlarged to `size` x `size`, within the range that they had."""
    enlarged = Image.fromarray(values.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(enlarged), values.min(), values.max())


def _overlap(box: tuple, other: tuple) -> float:
    """The area in both boxes, as a share of the smaller one."""
    height, width = (min(box[axis + 2], other[axis + 2]) - max(box[axis], other[axis]) for axis in (0, 1))
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in (box, other)]
    return max(height, 0) * max(width, 0) / min(areas)
