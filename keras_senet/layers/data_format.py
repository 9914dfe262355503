"""The order of axes in an image."""

import keras

from keras_senet.errors import InputError


def standardize_data_format(data_format: str | None) -> str:
    """`data_format`, or Keras' default for None.

    Raises:
        ValueError: if it is neither "channels_last" nor "channels_first".
    """
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise InputError(f'`data_format` must be "channels_last" or "channels_first". Received: data_format={data_format!r}')
    return data_format
