"""The contract of SE and its relatives: layers that multiply a feature map by gates that they compute from it."""

import itertools
import random
import warnings
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers.data_format import channel_axis, standardize_data_format


def at_least_float32(x):
    """`x`, cast to float32 if its dtype has less precision, so that it can be summed over a whole map."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


class FeatureGate(keras.layers.Layer):
    """Base class of layers that multiply a feature map by gates that they compute from it.

    A subclass implements `build`, `gates` and `deciding_weights`. In return, `keras_senet.gates` reads its gates,
    `keras_senet.add_se` and `keras_senet.remove_se` insert it into trained networks and remove it again, and
    `keras_senet.analysis.profile` knows its cost.

    `build` makes the layers inside this one with `part`. They are frozen and quantized with this layer, and whatever a user
    changes in one of them and Keras keeps in its configuration (`trainable`, the dtype policy, LoRA) is kept in the configuration
    of this layer, so that it survives saving, loading and cloning.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; by default `keras.config.image_data_format()`.
        parts: by the name of a part, what differs in its configuration from how `build` makes it, as `get_config` returns it.
        **kwargs: `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`.

    Output shape: same as the input.

    Raises:
        ValueError: if `data_format` is unknown, or the input does not have rank 4.

    Example:

    >>> class MeanGate(keras_senet.layers.FeatureGate):
    ...     def gates(self, inputs):
    ...         return keras.ops.sigmoid(self.mean(inputs, self.spatial_axes))
    ...
    ...     def deciding_weights(self):
    ...         return [], []
    >>> layer = MeanGate()
    >>> x = np.zeros((2, 8, 8, 16), "float32")
    >>> layer(x).shape, layer.gates(x).shape, float(layer.gates(x)[0, 0])
    (TensorShape([2, 8, 8, 16]), TensorShape([2, 16]), 0.5)
    """

    def __init__(self, data_format: str | None = None, parts: dict[str, dict] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        # By name, the layers inside this one, each with the function that makes another one like it. They stand in tuples because
        # Keras, when it saves, walks dictionaries of layers, and these layers are saved as attributes already.
        self._parts: dict[str, tuple[keras.layers.Layer, Callable[[], keras.layers.Layer]]] = {}
        self._part_changes = parts or {}

    @property
    def channel_axis(self) -> int:
        """3 or 1."""
        return channel_axis(self.data_format) % 4

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """The axes of height and width."""
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    def known_channels(self, input_shape) -> int:
        """The number of channels in `input_shape`.

        Raises:
            ValueError: if it is None.
        """
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise InputError(
                f"`{type(self).__name__}` needs a known number of channels. Received: input_shape={input_shape} in {self.name!r}"
            )
        return channels

    def known_size(self, inputs) -> tuple:
        """The height and width of a feature map.

        Raises:
            ValueError: if the map is a symbolic Keras tensor of unknown size.
        """
        height, width = (ops.shape(inputs)[axis] for axis in self.spatial_axes)
        if height is None or width is None:
            raise InputError(
                f"The gates of {self.name!r} can be read from a symbolic map only if its height and width are known. Received: a "
                f"map of shape {tuple(inputs.shape)}; build the network with an `input_shape` that has them."
            )
        return height, width

    def part(self, name: str, kind: type[keras.layers.Layer], *args, **kwargs) -> keras.layers.Layer:
        """Makes a layer inside this one. Only `build` calls it, since the path of this layer is unknown before.

        Args:
            name: what it is here. The name of the layer starts with that of this layer, because `gates` of a symbolic tensor
                makes it a layer of the user's new model.
            kind: class of the layer.
            *args: arguments of the class.
            **kwargs: arguments of the class, except for `name`, `dtype` and `trainable`.
        """
        full_name = f"{self.name}_{name}"

        def make():
            return kind(*args, name=full_name, dtype=self._policy(kind, full_name), trainable=self.trainable, **kwargs)

        layer = make()
        if name in self._part_changes:
            layer = kind.from_config(layer.get_config() | self._part_changes[name])
        self._parts[name] = layer, make
        return layer

    def _policy(self, kind: type[keras.layers.Layer], name: str) -> keras.DTypePolicy:
        """The dtype policy that this layer passes on to a layer inside it."""
        policy = self.dtype_policy
        if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
            if issubclass(kind, FeatureGate):
                return policy  # which may say something about the parts of that one
            policy = policy[f"{self.path}/{name}"]
        if policy.quantization_mode is None or kind.quantize is not keras.layers.Layer.quantize:
            return policy
        # Keras builds any layer with a quantized policy, but then most cannot be called.
        return keras.dtype_policies.get(policy.get_config()["source_name"])

    def mean(self, inputs, axis, keepdims: bool = False):
        """The mean along one or more axes, accumulated in at least float32."""
        return ops.mean(at_least_float32(inputs), axis=axis, keepdims=keepdims)

    def gates(self, inputs):
        """The gates by which the layer multiplies its input.

        Args:
            inputs: feature map `(N, H, W, C)`, as for the layer itself. For a symbolic Keras tensor the result is symbolic, so
                `keras.Model(model.inputs, [se.gates(se.input) for se in ...])` reads the gates of a whole network.

        Returns:
            Gates of shape `(N, C)` if they are the same at all positions; otherwise `(N, H, W, C)`, or `(N, H, W, 1)` if they are
            the same for all channels. With `"channels_first"`, C is the second axis.
        """
        raise NotImplementedError

    def deciding_weights(self) -> tuple[list[keras.Variable], list[keras.Variable]]:
        """The weights that are followed by nothing but the gates' activation: those that multiply, and those that are added.

        If all that multiply are zero, the gates do not depend on the image; if the others are zero, too, all gates are equal.
        """
        raise NotImplementedError

    def make_constant(self) -> float:
        """Sets the deciding weights to zero: all gates become one number for every image, and can still learn.

        Returns:
            That number.
        """
        for weight in itertools.chain(*self.deciding_weights()):
            weight.assign(ops.zeros(weight.shape))
        return float(self.constant_gates()[0])

    def constant_gates(self) -> np.ndarray | None:
        """The gates, of shape `(C,)`, if they do not depend on the image; otherwise None."""
        if any(np.any(ops.convert_to_numpy(factor)) for factor in self.deciding_weights()[0]):
            return None
        shape = [1, *(side or 8 for side in self.input.shape[1:])]
        gates = ops.broadcast_to(self.along_the_map(self.gates(ops.zeros(shape, self.compute_dtype))), shape)
        gates = np.moveaxis(ops.convert_to_numpy(ops.cast(gates, "float32")), self.channel_axis, -1)
        return gates.reshape(-1, gates.shape[-1])[0]

    def along_the_map(self, gates):
        """Gates of shape `(N, C)` as `(N, 1, 1, C)`; others unchanged."""
        return ops.expand_dims(gates, self.spatial_axes) if len(gates.shape) == 2 else gates

    def call(self, inputs):
        # A part with a dtype policy of its own may have changed the dtype.
        return inputs * ops.cast(self.along_the_map(self.gates(inputs)), inputs.dtype)

    def quantized_call(self, inputs):
        # Only the parts are quantized.
        return self.call(inputs)

    def quantize(self, mode=None, type_check=True, config=None):
        """Quantizes the layers inside this one that Keras can quantize, and warns of the others, as `keras.Model.quantize` does.

        Raises:
            NotImplementedError: if there are none.
        """
        refusals = []
        for layer, _ in self._parts.values():
            try:
                layer.quantize(mode, type_check=type_check, config=config)
            except NotImplementedError as error:
                refusals.append((layer, str(error)))
        if len(refusals) == len(self._parts):
            super().quantize(mode, type_check, config)
        for layer, refusal in refusals:
            if layer.weights:
                warnings.warn(refusal, stacklevel=3)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {**super().get_config(), "data_format": self.data_format}
        if self.built:
            state = random.getstate()  # from which Keras draws seeds for the initializers of new layers
            changes = {name: _changes(layer, make()) for name, (layer, make) in self._parts.items()}
            random.setstate(state)
            parts = {name: changed for name, changed in changes.items() if changed}
        else:
            parts = self._part_changes
        return {**config, "parts": dict(parts)} if parts else config


def _changes(layer: keras.layers.Layer, fresh: keras.layers.Layer) -> dict:
    """What is different in the configuration of `layer` from that of `fresh`."""
    before, after = _unshared(fresh.get_config()), _unshared(layer.get_config())
    return {key: value for key, value in after.items() if key not in before or value != before[key]}


def _unshared(config):
    """A configuration without the ids that Keras gives to objects that it meets twice while it saves a model."""
    if isinstance(config, dict):
        return {key: _unshared(value) for key, value in config.items() if key != "shared_object_id"}
    return config


class BottleneckGate(FeatureGate):
    """A gate with a bottleneck: fewer hidden units than the feature map has channels.

    A subclass computes the hidden units with a `Dense` layer, `reduce`.

    Args:
        reduction: integer, number of input channels for each hidden unit.
        use_bias: whether the fully connected layers have biases.
        **kwargs: `data_format`, and `name`, `dtype` and `trainable` of `keras.layers.Layer`.

    Raises:
        ValueError: if `reduction` is not an integer of at least 1.
    """

    def __init__(self, reduction: int = 16, use_bias: bool = True, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(reduction, int) or reduction < 1:
            raise InputError(f"`reduction` must be an integer of at least 1. Received: reduction={reduction}")
        self.reduction = reduction
        self.use_bias = use_bias

    def reduced(self, channels: int) -> int:
        """The number of hidden units for a number of channels.

        Raises:
            ValueError: if it would be zero.
        """
        if channels < self.reduction:
            raise InputError(
                f"The excitation of {self.name!r} needs at least one hidden unit. Received {channels} channels with "
                f"reduction={self.reduction}; use a reduction of at most {channels}."
            )
        return channels // self.reduction

    def make_constant(self):
        # A hidden unit and its negative are never both off, so half of the hidden units learn, whatever the map.
        kernel = ops.convert_to_numpy(self.reduce.kernel).copy()
        half = kernel.shape[1] // 2
        kernel[:, half : 2 * half] = -kernel[:, :half]
        self.reduce.kernel.assign(kernel)
        return super().make_constant()

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction, "use_bias": self.use_bias}
