"""Masks: PNG images whose values are class indices. How they are read, and what they hold."""

import io
import os

import numpy as np
import tensorflow as tf

from keras_senet.data.pixels import is_gray_png
from keras_senet.errors import InputError


def read_mask(encoded: tf.Tensor, shape: tf.Tensor, *, portable: bool = False) -> tf.Tensor:
    """The values of an encoded mask, upright: uint8 of shape `(H, W, 1)`.

    Args:
        encoded: scalar string, the bytes of a gray PNG file or of one with a palette.
        shape: (height, width) that the mask must have, those of its image.
        portable: whether it must run where there is no Python; then only gray PNG files of 8 bits can be read.
    """

    def gray():
        return tf.io.decode_png(encoded, channels=1)

    def other():
        if portable:
            with tf.control_dependencies([tf.debugging.Assert(False, ["Without Python a mask must be a gray PNG of 8 bits."])]):
                return tf.zeros((1, 1, 1), tf.uint8)
        return tf.numpy_function(lambda content: mask_values(content)[..., np.newaxis], [encoded], tf.uint8, stateful=False)

    mask = tf.ensure_shape(tf.cond(is_gray_png(encoded), gray, other), (None, None, 1))
    check = tf.debugging.assert_equal(tf.shape(mask)[:2], shape, "A mask must be as large as its image.")
    with tf.control_dependencies([check] if check is not None else []):  # there is none outside of a graph
        return tf.identity(mask)


def mask_values(encoded: bytes) -> np.ndarray:
    """The values of a mask, upright: uint8 of shape `(H, W)`; of a PNG with a palette, its indices.

    Raises:
        ValueError: if it is no such image. The message lacks its subject, the name of the file.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
            image.load()
            values = np.asarray(ImageOps.exif_transpose(image))
            mode = image.mode
    except Exception as error:  # Pillow's decoder has many ways to fail
        raise InputError("is damaged, or no PNG image: a mask is a gray PNG, or one with a palette.") from error
    depth, color = encoded[24:26]
    if color == 0 and depth in (2, 4):
        values = values // (255 // (2**depth - 1))  # by which Pillow multiplies grays of few bits
    if values.ndim > 2:
        raise InputError(
            f"has colors (Pillow's mode {mode}), but the values of a mask are class indices: save it as a gray PNG, or "
            "with a palette."
        )
    if values.max(initial=0) > 255:
        raise InputError(f"has the value {values.max()}, but classes end at 254, and 255 is no class.")
    return values.astype(np.uint8)


def mask_content(file: str | os.PathLike) -> tuple[tuple[int, int], tuple[int, ...]]:
    """The height and width of a mask, and the values that occur in it.

    Raises:
        ValueError: if it cannot be read as a mask; the message names the file.
    """
    with open(file, "rb") as opened:
        encoded = opened.read()
    try:
        values = mask_values(encoded)
    except InputError as error:
        raise InputError(f"The mask {os.fspath(file)} {error}") from error
    return values.shape, tuple(np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist())
