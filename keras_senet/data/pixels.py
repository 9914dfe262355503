"""From the bytes of an image file to upright RGB pixels: the one reader for training, evaluation, prediction and SavedModels.

TensorFlow decodes JPEG and PNG files: of a JPEG file only the window that is needed, and at 1/2, 1/4 or 1/8 where it is many
times larger than the result. Pillow reads all other formats. A SavedModel runs without Python; there, what TensorFlow cannot read
is an error.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_senet.data.orientation import (
    is_plain_jpeg,
    jpeg_orientation,
    png_orientation,
    stored_window,
    turned,
    upright_shape,
    webp_orientation,
)
from keras_senet.data.pillow_reader import orientation_by_pillow, read_by_pillow, shape_by_pillow

Window = Callable[[tf.Tensor], tf.Tensor]

# An image that is decoded at a lower resolution must still be so many times larger than the result, or pixels would change by
# more than 8 of 255. 4000 x 3000 pixels, cropped to 7/8 for a network of 224, are just decoded at 1/4.
_MARGIN = 2.9
_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}
_MAX_PIXELS = 178_956_970  # the limit of Pillow, beyond which a file is taken for an attack
_METADATA_OR_TRANSPARENCY = (
    r"\C{25}([\x04\x06]|\C*(eXIf|tRNS|tiff:Orientation|Raw profile type exif|XML:com\.adobe\.xmp\x00\x01))\C*"
)
# Metadata that TensorFlow operations cannot read: hexadecimal text, or compressed.
_HIDDEN_ORIENTATION = r"\C*(Raw profile type exif|XML:com\.adobe\.xmp\x00\x01)\C*"
_NOT_PORTABLE = "The image is damaged, or TensorFlow alone cannot read it: send a JPEG, PNG, still WebP or 24-bit BMP file."


def decode_window(encoded: tf.Tensor, window: Window, *, portable: bool = False) -> tf.Tensor:
    """A window of an encoded image, upright; of a JPEG file only the window is decoded.

    Args:
        encoded: scalar string, the bytes of an image file.
        window: function from the image's (height, width) to the window's (top, left, height, width), int32 tensors.
        portable: whether to use nothing but TensorFlow operations, for graphs that run without this process. They read JPEG,
            PNG, still WebP and 24-bit BMP files.

    Returns:
        Uint8 RGB pixels of shape `(height, width, 3)`.
    """
    pixels = _read(encoded, window, portable, lambda encoded, crop, _: _decode_jpeg(encoded, crop), tf.identity)
    return tf.ensure_shape(pixels, (None, None, 3))


def resized_window(
    encoded: tf.Tensor,
    window: Window,
    image_size: int | tf.Tensor,
    interpolation: str = "bilinear",
    antialias: bool = False,
    *,
    portable: bool = False,
) -> tf.Tensor:
    """A window of an encoded image, resized to a square or to a (height, width); arguments as of `decode_window`.

    JPEG files much larger than the result are decoded at a lower resolution, and resized with antialiasing in any case.
    """
    size = tf.broadcast_to(tf.convert_to_tensor(image_size), (2,))

    def resized(pixels, size):
        # Resizing floats is faster than resizing bytes, with the same result.
        return tf.image.resize(tf.cast(pixels, tf.float32), size, interpolation, antialias=antialias)

    def reduced(encoded, crop, size):
        return _reduced(encoded, crop, size, interpolation)

    called = _apart(reduced, tf.TensorSpec((), tf.string), tf.TensorSpec((4,), tf.int32), tf.TensorSpec((2,), tf.int32))

    def from_crop(encoded, crop, orientation):
        stored_size = upright_shape(size, orientation)  # which swaps the same two
        return tf.cond(
            _reduction(crop, stored_size) >= 2,
            lambda: called(encoded, crop, stored_size),
            lambda: resized(_decode_jpeg(encoded, crop), stored_size),
        )

    image = _read(encoded, window, portable, from_crop, lambda pixels: resized(pixels, size))
    static = (image_size, image_size) if isinstance(image_size, int) else (None, None)
    return tf.ensure_shape(image, (*static, 3))


def image_shape(encoded: tf.Tensor, *, portable: bool = False) -> tf.Tensor:
    """The (height, width) of an encoded image, upright, from its header where there is one that TensorFlow or Pillow reads.

    Args:
        encoded: scalar string, the bytes of an image file.
        portable: as for `decode_window`.
    """

    def jpeg():
        orientation = jpeg_orientation(encoded) if portable else _by_pillow(orientation_by_pillow, encoded, tf.int32, ())
        return upright_shape(tf.io.extract_jpeg_shape(encoded)[:2], orientation)

    def unusual():
        if portable:
            return tf.shape(_decode_without_python(encoded))[:2]
        return _by_pillow(shape_by_pillow, encoded, tf.int32, (2,))

    def other():
        return tf.cond(_is_plain_png(encoded), lambda: _png_shape(encoded), unusual)

    def not_plain():
        return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)

    return tf.cond(is_plain_jpeg(encoded), lambda: tf.io.extract_jpeg_shape(encoded)[:2], _apart(not_plain))


def _read(
    encoded: tf.Tensor,
    window: Window,
    portable: bool,
    from_jpeg: Callable[[tf.Tensor, tf.Tensor, tf.Tensor | int], tf.Tensor],
    from_pixels: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """A window of an encoded image: `from_jpeg(encoded, window, orientation)`, turned upright, or `from_pixels(pixels)`."""
    encoded = tf.convert_to_tensor(encoded, tf.string)

    def plain_jpeg():
        return from_jpeg(encoded, window(tf.io.extract_jpeg_shape(encoded)[:2]), 1)

    def jpeg():
        orientation = jpeg_orientation(encoded) if portable else _by_pillow(orientation_by_pillow, encoded, tf.int32, ())
        shape = upright_shape(tf.io.extract_jpeg_shape(encoded)[:2], orientation)
        return turned(from_jpeg(encoded, stored_window(window(shape), shape, orientation), orientation), orientation)

    def unusual():
        if portable:
            return _decode_without_python(encoded)
        return _by_pillow(read_by_pillow, encoded, tf.uint8, (None, None, 3))

    def other():
        pixels = tf.cond(_is_plain_png(encoded), lambda: tf.io.decode_png(encoded, channels=3), unusual)
        top, left, height, width = tf.unstack(window(tf.shape(pixels)[:2]), num=4)
        return from_pixels(pixels[top : top + height, left : left + width])

    def not_plain():
        return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)

    return tf.cond(is_plain_jpeg(encoded), plain_jpeg, _apart(not_plain))


def _apart(function: Callable[..., tf.Tensor], *inputs: tf.TensorSpec) -> Callable[..., tf.Tensor]:
    """`function`, which few images need, as a graph of its own that is called.

    TensorFlow visits all operations in the branches of a condition, even in those that are not taken. A call is only one.
    """
    if tf.executing_eagerly():
        return function
    return tf.function(function, input_signature=inputs, autograph=False, experimental_attributes={"_noinline": True})


def _by_pillow(function: Callable[[bytes], np.ndarray], encoded: tf.Tensor, dtype: tf.DType, shape: tuple) -> tf.Tensor:
    if tf.executing_eagerly():  # where tf.numpy_function would pass an array that holds the bytes
        return tf.constant(function(encoded.numpy()))
    return tf.ensure_shape(tf.numpy_function(function, [encoded], dtype, stateful=False), shape)


def _decode_jpeg(encoded: tf.Tensor, crop: tf.Tensor, ratio: int = 1) -> tf.Tensor:
    # The default transform is faster, but darkens images by 0.5 of 255 on average.
    return tf.io.decode_and_crop_jpeg(encoded, crop, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _reduction(crop: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """By how much the resolution of a crop may be reduced before it is resized to `size`."""
    return tf.reduce_min(tf.cast(crop[2:], tf.float32) / (tf.cast(size, tf.float32) * _MARGIN))


def _reduced(encoded: tf.Tensor, crop: tf.Tensor, size: tf.Tensor, interpolation: str) -> tf.Tensor:
    """A crop of a JPEG file, resized to `size` after decoding at 1/8, 1/4 or 1/2, the first that leaves enough pixels."""
    top, left, height, width = tf.unstack(crop, num=4)
    reduction = _reduction(crop, size)
    ratio = tf.where(reduction >= 8, 8, tf.where(reduction >= 4, 4, 2))
    rows, columns = _Reduced.of(top, height, ratio, size[0]), _Reduced.of(left, width, ratio, size[1])
    reduced_crop = tf.stack([rows.first, columns.first, rows.count, columns.count])
    decoders = [functools.partial(_decode_jpeg, encoded, reduced_crop, each) for each in (2, 4, 8)]
    pixels = tf.cast(tf.switch_case(ratio // 4, decoders), tf.float32)

    def resized(images, size, scale, shift):
        return tf.raw_ops.ScaleAndTranslate(
            images=images, size=size, scale=scale, translation=shift, kernel_type=_KERNELS[interpolation], antialias=True
        )

    # Pixels at the edges may lie partly outside the crop, and count by the share inside: so the result is divided by that of the
    # shares. Of two axes, since TensorFlow is slow at multiplying along the middle one of three.
    flat = tf.reshape(pixels, (rows.count, -1)) * (tf.expand_dims(rows.shares, 1) * tf.repeat(columns.shares, 3))
    images = tf.reshape(flat, tf.stack([1, rows.count, columns.count, 3]))
    result = resized(images, size, tf.stack([rows.scale, columns.scale]), tf.stack([rows.shift, columns.shift]))
    weights = [
        resized(
            tf.reshape(axis.shares, (1, -1, 1, 1)), tf.stack([side, 1]), tf.stack([axis.scale, 1.0]), tf.stack([axis.shift, 0.0])
        )
        for axis, side in ((rows, size[0]), (columns, size[1]))
    ]
    return tf.squeeze(result / (weights[0] * tf.transpose(weights[1], (0, 2, 1, 3))), 0)


class _Reduced(NamedTuple):
    """One axis of a crop at a lower resolution.

    Attributes:
        first, count: which pixels of the lower resolution the crop touches.
        shares: how much of each lies inside the crop, float32 of shape `(count,)`.
        scale, shift: what makes places in these pixels places in the result.
    """

    first: tf.Tensor
    count: tf.Tensor
    shares: tf.Tensor
    scale: tf.Tensor
    shift: tf.Tensor

    @classmethod
    def of(cls, begin: tf.Tensor, size: tf.Tensor, ratio: tf.Tensor, result: tf.Tensor) -> "_Reduced":
        first = begin // ratio
        count = (begin + size + ratio - 1) // ratio - first
        begin, end = (tf.cast(place, tf.float32) / tf.cast(ratio, tf.float32) for place in (begin - first * ratio, size))
        end += begin
        place = tf.cast(tf.range(count), tf.float32)
        scale = tf.cast(result, tf.float32) / (end - begin)
        return cls(first, count, tf.minimum(place + 1.0, end) - tf.maximum(place, begin), scale, -begin * scale)


def _decode_without_python(encoded: tf.Tensor) -> tf.Tensor:
    """What TensorFlow reads right among the formats other than JPEG: PNG, 24-bit BMP, and WebP that is not animated."""

    def part(position, size):
        padded = tf.strings.substr(encoded, 0, position + size) + bytes(position + size)
        return tf.strings.substr(padded, position, size)

    def png():
        return turned(_over_white(tf.io.decode_png(encoded, channels=4)), png_orientation(encoded))

    def webp():
        frame = tf.io.decode_webp(encoded)[0]
        rgba = tf.concat([frame, tf.fill(tf.shape(frame[..., :1]), tf.constant(255, tf.uint8))], -1)[..., :4]
        return turned(_over_white(tf.ensure_shape(rgba, (None, None, 4))), webp_orientation(encoded))

    def refused():
        with tf.control_dependencies([tf.debugging.Assert(False, [_NOT_PORTABLE])]):
            return tf.zeros((1, 1, 3), tf.uint8)

    is_png = _is_png(encoded) & ~tf.strings.regex_full_match(encoded, _HIDDEN_ORIENTATION)
    is_bmp = (part(0, 2) == b"BM") & (part(28, 6) == b"\x18\0\0\0\0\0")
    is_webp = (part(0, 4) == b"RIFF") & (part(8, 4) == b"WEBP")
    # TensorFlow 2.21 writes beyond its memory when it decodes an animation.
    is_animation = (part(12, 4) == b"VP8X") & (tf.bitwise.bitwise_and(tf.io.decode_raw(part(20, 1), tf.uint8)[0], 2) > 0)
    readers = [(is_png, png), (is_bmp, lambda: tf.io.decode_bmp(encoded, channels=3))]
    if hasattr(tf.io, "decode_webp"):  # newer than the oldest TensorFlow that we support
        readers.append((is_webp & ~is_animation, webp))
    return tf.ensure_shape(tf.case(readers, default=refused), (None, None, 3))


def _is_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether this is a PNG file, of a size that is no attack."""
    is_png = tf.strings.substr(encoded, 0, 16) == b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    return is_png & (tf.reduce_prod(tf.cast(_png_shape(encoded), tf.int64)) <= _MAX_PIXELS)


def is_gray_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether this is a gray PNG file of 8 bits, whose values TensorFlow reads as they are, and which is upright."""
    return _is_plain_png(encoded) & (tf.strings.substr(encoded + bytes(26), 24, 2) == b"\x08\x00")


def _png_shape(encoded: tf.Tensor) -> tf.Tensor:
    """The (height, width) that the header of a PNG file names."""
    sides = tf.io.decode_raw(tf.strings.substr(encoded + bytes(24), 16, 8), tf.int32, little_endian=False, fixed_length=8)
    return tf.ensure_shape(sides, (2,))[::-1]


def _is_plain_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether this is a PNG file without transparency and without metadata that could say how to turn it."""
    # Patterns that are constants are compiled when they are needed, others with each pipeline.
    is_plain = ~tf.strings.regex_full_match(encoded, tf.constant(_METADATA_OR_TRANSPARENCY))
    return _is_png(encoded) & is_plain


def _over_white(rgba: tf.Tensor) -> tf.Tensor:
    """Uint8 pixels `(H, W, 4)` over a white ground, `(H, W, 3)`."""
    pixels, alpha = tf.cast(rgba[..., :3], tf.int32), tf.cast(rgba[..., 3:], tf.int32)
    return tf.cast((pixels * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
