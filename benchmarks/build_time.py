"""Building SENet154, our largest network, against EfficientNetV2L of keras.applications, in turn; medians are quoted."""

import statistics
import time

import keras

import keras_senet

ROUNDS = 5


def seconds(build) -> float:
    start = time.perf_counter()
    build(weights=None)
    return time.perf_counter() - start


def main() -> None:
    rival = keras.applications.EfficientNetV2L
    seconds(rival)  # the first network of a process pays for what Keras sets up
    pairs = [(seconds(rival), seconds(keras_senet.SENet154)) for _ in range(ROUNDS)]
    theirs, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"SENet154: {ours:.1f} s, EfficientNetV2L: {theirs:.1f} s; ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
