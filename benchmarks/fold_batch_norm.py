"""SE-ResNet-50 with batch normalization folded, and as exported, against the network as trained: inference on the CPU."""

import numpy as np
from comparison import Comparison, compare, show, timed

import keras_senet
from keras_senet.inference.runtimes import run_keras
from keras_senet.rewrite.for_cpu import optimized_for_cpu

BATCH, ROUNDS = 16, 20


def measure() -> list[Comparison]:
    model = keras_senet.SEResNet50(weights=None)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3)).astype("float32")

    def side(network):
        run = run_keras(network)
        run(images)  # traces
        return timed(lambda: run(images), pieces=BATCH)

    trained, folded, exported = map(side, (model, keras_senet.export.fold_batch_norm(model), optimized_for_cpu(model)))
    return [
        compare("inference of an image, folded", "as trained", folded, trained, rounds=ROUNDS, target=1 / 1.12),
        compare("inference of an image, as exported", "as trained", exported, trained, rounds=ROUNDS),
    ]


if __name__ == "__main__":
    show(measure())
