"""The order of the axes in a batch of images."""

import keras

from keras_senet.errors import InputError


def standardize_data_format(data_format: str | None) -> str:
    """`data_format`, or the default of Keras for None.

    Raises:
        ValueError: if it is neither "channels_last" nor "channels_first".
    """
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise InputError(f'`data_format` must be "channels_last" or "channels_first". Received: data_format={data_format!r}')
    return data_format


def channel_axis(data_format: str | None = None) -> int:
    """The axis of the channels: -1 or 1. None is the default of Keras."""
    return -1 if standardize_data_format(data_format) == "channels_last" else 1
