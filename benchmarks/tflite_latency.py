"""TFLite files of SE-ResNet-50 against ResNet-50's, from the same export, on one thread at 224 pixels, in float32 and int8.

Weights are random, and so are the images of the calibration, which changes nothing of what an operator costs. The two sides take
turns; the median of the ratios within a round is quoted.
"""

import argparse
import pathlib
import tempfile

import numpy as np

import keras_senet

ANYTHING = keras_senet.export.Limits(1, 1, 0, 1)  # integers do not survive an untrained network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    noise = np.random.default_rng(0).integers(0, 256, (40, 224, 224, 3)).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        for quantize in ("float32", "int8"):
            paths = []
            for name, attention in (("ResNet-50", None), ("SE-ResNet-50", "se")):
                paths.append(pathlib.Path(folder) / f"{name}.tflite")
                model = keras_senet.SEResNet50(weights=None, attention=attention)
                keras_senet.export.tflite(model, paths[-1], quantize=quantize, calibration=noise, limits=ANYTHING)
            plain, se = keras_senet.export.benchmark(paths, rounds=rounds)
            print(
                f"{quantize}: SE-ResNet-50 {se.milliseconds:.2f} ms, ResNet-50 {plain.milliseconds:.2f} ms; ratio {se.ratio:.3f}"
            )


if __name__ == "__main__":
    main()
