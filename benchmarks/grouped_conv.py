"""A training step of SE-ResNeXt-50 with `GroupedConv2D`, against the same network with Keras' own grouped convolution.

Batch 16, 224 px, on the CPU. Keras' side takes minutes a step.
"""

import keras
import numpy as np
from comparison import Comparison, compare, show, timed

import keras_senet
from keras_senet.models import blocks

BATCH, STEPS = 16, 2


def network(grouped_conv2d: type[keras.layers.Layer]) -> keras.Model:
    ours, blocks.GroupedConv2D = blocks.GroupedConv2D, grouped_conv2d
    try:
        return keras_senet.SEResNeXt50(weights=None)
    finally:
        blocks.GroupedConv2D = ours


def measure() -> list[Comparison]:
    random = np.random.default_rng(0)
    images, labels = 255 * random.random((BATCH, 224, 224, 3), "float32"), random.integers(0, 1000, BATCH)

    def side(grouped_conv2d: type[keras.layers.Layer]):
        model = network(grouped_conv2d)
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
        model.train_on_batch(images, labels)  # traces
        return timed(lambda: model.train_on_batch(images, labels))

    ours, theirs = side(keras_senet.layers.GroupedConv2D), side(keras.layers.Conv2D)
    return [
        compare(
            "training step of SE-ResNeXt-50", "with keras.layers.Conv2D(groups=32)", ours, theirs, rounds=STEPS, target=1 / 25
        )
    ]


if __name__ == "__main__":
    show(measure())
