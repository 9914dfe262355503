"""Batches to train on from JPEG files, against the same steps in Pillow with as many threads.

500 x 375 pixels, as in ImageNet, to 224; first a random window and a flip, then the whole augmentation of the recipe `a2`. All
sides take turns; medians are quoted.
"""

import concurrent.futures
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))  # the tests prove that these operations are the same as ours

import numpy as np
from jpeg_crop import photographs
from PIL import Image
from pillow_augmentation import OPERATIONS

import keras_senet

FILES, BATCH, BATCHES, SIZE, ROUNDS, THREADS = 400, 64, 12, 224, 7, os.cpu_count()
MAGNITUDE, MIXUP, CUTMIX = 7, 0.1, 1.0
A2 = {"rand_augment": MAGNITUDE, "mixup": MIXUP, "cutmix": CUTMIX}


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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        files = [os.path.join(folder, str(index % 2), f"{index}.jpg") for index in range(FILES)]
        for path, encoded in zip(files, photographs() * (FILES // 2), strict=True):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_bytes(encoded)
        images = keras_senet.data.load(folder)
        sides = {
            "crop and flip": lambda: iter(keras_senet.data.training_batches(images, SIZE, BATCH)),
            "crop and flip, Pillow": lambda: pillow_batches(files, pool, False),
            "a2": lambda: iter(keras_senet.data.training_batches(images, SIZE, BATCH, **A2)),
            "a2, Pillow": lambda: pillow_batches(files, pool, True),
        }
        rates = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                batches = side()
                next(batches)  # which takes as long as the start does
                start = time.perf_counter()
                for _ in range(BATCHES):
                    next(batches)
                rates[name].append(BATCH * BATCHES / (time.perf_counter() - start))
                del batches  # so that it does not work ahead while others are measured
    medians = {name: statistics.median(side) for name, side in rates.items()}
    print("Images a second, medians:", {name: round(rate) for name, rate in medians.items()})
    for name in ("crop and flip", "a2"):
        print(f"{name}: {medians[name] / medians[f'{name}, Pillow']:.2f} times Pillow with {THREADS} threads")


if __name__ == "__main__":
    main()
