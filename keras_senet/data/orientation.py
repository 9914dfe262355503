"""Which way up a photograph is: the orientation in its EXIF or XMP data, and how windows and pixels are turned by it.

Cameras store photographs as the sensor lies and note how to turn them. All of this is TensorFlow operations on the bytes of a
file, so that it also works in a SavedModel, where there is no Python. Odd files are read as by `PIL.ImageOps.exif_transpose`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Whether the stored image, once transposed where need be, is to be flipped vertically and horizontally, by its orientation.
FLIPS = np.array([(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0)], bool)
_MAX_CHUNKS = 10_000
_PLAIN_HEADER = 1024  # bytes; the header of a JPEG file without metadata is smaller


class _Container(NamedTuple):
    """A file format that is a sequence of chunks.

    Attributes:
        start: where the first chunk begins.
        exif, xmp: what a chunk of EXIF or XMP data contains, pairs of a position in the chunk and bytes.
        data: where the data of a chunk begins.
        measure: function from the first eight bytes of a chunk, int64, to three numbers: the size of its data, the size of the
            chunk, and whether no chunk of metadata can follow.
    """

    start: int
    exif: tuple[tuple[int, bytes], ...]
    xmp: tuple[tuple[int, bytes], ...]
    data: int
    measure: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def _number(digits: tf.Tensor, is_little_endian: tf.Tensor | bool = False) -> tf.Tensor:
    """Bytes `(..., N)` as unsigned integers."""
    weights = 256 ** tf.range(digits.shape[-1], dtype=tf.int64)
    return tf.reduce_sum(digits * tf.where(is_little_endian, weights, weights[::-1]), axis=-1)


def _measure_jpeg(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    marker, size = _number(head[:2]), _number(head[2:4])
    is_fill = (marker < 0xFF00) | (marker == 0xFFFF)
    has_no_size = ((marker >= 0xFFD0) & (marker <= 0xFFD8)) | (marker <= 0xFF01)
    one = tf.ones_like(size)
    step = tf.where(is_fill, one, tf.where(has_no_size, 2 * one, 2 + size))
    return size - 2, step, (marker == 0xFFDA) | (marker == 0xFFD9)


def _measure_png(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    size = _number(head[:4])
    return size, 12 + size, tf.constant(False)


def _measure_webp(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    size = _number(head[4:], is_little_endian=True)
    return size, 8 + size + size % 2, tf.constant(False)


_JPEG = _Container(
    2, ((0, b"\xff\xe1"), (4, b"Exif\0\0")), ((0, b"\xff\xe1"), (4, b"http://ns.adobe.com/xap/1.0/\0")), 4, _measure_jpeg
)
_PNG = _Container(8, ((4, b"eXIf"),), ((4, b"iTXtXML:com.adobe.xmp\0"),), 8, _measure_png)
_WEBP = _Container(12, ((0, b"EXIF"),), ((0, b"XMP "),), 8, _measure_webp)


def is_plain_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether this is a JPEG file without metadata that could say how to turn it; False where a closer look is needed.

    Most files without metadata consist of a JFIF header, tables and an image. The way from segment to segment of others takes a
    quarter of the time that it takes to decode a small image.
    """
    header = tf.strings.substr(encoded, 0, _PLAIN_HEADER) + bytes(22)  # so that a part of it can be taken of the shortest file
    is_jfif = tf.strings.substr(header, 0, 6) == b"\xff\xd8\xff\xe0\x00\x10"
    tables_follow = tf.strings.substr(header, 20, 2) == b"\xff\xdb"
    return is_jfif & tables_follow & ~tf.strings.regex_full_match(header, r"\C*(Exif|ns\.adobe)\C*")


def jpeg_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation of a JPEG file, an int32 scalar from 1, upright, to 8. See `turned`."""
    return _orientation(encoded, _JPEG)


def png_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation of a PNG file; see `jpeg_orientation`."""
    return _orientation(encoded, _PNG)


def webp_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation of a WebP file; see `jpeg_orientation`."""
    return _orientation(encoded, _WEBP)


def upright_shape(shape: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The (height, width) of an image that is stored with `shape`."""
    return tf.where(orientation > 4, tf.reverse(shape, (0,)), shape)


