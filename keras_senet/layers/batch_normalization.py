"""Batch normalization whose statistics take one reading of the feature map with JAX."""

import keras
from keras import ops

from keras_senet.layers.feature_gate import at_least_float32


@keras.saving.register_keras_serializable(package="keras_senet")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, with the same weights and results, for JAX: faster in training.

    With JAX, Keras computes the mean first and then the variance about it, so a training step reads each feature map twice, and
    on a GPU such readings are what a step waits for. This layer sums the values and their squares in one reading. It subtracts
    the first value of each channel before, since a variance from the squares of the plain values loses its digits where the mean
    is large beside the deviation. `benchmarks/gpu.py` measures the gain.

    With TensorFlow and PyTorch, with a mask, with `renorm` and in inference, it is Keras' layer.

    Args:
        *args: arguments of `keras.layers.BatchNormalization`.
        **kwargs: arguments of `keras.layers.BatchNormalization`, such as `axis`, `momentum` and `epsilon`.

    Input shape: any; the axis of the channels must be known.

    Output shape: same as the input.

    Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    arXiv 1502.03167, algorithm 1; Chan et al., "Algorithms for Computing the Sample Variance", The American Statistician 37 (3),
    1983, for the shift.

    Example:

    >>> layer = keras_senet.layers.BatchNormalization(momentum=0.9)
    >>> layer(np.random.rand(2, 8, 8, 16).astype("float32"), training=True).shape
    TensorShape([2, 8, 8, 16])
    """

    def call(self, inputs, training=None, mask=None):
        on_jax = keras.backend.backend() == "jax"
        if not (on_jax and training and self.trainable) or self.renorm or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        x = at_least_float32(inputs)
        mean, variance = self._statistics(x)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(ops.cast(moving, x.dtype) * self.momentum + batch * (1.0 - self.momentum))
        gamma = ops.cast(self.gamma, x.dtype) if self.scale else None
        beta = ops.cast(self.beta, x.dtype) if self.center else None
        outputs = ops.batch_normalization(x, mean, variance, self.axis, offset=beta, scale=gamma, epsilon=self.epsilon)
        return ops.cast(outputs, self.compute_dtype)

    def _statistics(self, x):
        """The mean and the variance of each channel."""
        channels = self.axis % len(x.shape)
        others = [axis for axis in range(len(x.shape)) if axis != channels]
        first = x[tuple(slice(None) if axis == channels else slice(1) for axis in range(len(x.shape)))]
        shift = ops.stop_gradient(first)
        shifted = x - shift
        mean = ops.mean(shifted, others)
        variance = ops.mean(ops.square(shifted), others) - ops.square(mean)
        return ops.reshape(shift, (-1,)) + mean, ops.maximum(variance, 0.0)
