"""What Pillow reads: whole images in the formats that TensorFlow does not read, or does not read right, and metadata."""

import contextlib
import io
import os
import re

import numpy as np

from keras_senet.data.formats import not_an_image, readable_formats
from keras_senet.errors import InputError

_HEIC_OR_AVIF = re.compile(rb".{4}ftyp(?:(hei|hev|mif1|msf1)|avi)", re.DOTALL)


def read_by_pillow(encoded: bytes) -> np.ndarray:
    """The upright pixels of an image file, of the first frame or page; what is transparent is white.

    Args:
        encoded: the bytes of a file in one of `readable_formats()`.

    Returns:
        Uint8 RGB pixels of shape `(H, W, 3)`.

    Raises:
        ValueError: if the file is damaged, is not an image, is so large that Pillow takes it for an attack, or has pixels of 32
            bits. The message lacks its subject, the name of the file.
    """
    from PIL import Image, ImageOps

    formats = [each.pillow for each in readable_formats()]  # others, such as PostScript, are programs rather than images
    try:
        with Image.open(io.BytesIO(encoded), formats=formats) as image:
            image.load()
            with contextlib.suppress(Exception):  # Pillow fails in many ways on damaged metadata, and pixels are worth more
                ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image)
    except Image.DecompressionBombError as error:
        raise InputError(f"is too large: {error}") from error
    except InputError:
        raise
    except Exception as error:  # each of Pillow's decoders has its own ways to fail
        problem = _missing_reader(encoded) or not_an_image()
        raise InputError(f"is {problem}.") from error


def orientation_by_pillow(encoded: bytes) -> np.int32:
    """The orientation that the metadata of a JPEG file note, from 1 to 8; 1 if they are damaged."""
    from PIL import JpegImagePlugin

    # Image.open would refuse large images, which TensorFlow reads at a lower resolution.
    with contextlib.suppress(Exception), JpegImagePlugin.JpegImageFile(io.BytesIO(encoded)) as image:
        return np.int32(orientation_of(image))
    return np.int32(1)


def shape_by_pillow(encoded: bytes) -> np.ndarray:
    """The height and width, int32 of shape `(2,)`, of what `read_by_pillow` returns; without decoding it where that can be.

    Raises:
        ValueError: if there is no header that Pillow reads.
    """
    shape = stored_shape(io.BytesIO(encoded))
    if shape is None:
        raise InputError(f"is {_missing_reader(encoded) or not_an_image()}.")
    width, height, orientation = shape
    return np.array((width, height) if orientation > 4 else (height, width), np.int32)


def stored_shape(file: str | os.PathLike | io.BytesIO) -> tuple[int, int, int] | None:
    """Width and height of an image file as it is stored, and its orientation from 1 to 8; None if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(file, formats=[each.pillow for each in readable_formats()]) as image:
            if image.format in ("PNG", "TIFF"):
                image.load()  # of a PNG file metadata may follow the pixels, and a TIFF file is turned by this
            width, height = image.size
            orientation = 1
            with contextlib.suppress(Exception):  # on damaged metadata
                orientation = orientation_of(image)
            return width, height, orientation
    except Exception:  # reading says what is wrong
        return None


def orientation_of(image) -> int:
    """The orientation that the metadata of an image that Pillow has opened note, from 1 to 8."""
    from PIL import ExifTags

    orientation = image.getexif().get(ExifTags.Base.Orientation)
    return orientation if orientation in range(1, 9) else 1


def _rgb(image) -> np.ndarray:
    from PIL import Image

    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise InputError("has pixels of 32 bits, which have no agreed range: convert it to 8 or 16 bits.")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image.convert("RGB"))


def _missing_reader(encoded: bytes) -> str | None:
    """What to install for a HEIC or AVIF file; None if that is not what is wrong."""
    match = _HEIC_OR_AVIF.match(encoded)
    name = match and ("HEIC" if match[1] else "AVIF")
    if match is None or name in [each.name for each in readable_formats()]:
        return None
    article, extra = ("a", "pip install 'keras-senet[photos]'") if name == "HEIC" else ("an", "pip install --upgrade pillow")
    return f"{article} {name} image, whose reader is not installed. Install it with: {extra}"
