"""A training step of SE-ResNeXt-50 with `GroupedConv2D`, against the same network with Keras' own grouped convolution.

Batch 16, 224 px. The two sides alternate in one process; the median of each is quoted. Keras' side takes minutes a step.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_senet
from keras_senet import blocks


def compiled(grouped_conv2d: type[keras.layers.Layer], batch: int) -> keras.Model:
    ours, blocks.GroupedConv2D = blocks.GroupedConv2D, grouped_conv2d
    try:
        network = keras_senet.SEResNeXt50(weights=None)
    finally:
        blocks.GroupedConv2D = ours
    network.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    network.train_on_batch(*data(batch))  # traces
    return network


def data(batch: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return 255 * random.random((batch, 224, 224, 3), "float32"), random.integers(0, 1000, batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3, help="counted steps of each side")
    options = parser.parse_args()
    sides = {
        "GroupedConv2D": compiled(keras_senet.layers.GroupedConv2D, options.batch),
        "keras.layers.Conv2D": compiled(keras.layers.Conv2D, options.batch),
    }
    seconds = {name: [] for name in sides}
    for _ in range(options.steps):
        for name, network in sides.items():
            start = time.perf_counter()
            network.train_on_batch(*data(options.batch))
            seconds[name].append(time.perf_counter() - start)
            print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = medians["keras.layers.Conv2D"] / medians["GroupedConv2D"]
    print(f"SE-ResNeXt-50, one training step, medians: {medians}; Keras' takes {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
