"""A grouped convolution that trains fast on TensorFlow's CPU device."""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_senet")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D(groups=...)` with the same weights and results, computed in another way on TensorFlow.

    Keras sends every grouped convolution on TensorFlow through a small XLA program of its own, whose gradient on a CPU is tens
    of times slower than the arithmetic needs. TensorFlow's own grouped convolution is fast there with oneDNN, but without it,
    and for float16, neither its gradient nor its fusion with a bias or a normalization exists. So on a CPU the groups are
    computed by separate convolutions, narrow groups a few at a time; `benchmarks/grouped_conv.py` measures what this gains. On a
    GPU, and inside `one_operator`, TensorFlow's own is used. On JAX and PyTorch this is `Conv2D` itself.

    Args:
        *args: those of `keras.layers.Conv2D`.
        **kwargs: those of `keras.layers.Conv2D`; `groups` is the one that matters.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`.

    Output shape: `(N, H', W', filters)`, or `(N, filters, H', W')`.

    Raises:
        ValueError: as `keras.layers.Conv2D` does, for example if `groups` does not divide the channels.

    Source: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", arXiv 1611.05431, section 3.

    Example:

    >>> layer = keras_senet.layers.GroupedConv2D(128, 3, groups=32, padding="same")
    >>> layer(np.random.rand(2, 56, 56, 128).astype("float32")).shape
    TensorShape([2, 56, 56, 128])
    """

    def convolution_op(self, inputs, kernel):
        if self.groups == 1 or keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        if _as_one_operator.get() or tf.config.list_logical_devices("GPU"):
            return self._convolve(inputs, kernel)
        parts = _parts(self.groups, self.filters)
        channel_axis = -1 if self.data_format == "channels_last" else 1
        inputs = ops.split(inputs, parts, axis=channel_axis)
        kernels = ops.split(_merge_groups(kernel, self.groups, parts), parts, axis=-1)
        return ops.concatenate([self._convolve(*pair) for pair in zip(inputs, kernels, strict=True)], channel_axis)

    def _convolve(self, inputs, kernel):
        import tensorflow as tf

        return tf.nn.convolution(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding.upper(),
            data_format="NHWC" if self.data_format == "channels_last" else "NCHW",
            dilations=self.dilation_rate,
        )


_as_one_operator = contextvars.ContextVar("as_one_operator", default=False)


@contextlib.contextmanager
def one_operator() -> Iterator[None]:
    """Within this, `GroupedConv2D` traces to a single operator: for files whose runtimes compute that well."""
    token = _as_one_operator.set(True)
    try:
        yield
    finally:
        _as_one_operator.reset(token)


# A CPU convolution with fewer output channels than this leaves vector lanes idle (measured with AVX-512).
_EFFICIENT_CHANNELS = 16


def _parts(groups: int, filters: int) -> int:
    """Into how many convolutions to split: one a group, or fewer where groups are narrow."""
    merged = max(1, _EFFICIENT_CHANNELS * groups // filters)
    return groups // math.gcd(groups, merged)


def _merge_groups(kernel, groups: int, parts: int):
    """The kernel `(kh, kw, C / groups, filters)` as the block-diagonal `(kh, kw, C / parts, filters)`."""
    merged = groups // parts
    if merged == 1:
        return kernel
    height, width, channels, filters = kernel.shape
    kernel = ops.reshape(kernel, (height, width, 1, channels, parts, merged, filters // groups))
    own_group = ops.reshape(ops.eye(merged, dtype=kernel.dtype), (1, 1, merged, 1, 1, merged, 1))
    return ops.reshape(kernel * own_group, (height, width, merged * channels, filters))
