"""TFLite files of SE-ResNet-50 against ResNet-50's, from the same export, on one thread at 224 pixels, in float32 and int8.

Weights are random, and so are the images of the calibration, which changes nothing of what an operator costs. `export.benchmark`
measures: it takes turns, and quotes the median of the ratios within a round.
"""

import pathlib
import tempfile

import numpy as np
from comparison import Comparison, show

import keras_senet

ROUNDS = 100
ANYTHING = keras_senet.export.Limits(1, 1, 0, 1)  # integers do not survive an untrained network


def measure() -> list[Comparison]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 224, 224, 3)).astype("float32")
    comparisons = []
    with tempfile.TemporaryDirectory() as folder:
        for quantize, target in (("float32", 1.02), ("int8", 1.04)):
            paths = []
            for name, attention in (("ResNet-50", None), ("SE-ResNet-50", "se")):
                paths.append(pathlib.Path(folder) / f"{name}.tflite")
                model = keras_senet.SEResNet50(weights=None, attention=attention)
                keras_senet.export.tflite(model, paths[-1], quantize=quantize, calibration=noise, limits=ANYTHING)
            plain, se = keras_senet.export.benchmark(paths, rounds=ROUNDS)
            seconds = (se.latency_ms / 1000, plain.latency_ms / 1000)
            comparisons.append(Comparison(f"TFLite file of SE-ResNet-50, {quantize}", "ResNet-50", target, *seconds, se.ratio))
    return comparisons


if __name__ == "__main__":
    show(measure())
