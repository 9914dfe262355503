"""Shake-shake regularization as a Keras layer."""

import keras
from keras import ops

from keras_senet.errors import InputError

BACKWARDS = ("shake", "even")


@keras.saving.register_keras_serializable(package="keras_senet")
class ShakeShake(keras.layers.Layer):
    """Averages two residual branches, with random weights in training.

    In training, the output is `alpha * first + (1 - alpha) * second`, with an `alpha` for each image, drawn uniformly from
    [0, 1]; the gradient is that of another `alpha`, drawn independently ("Shake-Shake-Image"), or of 1/2 ("Shake-Even-Image"). At
    inference, the output is the mean of the two.

    Args:
        backward: `"shake"` for a random `alpha` in the gradient, or `"even"` for 1/2.
        seed: integer, seed of the random weights; None for a random seed.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: two feature maps of the same shape, `(N, ...)` each.

    Output shape: same as one of the inputs.

    Raises:
        ValueError: if `backward` is unknown, or the input is not two maps of the same shape.

    Source: Gastaldi, "Shake-Shake regularization", arXiv 1705.07485, sections 1.3 and 2.

    Example:

    >>> layer = keras_senet.layers.ShakeShake()
    >>> float(layer([np.zeros((2, 8, 8, 16)), np.ones((2, 8, 8, 16))])[0, 0, 0, 0])
    0.5
    """

    def __init__(self, backward: str = "shake", seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if backward not in BACKWARDS:
            raise InputError(f"`backward` must be one of {BACKWARDS}. Received: backward={backward!r}")
        self.backward = backward
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

        def mixed():
            share = keras.random.uniform(shape, dtype=first.dtype, seed=self.seed_generator)
            return share * first + (1 - share) * second

        forward = mixed()
        backward = (first + second) * 0.5 if self.backward == "even" else mixed()
        # The value of `forward` with the gradient of `backward`.
        return backward + ops.stop_gradient(forward - backward)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "backward": self.backward, "seed": self.seed}
