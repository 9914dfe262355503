"""RandAugment's operations in Pillow: the tests compare ours with them, and a benchmark races them."""

from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps


def _moved(image: Image.Image, *source: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, source, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))


def _enhanced(kind: type) -> Callable:
    return lambda image, level: kind(image).enhance(1 + 0.9 * level)


# Functions of an image and of a level in [-1, 1], by the same names.
OPERATIONS = {
    "AutoContrast": lambda image, level: ImageOps.autocontrast(image),
    "Equalize": lambda image, level: ImageOps.equalize(image),
    "Invert": lambda image, level: ImageOps.invert(image),
    "Rotate": lambda image, level: image.rotate(30 * level, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128)),
    "Posterize": lambda image, level: ImageOps.posterize(image, max(1, 4 - int(4 * abs(level)))),
    "Solarize": lambda image, level: ImageOps.solarize(image, 256 - int(256 * abs(level))),
    "SolarizeAdd": lambda image, level: image.point(
        [min(255, value + int(110 * abs(level))) if value < 128 else value for value in range(256)] * 3
    ),
    "Color": _enhanced(ImageEnhance.Color),
    "Contrast": _enhanced(ImageEnhance.Contrast),
    "Brightness": _enhanced(ImageEnhance.Brightness),
    "Sharpness": _enhanced(ImageEnhance.Sharpness),
    "ShearX": lambda image, level: _moved(image, 1, 0.3 * level, 0, 0, 1, 0),
    "ShearY": lambda image, level: _moved(image, 1, 0, 0, 0.3 * level, 1, 0),
    "TranslateX": lambda image, level: _moved(image, 1, 0, -round(0.45 * level * image.width), 0, 1, 0),
    "TranslateY": lambda image, level: _moved(image, 1, 0, 0, 0, 1, -round(0.45 * level * image.height)),
}
