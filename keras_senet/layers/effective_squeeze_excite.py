"""Effective squeeze-and-excitation (eSE) as one Keras layer."""

import keras

from keras_senet.layers.feature_gate import FeatureGate


@keras.saving.register_keras_serializable(package="keras_senet")
class EffectiveSqueezeExcite(FeatureGate):
    """Rescales the channels of a feature map by gates from one fully connected layer: SE without its bottleneck.

    Args:
        **kwargs: `data_format`, by default `keras.config.image_data_format()`; `name`, `dtype` and `trainable` of
            `keras.layers.Layer`.

    Input shape: `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`. H and W may be unknown.

    Output shape: same as the input.

    Raises:
        ValueError: if the input does not have rank 4, or its number of channels is unknown.

    Source: Lee and Park, "CenterMask: Real-Time Anchor-Free Instance Segmentation", arXiv 1911.06667, section 3.3; the gate is
    the hard sigmoid of the authors' code.

    Example:

    >>> layer = keras_senet.layers.EffectiveSqueezeExcite()
    >>> x = np.random.rand(2, 8, 8, 64).astype("float32")
    >>> layer(x).shape, layer.count_params()
    (TensorShape([2, 8, 8, 64]), 4160)
    """

    def build(self, input_shape):
        channels = self.known_channels(input_shape)
        self.dense = self.part("dense", keras.layers.Dense, channels, "hard_sigmoid")
        self.dense.build((None, channels))

    def gates(self, inputs):
        return self.dense(self.mean(inputs, self.spatial_axes))

    def deciding_weights(self):
        return [self.dense.kernel], [self.dense.bias]
