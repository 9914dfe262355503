"""SE-ResNet-50 as trained, with batch normalization folded, and as exported: CPU inference, in turn; medians are quoted."""

import statistics
import time

import numpy as np

import keras_senet
from keras_senet.export.classifier import run_keras
from keras_senet.export.inference import cheaper_to_run

BATCH, ROUNDS = 16, 20


def main() -> None:
    model = keras_senet.SEResNet50(weights=None)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3)).astype("float32")
    networks = {"as trained": model, "folded": keras_senet.export.fold_batch_norm(model), "as exported": cheaper_to_run(model)}
    sides = [run_keras(network) for network in networks.values()]

    def seconds(run) -> float:
        start = time.perf_counter()
        run(images)
        return time.perf_counter() - start

    for run in sides:
        run(images)  # traces
    rounds = [[seconds(run) for run in sides] for _ in range(ROUNDS)]
    for name, times in zip(networks, zip(*rounds, strict=True), strict=True):
        ratio = statistics.median(one[0] / own for one, own in zip(rounds, times, strict=True))
        print(f"{name}: {1000 * statistics.median(times) / BATCH:.1f} ms an image, {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
