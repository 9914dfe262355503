"""Building SENet154, our largest network, against EfficientNetV2L of keras.applications."""

import keras
from comparison import Comparison, compare, show, timed

import keras_senet


def measure() -> list[Comparison]:
    theirs = timed(lambda: keras.applications.EfficientNetV2L(weights=None))
    theirs()  # the first network of a process pays for what Keras sets up
    ours = timed(lambda: keras_senet.SENet154(weights=None))
    return [compare("building SENet154", "EfficientNetV2L of keras.applications", ours, theirs, rounds=5, target=1)]


if __name__ == "__main__":
    show(measure())
