"""The squeeze-and-excitation block (SE) as one Keras layer."""

from collections.abc import Callable

import keras
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.feature_gate import BottleneckGate

SQUEEZES = ("avg", "max", None)


@keras.saving.register_keras_serializable(package="keras_senet")
class SqueezeExcite(BottleneckGate):
    """Rescales the channels of a feature map by gates computed from the whole map.

    The squeeze reduces each channel to its mean over the map. The excitation, a bottleneck of two fully connected layers, turns
    the means into one gate for each channel. The output is the input times its gates.

    Under a mixed precision policy the mean is accumulated in float32: a 112 x 112 map has 12,544 values, and their sum needs more
    precision or range than bfloat16 and float16 have.

    Args:
        reduction: integer, number of input channels for each hidden unit of the excitation.
        hidden_units: integer, number of hidden units; it takes precedence over `reduction`.
        squeeze: `"avg"` or `"max"` for global pooling; `None` for no pooling: then the two layers act as 1x1 convolutions, and
            each position has its own gates.
        activation: activation after the first layer, anything that `keras.activations.get` accepts.
        gate: activation that makes the gates, anything that `keras.activations.get` accepts.
        use_bias: whether the two layers have biases.
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if `squeeze` or an activation is unknown, the input does not have rank 4, its number of channels is unknown,
            or `reduction` is larger than that.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, section 3, equations 2 to 4; for `squeeze=None`,
    section 7.1 ("NoSqueeze").

    Example:

    >>> layer = keras_senet.layers.SqueezeExcite(reduction=4)
    >>> x = np.random.rand(2, 8, 8, 16).astype("float32")
    >>> layer(x).shape, layer.gates(x).shape
    (TensorShape([2, 8, 8, 16]), TensorShape([2, 16]))
    """

    def __init__(
        self,
        reduction: int = 16,
        hidden_units: int | None = None,
        squeeze: str | None = "avg",
        activation: str | Callable = "relu",
        gate: str | Callable = "sigmoid",
        use_bias: bool = True,
        **kwargs,
    ):
        super().__init__(reduction, use_bias, **kwargs)
        if squeeze not in SQUEEZES:
            raise InputError(f"`squeeze` must be one of {SQUEEZES}. Received: squeeze={squeeze!r}")
        self.hidden_units = hidden_units
        self.squeeze = squeeze
        for name, value in (("activation", activation), ("gate", gate)):
            try:
                setattr(self, name, keras.activations.get(value))
            except ValueError as error:
                raise InputError(
                    f"`{name}` must be an activation that `keras.activations.get` knows, such as 'sigmoid', 'tanh' or 'relu'. "
                    f"Received: {name}={value!r}"
                ) from error

    def build(self, input_shape):
        channels = self.known_channels(input_shape)
        hidden_units = self.reduced(channels) if self.hidden_units is None else self.hidden_units
        dense = {"use_bias": self.use_bias, "kernel_initializer": "he_normal"}
        self.reduce = self.part("reduce", keras.layers.Dense, hidden_units, self.activation, **dense)
        self.expand = self.part("expand", keras.layers.Dense, channels, self.gate, **dense)
        self.reduce.build((None, channels))
        self.expand.build((None, hidden_units))

    def gates(self, inputs):
        """The gates, see `FeatureGate.gates`: `(N, C)`, or `(N, H, W, C)` without squeeze."""
        if self.squeeze is None and self.data_format == "channels_first":
            return ops.moveaxis(self.expand(self.reduce(ops.moveaxis(inputs, 1, -1))), -1, 1)
        if self.squeeze == "avg":
            inputs = self.mean(inputs, self.spatial_axes)
        elif self.squeeze == "max":
            inputs = ops.max(inputs, axis=self.spatial_axes)
        return self.expand(self.reduce(inputs))

    def deciding_weights(self):
        return [self.expand.kernel], self.expand.weights[1:]

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "squeeze": self.squeeze,
            "activation": keras.activations.serialize(self.activation),
            "gate": keras.activations.serialize(self.gate),
        }
