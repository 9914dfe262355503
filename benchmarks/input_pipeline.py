"""Batches to train on from JPEG files, against the same steps in Pillow with as many threads.

500 x 375 pixels, as in ImageNet, to 224; first a random window and a flip, then the whole augmentation of the recipe `a2`.
"""

import concurrent.futures
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))  # the tests prove that these operations are the same as ours

import numpy as np
from comparison import Comparison, compare, show, timed
from jpeg_crop import photographs
from PIL import Image
from pillow_augmentation import OPERATIONS

import keras_senet
from keras_senet.data import Augmentation

FILES, BATCH, BATCHES, SIZE, ROUNDS, THREADS = 400, 64, 12, 224, 7, os.cpu_count()
MAGNITUDE, MIXUP, CUTMIX = 7, 0.1, 1.0
A2 = Augmentation(rand_augment_magnitude=MAGNITUDE, mixup_alpha=MIXUP, cutmix_alpha=CUTMIX)


def pillow_window(width: int, height: int, random: np.random.Generator) -> tuple[float, float, float, float]:
    """8 to 100 % of the area, of aspect 3/4 to 4/3."""
    for _ in range(10):
        area, aspect = random.uniform(0.08, 1) * width * height, random.uniform(3 / 4, 4 / 3)
        w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if w <= width and h <= height:
            left, top = random.integers(width - w + 1), random.integers(height - h + 1)
            return left, top, left + w, top + h
    return 0, 0, width, height


def pillow_image(path: str, seed: int, with_operations: bool) -> np.ndarray:
    random = np.random.default_rng(seed)
    image = Image.open(path).convert("RGB")
    image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, pillow_window(*image.size, random))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for operation in random.choice(list(OPERATIONS), 2) if with_operations else ():
        if random.random() < 0.5:
            level = np.clip(random.normal(MAGNITUDE, 0.5), 0, 10) / 10
            image = OPERATIONS[operation](image, random.choice([-1, 1]) * level)
    return np.asarray(image, np.float32)


def numpy_mix(images: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """In place, so that numpy copies as little as it can."""
    if random.random() < 0.5:
        share = random.beta(MIXUP, MIXUP)
        partners = images[::-1] * np.float32(share)
        images *= np.float32(1 - share)
        images += partners
    else:
        half = int(SIZE * random.beta(CUTMIX, CUTMIX) ** 0.5 / 2)
        top, left, bottom, right = np.clip(
            [centre + side for side in (-half, half) for centre in random.integers(SIZE, size=2)], 0, SIZE
        )
        images[:, top:bottom, left:right] = images[::-1, top:bottom, left:right].copy()
        share = (bottom - top) * (right - left) / SIZE**2
    return images, (1 - share) * labels + share * labels[::-1]


def pillow_batches(
    files: list[str], pool: concurrent.futures.Executor, with_operations: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    while True:
        batch = random.integers(len(files), size=BATCH)
        seeds = random.integers(2**32, size=BATCH)
        images = np.stack(list(pool.map(pillow_image, (files[index] for index in batch), seeds, [with_operations] * BATCH)))
        labels = np.eye(2, dtype=np.float32)[batch % 2]
        yield numpy_mix(images, labels, random) if with_operations else (images, labels)


def measure() -> list[Comparison]:
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        files = [os.path.join(folder, str(index % 2), f"{index}.jpg") for index in range(FILES)]
        for path, encoded in zip(files, photographs() * (FILES // 2), strict=True):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_bytes(encoded)
        images = keras_senet.data.load(folder)

        def side(start: Callable[[], Iterator]) -> Callable[[], float]:
            def seconds() -> float:
                batches = start()  # anew in each round, so that no side works ahead while the other is measured
                next(batches)  # which takes as long as the start does
                return timed(lambda: [next(batches) for _ in range(BATCHES)], pieces=BATCH * BATCHES)()

            return seconds

        def comparison(what: str, augmentation: Augmentation, with_operations: bool, target: float) -> Comparison:
            ours = side(lambda: iter(keras_senet.data.training_batches(images, SIZE, BATCH, augmentation)))
            theirs = side(lambda: pillow_batches(files, pool, with_operations))
            return compare(what, f"Pillow in {THREADS} threads", ours, theirs, rounds=ROUNDS, target=target)

        return [
            comparison("JPEG to batch, crop and flip", Augmentation(), False, 1 / 2.5),
            comparison("JPEG to batch, the whole augmentation `a2`", A2, True, 1 / 1.5),
        ]


if __name__ == "__main__":
    show(measure())
