"""Image files as people have them: odd ones of every format, and what a viewer shows for each."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

ORIENTATIONS = range(1, 9)
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_PALETTE = bytes([255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 9, 9, 99, 0])  # blue, green, red, 0
PNG = b"\x89PNG\r\n\x1a\n"


def photograph(height: int = 48, width: int = 64) -> Image.Image:
    """Smooth, so that JPEG loses little, and different under every turn and flip."""
    down, right = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([255 * right, 255 * down, 128 * right**2 * (1 - down) + 60], -1)
    pixels[: height // 4, : width // 8] = 255, 0, 0
    return Image.fromarray(pixels.astype(np.uint8))


def stored(image: Image.Image, orientation: int) -> Image.Image:
    """An upright image as a camera stores it that notes `orientation`."""
    return image if orientation == 1 else image.transpose(_STORED[orientation])


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(image: Image.Image, **options) -> bytes:
    return encoded(image, "jpeg", quality=95, subsampling=0, **options)


def shown(file: bytes) -> np.ndarray:
    """What a viewer shows, by Pillow alone: upright, over white, the first frame."""
    image = Image.open(io.BytesIO(file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return np.repeat(np.uint8(np.asarray(image) // 256)[..., np.newaxis], 3, -1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.asarray(image.convert("RGB"))


def exif(orientation: int, order: str = "<", kind: int = 3, before: bytes = b"", thumbnail: int | None = None) -> bytes:
    """A TIFF directory that notes an orientation, after another entry and maybe before the directory of a thumbnail."""
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entries = struct.pack(order + "HHII", 0x010F, 2, 4, 0x78787800) + struct.pack(order + "HHI", 0x0112, kind, 1) + value
    start = 8 + len(before)
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start) + before
    data += struct.pack(order + "H", 2) + entries + struct.pack(order + "I", start + 30 if thumbnail else 0)
    return data + (struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, thumbnail, 0, 0) if thumbnail else b"")


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">HH", marker, len(data) + 2) + data


def with_segments(file: bytes, *segments: bytes, place: int = 2) -> bytes:
    return file[:place] + b"".join(segments) + file[place:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(file: bytes, kind: bytes, data: bytes, place: int = 33) -> bytes:
    return file[:place] + chunk(kind, data) + file[place:]


def png_header(width: int, height: int, bits: int, color: int) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))


def turned_files() -> Iterator[tuple[str, bytes]]:
    """Photographs that their metadata say how to turn, by name."""
    for number in ORIENTATIONS:
        image = stored(photograph(), number)
        note, plain, png = b"Exif\0\0" + exif(number), jpeg(image), encoded(image, "png")
        app1, xmp = segment(0xFFE1, note), b'<x tiff:Orientation="%d"/>' % number
        big = segment(0xFFE1, b"Exif\0\0" + exif(number, ">", thumbnail=3))
        long = segment(0xFFE1, b"Exif\0\0" + exif(number, kind=4, before=b"junkjunk"))
        others = segment(0xFFE2, b"ICC_PROFILE\0" + bytes(60_000)), segment(0xFFFE, b"Exif\0\0II*\0" + bytes(30))
        yield f"jpeg {number}", with_segments(plain, app1)
        yield f"jpeg {number}, as Pillow writes it", jpeg(image, exif=note)
        yield f"jpeg {number}, big-endian, with a thumbnail", with_segments(plain, big)
        yield f"jpeg {number}, 32 bits, after junk", with_segments(plain, long)
        yield f"jpeg {number}, after other segments", with_segments(plain, *others, app1, place=20)
        yield f"jpeg {number}, after a table", with_segments(plain, app1, place=plain.index(b"\xff\xc4"))
        yield f"jpeg {number}, after fill bytes", with_segments(plain, b"\xff\xff\xff" + app1, place=20)
        yield f"jpeg {number}, twice", with_segments(plain, app1, segment(0xFFE1, b"Exif\0\0" + exif(3)))
        yield f"jpeg {number}, xmp", with_segments(plain, segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
        yield f"jpeg {number}, progressive and gray", encoded(image.convert("L"), "jpeg", quality=95, progressive=True, exif=note)
        yield f"jpeg {number}, CMYK", encoded(image.convert("CMYK"), "jpeg", quality=95, exif=note)
        yield f"png {number}", with_chunk(png, b"eXIf", exif(number))
        yield f"png {number}, as Pillow writes it", encoded(image, "png", exif=note)
        yield f"png {number}, at the end, big-endian", with_chunk(png, b"eXIf", exif(number, ">"), len(png) - 12)
        yield f"png {number}, xmp", with_chunk(png, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        yield f"png {number}, transparent", with_chunk(encoded(transparent(image), "png"), b"eXIf", exif(number))
        raw = zlib.compress(b"\nexif\n%8d\n%s\n" % (len(note), note.hex().encode()))
        yield f"png {number}, raw profile", with_chunk(png, b"zTXt", b"Raw profile type exif\0\0" + raw)
        yield f"png {number}, compressed xmp", with_chunk(png, b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))
        yield f"webp {number}", encoded(image, "webp", lossless=True, exif=note)
        yield f"webp {number}, lossy, big-endian", encoded(image, "webp", quality=90, exif=exif(number, ">"))
        yield f"webp {number}, xmp", encoded(image, "webp", lossless=True, xmp=xmp)
        yield f"tiff {number}", encoded(image, "tiff", tiffinfo={274: number})
        if "AVIF" in Image.SAVE:
            yield f"avif {number}", encoded(image, "avif", quality=95, exif=note)
        if "HEIF" in Image.SAVE:
            yield f"heic {number}", encoded(image, "heif", quality=90, exif=note)


def damaged_metadata() -> Iterator[tuple[str, bytes]]:
    """Upright photographs whose EXIF data are junk."""
    kinds = {
        "empty": b"",
        "short": b"II",
        "neither order": b"XX*\0aaaaaaaa",
        "far away": b"II*\0\xff\xff\xff\xff",
        "far away, big-endian": b"MM\0*\xff\xff\xff\xf0",
        "cut": exif(6)[:20],
        "9": exif(9),
        "0": exif(0),
        "of bytes": exif(6).replace(b"\x12\x01\x03", b"\x12\x01\x01"),
    }
    for name, data in kinds.items():
        yield f"jpeg, metadata {name}", with_segments(jpeg(photograph()), segment(0xFFE1, b"Exif\0\0" + data))
        yield f"png, metadata {name}", with_chunk(encoded(photograph(), "png"), b"eXIf", data)


def transparent(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.fromarray(np.uint8(np.linspace(0, 255, image.size[0])[np.newaxis].repeat(image.size[1], 0))))
    return image


def bmp(width: int, height: int, bits: int, compression: int, body: bytes, masks: bytes = b"", palette: bytes = b"") -> bytes:
    offset = 54 + len(masks) + len(palette)
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + sizes + masks + palette + body


def other_files() -> Iterator[tuple[str, bytes]]:
    """Files that are odd in their pixels."""
    image, clear = photograph(), transparent(photograph())
    quantized, gray = image.quantize(16), image.convert("L")
    deep = Image.fromarray(np.uint16(np.add.outer(np.arange(48) * 1300, np.arange(64) * 13)))
    more = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    random = np.random.default_rng(0)

    yield "jpeg", jpeg(image)
    yield "jpeg, progressive", jpeg(image, progressive=True)
    yield "jpeg, 4:2:0", encoded(image, "jpeg", quality=90)
    yield "jpeg, gray", jpeg(gray)
    yield "jpeg, CMYK", encoded(image.convert("CMYK"), "jpeg", quality=95)
    yield "jpeg, RGB", jpeg(image, keep_rgb=True)
    yield "jpeg, with an end that is junk", jpeg(image) + b"junk" * 100
    yield "png", encoded(image, "png")
    for mode in ("1", "L", "P", "LA", "RGBA"):
        yield f"png, {mode}", encoded(clear.convert(mode), "png")
    yield "png, 2 bits", encoded(image.quantize(4), "png", bits=2)
    yield "png, 4 bits, a transparent color", encoded(quantized, "png", transparency=3, bits=4)
    yield "png, transparency by color", encoded(quantized, "png", transparency=bytes(range(0, 256, 16)))
    yield "png, red is transparent", encoded(image, "png", transparency=(255, 0, 0))
    yield "png, a gray is transparent", encoded(gray, "png", transparency=76)
    yield "png, white is transparent", encoded(image.convert("1"), "png", transparency=1)
    yield "png, 16 bits", encoded(deep, "png")
    for color, channels in ((2, 3), (4, 2), (6, 4)):
        rows = b"".join(b"\0" + row.tobytes() for row in random.integers(0, 65536, (9, 7 * channels)).astype(">u2"))
        data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        yield f"png, {channels} channels of 16 bits", png_header(7, 9, 16, color) + data
    yield "png, animated", encoded(image, "png", **more)
    yield "png, animated, with a first image of its own", encoded(image, "png", default_image=True, **more)
    yield "gif", encoded(image, "gif")
    yield "gif, transparent", encoded(quantized, "gif", transparency=3)
    yield "gif, animated", encoded(image, "gif", **more)
    yield "gif, animated and transparent", encoded(clear, "gif", save_all=True, append_images=[clear.rotate(90)])
    yield "webp, lossy", encoded(image, "webp", quality=80)
    yield "webp, transparent", encoded(clear, "webp", lossless=True)
    yield "webp, lossy and transparent", encoded(clear, "webp", quality=80)
    yield "webp, animated", encoded(image, "webp", lossless=True, **more)
    yield "tiff, pages", encoded(image, "tiff", **more)
    for compression in ("tiff_lzw", "jpeg", "packbits", "tiff_adobe_deflate"):
        yield f"tiff, {compression}", encoded(image, "tiff", compression=compression)
    yield "tiff, fax", encoded(image.convert("1"), "tiff", compression="group4")
    yield "tiff, 16 bits", encoded(deep, "tiff")
    for mode in ("P", "CMYK", "RGBA"):
        yield f"tiff, {mode}", encoded(clear.convert(mode), "tiff")
    for mode in ("RGB", "P", "L", "1", "RGBA"):
        yield f"bmp, {mode}", encoded(clear.convert(mode), "bmp")
    yield "bmp, from the top", bmp(2, -2, 24, 0, bytes(range(16)))
    yield "bmp, run lengths", bmp(4, 2, 8, 1, bytes([3, 1, 1, 2, 0, 0, 0, 4, 0, 1, 2, 3, 0, 1]), palette=_PALETTE)
    yield "bmp, run lengths of 4 bits", bmp(4, 2, 4, 2, bytes([4, 0x12, 0, 0, 4, 0x31, 0, 1]), palette=_PALETTE)
    yield "bmp, 4 bits", bmp(4, 2, 4, 0, bytes([0x01, 0x23, 0, 0, 0x32, 0x10, 0, 0]), palette=_PALETTE)
    yield "bmp, 15 bits", bmp(2, 2, 16, 0, bytes(range(100, 108)))
    yield "bmp, 16 bits", bmp(2, 2, 16, 3, bytes(range(100, 108)), masks=struct.pack("<III", 0xF800, 0x07E0, 0x001F))
    yield "bmp, 32 bits", bmp(2, 2, 32, 0, bytes(range(16)))
    if "HEIF" in Image.SAVE:
        yield "heic, transparent", encoded(clear, "heif", quality=-1)
