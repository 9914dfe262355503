"""Which image formats can be read, by what names their files go, and how to say that a file is none of them."""

import dataclasses
import functools
import importlib.util


@dataclasses.dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: what people call it.
        suffixes: endings of its files, lower case.
        pillow: name of Pillow's reader.
        package: package that adds this reader to Pillow, for a format that Pillow itself does not read.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow: str
    package: str | None = None


FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    Format("PNG", (".png", ".apng"), "PNG"),
    Format("GIF", (".gif",), "GIF"),
    Format("BMP", (".bmp",), "BMP"),
    Format("WebP", (".webp",), "WEBP"),
    Format("TIFF", (".tif", ".tiff"), "TIFF"),
    Format("AVIF", (".avif",), "AVIF"),
    Format("HEIC", (".heic", ".heif", ".hif"), "HEIF", "pillow_heif"),
)


@functools.cache
def readable_formats() -> tuple[Format, ...]:
    """Those of `FORMATS` whose readers are installed: not every build of Pillow has all of its own.

    Example:

    >>> [each.name for each in keras_senet.data.formats.readable_formats()][:4]
    ['JPEG', 'PNG', 'GIF', 'BMP']
    """
    from PIL import Image

    Image.init()
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(each for each in FORMATS if each.pillow in Image.OPEN)


@functools.cache
def image_suffixes() -> tuple[str, ...]:
    """The endings of the files that can be read, sorted."""
    return tuple(sorted(suffix for each in readable_formats() for suffix in each.suffixes))


def not_an_image() -> str:
    """What is wrong with a file that cannot be read: it "is damaged, or not a JPEG, ... image"."""
    *names, last = (each.name for each in readable_formats())
    return f"damaged, or not a {', '.join(names)} or {last} image"
