"""The statistics of batch normalization, taken anew from images when weights have changed under them."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_senet.errors import InputError
from keras_senet.inference.runtimes import run_keras
from keras_senet.keras_internals import random_states
from keras_senet.training.network import normalizations


def renew_statistics(model: keras.Model, batches: Iterable[Any]) -> None:
    """Gives each batch normalization the mean and the variance that its inputs have over all these images.

    The images pass through the network once, as in training, and no weight but these statistics changes. Moving averages, which
    training keeps, would forget the first images; here all count alike, whatever the `momentum` of a layer and whether it is
    frozen. Dropout draws the same numbers in each call, so that the same images give the same statistics.

    Args:
        model: any model.
        batches: batches of images as the model takes them, `(N, H, W, C)`. Within a batch all classes should be mixed, as they
            were in training: each batch is normalized by its own statistics on its way through the network.

    Raises:
        ValueError: if there are no images.

    Source: Wu and Johnson, 'Rethinking "Batch" in BatchNorm', arXiv 2105.07576, section 3.1, PreciseBN.

    Example:

    >>> network = keras_senet.SEResNet20(weights=None)
    >>> images = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3))
    >>> keras_senet.training.renew_statistics(network, [images])
    """
    layers = normalizations(model)
    count = 0
    # By layer, the sums over all images of the mean and of the mean square.
    sums: list[list[Any]] = [[0.0, 0.0] for _ in layers]
    with _seeing_one_batch(model, layers):
        run = run_keras(model, training=True)
        for images in batches:
            run(images)
            count += len(images)
            for layer, total in zip(layers, sums, strict=True):
                mean, variance = (np.float64(keras.ops.convert_to_numpy(value)) for value in _statistics(layer))
                total[0] += len(images) * mean
                total[1] += len(images) * (variance + mean**2)
    if not count:
        raise InputError("There are no images to renew the statistics of batch normalization by.")
    for layer, (mean, mean_square) in zip(layers, sums, strict=True):
        variance = np.maximum(mean_square / count - (mean / count) ** 2, 0)  # which rounding may have made negative
        for variable, value in zip(_statistics(layer), (mean / count, variance), strict=True):
            variable.assign(value)


def _statistics(layer: keras.layers.BatchNormalization) -> tuple[keras.Variable, keras.Variable]:
    return layer.moving_mean, layer.moving_variance


@contextlib.contextmanager
def _seeing_one_batch(model: keras.Model, layers: list[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Within it the moving statistics are those of the last batch alone. Afterwards everything is as it was."""
    settings = [(layer, layer.momentum, layer.trainable) for layer in layers]
    values = [(variable, keras.ops.convert_to_numpy(variable)) for variable in model.non_trainable_variables]
    generators = random_states(model)
    try:
        for layer in layers:
            layer.momentum, layer.trainable = 0.0, True  # a frozen layer would not update them
        for number, (variable, value) in enumerate(values):
            if id(variable) in generators:
                variable.assign(np.array([number, 0], value.dtype))
        yield
    finally:
        for layer, momentum, trainable in settings:
            layer.momentum, layer.trainable = momentum, trainable
        for variable, value in values:
            variable.assign(value)
