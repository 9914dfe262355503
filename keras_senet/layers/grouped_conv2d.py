"""A grouped convolution that trains fast on TensorFlow's CPU device."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_senet")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D(groups=...)` with the same weights and results, computed in another way on TensorFlow.

    Keras sends every grouped convolution on TensorFlow through a small XLA program of its own, whose gradient on a CPU is tens
    of times slower than the arithmetic needs. Here TensorFlow's convolution is called directly, so that it also stays one
    operator in a TFLite file. On a CPU its gradient is taken through separate convolutions of the groups instead, because
    TensorFlow's own gradient of a grouped convolution exists there only in some builds and for some dtypes. `benchmarks/`
    has the measurements. On JAX and PyTorch this is `Conv2D` itself.

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

        def convolve(inputs, kernel):
            return tf.nn.convolution(
                inputs,
                kernel,
                strides=self.strides,
                padding=self.padding.upper(),
                data_format="NHWC" if self.data_format == "channels_last" else "NCHW",
                dilations=self.dilation_rate,
            )

        def convolve_in_parts(inputs, kernel):
            parts = _parts(self.groups, self.filters)
            channel_axis = -1 if self.data_format == "channels_last" else 1
            inputs = tf.split(inputs, parts, axis=channel_axis)
            kernels = tf.split(_merge_groups(kernel, self.groups, parts), parts, axis=-1)
            return tf.concat([convolve(*pair) for pair in zip(inputs, kernels, strict=True)], channel_axis)

        @tf.custom_gradient
        def convolve_with_gradient_in_parts(inputs, kernel):
            def gradient(upstream):
                # In a graph the forward half of this is pruned: the gradient of a convolution does not need its result.
                with tf.GradientTape() as tape:
                    tape.watch((inputs, kernel))
                    outputs = convolve_in_parts(inputs, kernel)
                return tape.gradient(outputs, (inputs, kernel), output_gradients=upstream)

            return convolve(inputs, kernel), gradient

        if tf.config.list_logical_devices("GPU"):
            return convolve(inputs, kernel)
        return convolve_with_gradient_in_parts(inputs, ops.convert_to_tensor(kernel))


# A CPU convolution with fewer output channels than this leaves vector lanes idle (measured with AVX-512, in `benchmarks/`).
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
