"""Shake-shake regularization as a Keras layer."""

import keras
from keras import ops

from keras_senet.errors import InputError


@keras.saving.register_keras_serializable(package="keras_senet")
class ShakeShake(keras.layers.Layer):
    """Mixes two residual branches: evenly, and in training at random.

    In training each image gets a share `alpha`, drawn evenly from [0, 1], and the output is
    `alpha * first + (1 - alpha) * second`; its gradient is passed back with another share, drawn anew. Otherwise the output is
    the mean of the two.

    Args:
        seed: integer, of the shares; None for one drawn at random.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: two feature maps of one shape, `(N, ...)` each.

    Output shape: that of one of them.

    Raises:
        ValueError: if the input is not two maps of one shape.

    Source: Gastaldi, "Shake-Shake regularization", arXiv 1705.07485, section 1.3; the variant "Shake-Shake-Image", with a share
    for each image in both directions.

    Example:

    >>> layer = keras_senet.layers.ShakeShake()
    >>> float(layer([np.zeros((2, 8, 8, 16)), np.ones((2, 8, 8, 16))])[0, 0, 0, 0])
    0.5
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) != 2 or tuple(input_shape[0]) != tuple(input_shape[1]):
            raise InputError(f"`ShakeShake` takes two maps of one shape. Received: input_shape={input_shape}")

    def call(self, inputs, training=False):
        first, second = inputs
        if not training:
            return (first + second) * 0.5
        shape = (ops.shape(first)[0], *[1] * (len(first.shape) - 1))
        forward, backward = (
            share * first + (1 - share) * second
            for share in (keras.random.uniform(shape, dtype=first.dtype, seed=self.seed_generator) for _ in range(2))
        )
        # The value of the one with the gradient of the other.
        return backward + ops.stop_gradient(forward - backward)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