def stored_window(window: tf.Tensor, shape: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Where a window of the upright image lies in the stored one.

    Args:
        window: (top, left, height, width) in the upright image.
        shape: (height, width) of the upright image.
        orientation: int32 scalar from 1 to 8.
    """
    begin, size = tf.split(window, 2)
    begin = tf.where(tf.gather(FLIPS, orientation), shape - begin - size, begin)
    return tf.concat([upright_shape(begin, orientation), upright_shape(size, orientation)], 0)


def turned(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Stored pixels `(H, W, C)` turned upright.

    Args:
        pixels: the stored pixels.
        orientation: int32 scalar: 1 for an upright image, 2 for a mirrored one, 3 for one that is upside down, 4 for its mirror
            image, 5 for a transposed one, 6 for one to be turned clockwise, 7 for its mirror image, 8 for one to be turned
            counterclockwise.
    """
    pixels = tf.cond(orientation > 4, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    return tf.reverse(pixels, tf.squeeze(tf.where(tf.gather(FLIPS, orientation)), 1))


def _orientation(encoded: tf.Tensor, container: _Container) -> tf.Tensor:
    exif = _tiff_orientation(_chunk_data(encoded, container, container.exif))
    found = tf.cond(exif == 0, lambda: _xmp_orientation(_chunk_data(encoded, container, container.xmp)), lambda: exif)
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _chunk_data(encoded: tf.Tensor, container: _Container, contents: tuple[tuple[int, bytes], ...]) -> tf.Tensor:
    """The data of the first chunk with these contents; an empty string if there is none."""
    length = tf.cast(tf.strings.length(encoded), tf.int64)

    def part(position, size):
        return tf.strings.substr(encoded, position, tf.cast(size, tf.int64))

    def is_inside(position):
        return position + 8 <= length

    def measured(position):
        head = tf.io.decode_raw(part(position, 8), tf.uint8, fixed_length=8)
        return container.measure(tf.ensure_shape(tf.cast(head, tf.int64), (8,)))

    def is_it(position):
        return tf.reduce_all([part(tf.minimum(position + offset, length), len(text)) == text for offset, text in contents])

    def goes_on(position):
        # A tf.cond, since beyond the end there is nothing to read.
        return tf.cond(is_inside(position), lambda: ~is_it(position) & ~measured(position)[2], lambda: tf.constant(False))

    start = tf.constant(container.start, tf.int64)
    (position,) = tf.while_loop(
        goes_on, lambda position: (position + measured(position)[1],), (start,), maximum_iterations=_MAX_CHUNKS
    )

    def data():
        size = tf.maximum(measured(position)[0], 0)
        return part(tf.minimum(position + container.data, length), size)

    is_found = tf.cond(is_inside(position), lambda: is_it(position), lambda: tf.constant(False))
    return tf.cond(is_found, data, lambda: tf.constant(b""))


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation in EXIF data, which are a small TIFF file; 0 if there is none."""
    exif = tf.strings.regex_replace(exif, r"^(Exif\x00\x00){1,2}", "")
    length = tf.cast(tf.strings.length(exif), tf.int64)
    padded = exif + tf.constant(bytes(16))
    is_little_endian = tf.strings.substr(padded, 0, 2) == b"II"
    is_tiff = tf.strings.regex_full_match(tf.strings.substr(padded, 0, 4), r"(II|MM)(\*\x00|\x00\*)")

    def numbers(position, size):
        return tf.cast(tf.io.decode_raw(tf.strings.substr(padded, position, size), tf.uint8), tf.int64)

    def number(position, size):
        return _number(tf.ensure_shape(numbers(position, size), (size,)), is_little_endian)

    directory = tf.minimum(number(tf.constant(4, tf.int64), 4), length)
    count = tf.minimum(number(directory, 2), tf.maximum(length - directory - 2, 0) // 12)
    entries = tf.reshape(numbers(directory + 2, 12 * count), (-1, 12))
    tag, kind, values, short, long = (
        _number(entries[:, first:last], is_little_endian) for first, last in ((0, 2), (2, 4), (4, 8), (8, 10), (8, 12))
    )
    value = tf.where(kind == 3, short, long)
    is_orientation = (tag == 0x0112) & (values == 1) & ((kind == 3) | (kind == 4)) & is_tiff
    found = tf.boolean_mask(value, is_orientation)[-1:]  # the last one, as in Pillow
    return tf.cast(tf.reduce_sum(tf.clip_by_value(found, 0, 9)), tf.int32)


def _xmp_orientation(xmp: tf.Tensor) -> tf.Tensor:
    """The orientation in XMP data, 0 if there is none."""
    pattern = r'\C*?tiff:Orientation(?:="|>)([0-9])\C*'
    digit = tf.strings.regex_replace(xmp, pattern, r"\1")
    return tf.cond(
        tf.strings.regex_full_match(xmp, pattern), lambda: tf.strings.to_number(digit, tf.int32), lambda: tf.constant(0)
    )
