"""A convolution that TensorFlow computes fast on a CPU in groups, and at all with the channels first."""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_senet")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, with the same weights and results, for TensorFlow on a CPU: faster in groups, and in both formats.

    With TensorFlow, Keras compiles every grouped convolution by XLA, and on a CPU the gradient of that is tens of times slower
    than it has to be. TensorFlow's own grouped convolution is fast with oneDNN; without oneDNN, and in float16, it has no
    gradient and no fusion with a bias or a normalization. So on a CPU this layer runs separate convolutions, narrow groups
    several at a time; `benchmarks/grouped_conv.py` measures the gain. On a GPU, and inside `one_operator`, it runs TensorFlow's
    own grouped convolution. With JAX and PyTorch it is `Conv2D`.

    TensorFlow convolves with `"channels_first"` on some CPUs and in some dtypes only. So on a CPU this layer moves the channels
    to the end and back.

    Args:
        *args: arguments of `keras.layers.Conv2D`.
        **kwargs: arguments of `keras.layers.Conv2D`, such as `groups`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `data_format="channels_first"`.

    Output shape: `(N, H', W', filters)`, or `(N, filters, H', W')`.

    Raises:
        ValueError: as for `keras.layers.Conv2D`, for example if `groups` does not divide the number of channels.

    Source: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", arXiv 1611.05431, section 3.

    Example:

    >>> layer = keras_senet.layers.GroupedConv2D(128, 3, groups=32, padding="same")
    >>> layer(np.random.rand(2, 56, 56, 128).astype("float32")).shape
    TensorShape([2, 56, 56, 128])
    """

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        if tf.config.list_logical_devices("GPU"):
            return self._convolve(inputs, kernel, self.data_format) if self.groups > 1 else super().convolution_op(inputs, kernel)
        if self.data_format == "channels_first":
            return ops.moveaxis(self._convolve_on_cpu(ops.moveaxis(inputs, 1, -1), kernel), -1, 1)
        return self._convolve_on_cpu(inputs, kernel)

    def _convolve_on_cpu(self, inputs, kernel):
        """The convolution of a map with the channels last."""
        if self.groups == 1 or _as_one_operator.get():
            return self._convolve(inputs, kernel)
        parts = _parts(self.groups, self.filters)
        inputs = ops.split(inputs, parts, axis=-1)
        kernels = ops.split(_merge_groups(kernel, self.groups, parts), parts, axis=-1)
        return ops.concatenate([self._convolve(*pair) for pair in zip(inputs, kernels, strict=True)], -1)

    def _convolve(self, inputs, kernel, data_format: str = "channels_last"):
        import tensorflow as tf

        return tf.nn.convolution(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding.upper(),
            data_format="NHWC" if data_format == "channels_last" else "NCHW",
            dilations=self.dilation_rate,
        )


_as_one_operator = contextvars.ContextVar("as_one_operator", default=False)


@contextlib.contextmanager
def one_operator() -> Iterator[None]:
    """A context in which `GroupedConv2D` traces to one operator, for files whose runtimes run it fast."""
    token = _as_one_operator.set(True)
    try:
        yield
    finally:
        _as_one_operator.reset(token)


# A CPU convolution with fewer output channels than this leaves vector lanes idle (measured with AVX-512).
_EFFICIENT_CHANNELS = 16


def _parts(groups: int, filters: int) -> int:
    """The number of convolutions to split into: one for each group, or fewer if the groups are narrow."""
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
