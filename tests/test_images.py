"""The one reader of images: odd files of every format against Pillow, photographs that lie on their side, and large ones."""

import io
import pathlib
import re
import zlib

import keras
import numpy as np
import odd_images
import pytest
import tensorflow as tf
from common import ROOT
from odd_images import ORIENTATIONS, encoded, exif, jpeg, photograph, shown, stored
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_senet import Preprocessing, data, export, training
from keras_senet.data import formats
from keras_senet.data.pixels import decode_window, image_shape, resized_window
from keras_senet.inference.runtimes import open_saved_model

formats.readable_formats()  # registers HEIC with Pillow
TURNED, DAMAGED_METADATA, OTHER = (
    dict(files()) for files in (odd_images.turned_files, odd_images.damaged_metadata, odd_images.other_files)
)
FIXTURES = {path.name: path.read_bytes() for path in sorted((ROOT / "tests" / "fixtures" / "images").iterdir())}
NOT_PORTABLE = r"gif|tiff|avif|heic|bmp, (P|L|1|RGBA|run|4|15|16|32)|pal8|webp, animated|raw profile|compressed xmp"


def whole(shape):
    return tf.concat([[0, 0], shape], 0)


def reader(**options):
    """The reader as a compiled graph, as in a pipeline."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def read(file):
        return decode_window(file, whole, **options)

    return lambda file: read(tf.constant(file)).numpy()


@pytest.fixture(scope="module")
def read():
    return reader()


@pytest.fixture(scope="module")
def read_without_python():
    return reader(portable=True)


def largest_difference(pixels, expected):
    assert pixels.shape == expected.shape
    return np.abs(pixels.astype(int) - expected).max()


@pytest.mark.parametrize("name", TURNED | OTHER | FIXTURES)
def test_an_odd_image_is_what_pillow_shows(read, name):
    file = (TURNED | OTHER | FIXTURES)[name]
    assert largest_difference(read(file), shown(file)) <= 1


@pytest.mark.parametrize("name", TURNED | OTHER | FIXTURES)
def test_without_python_an_odd_image_is_the_same_or_refused(read_without_python, name):
    file = (TURNED | OTHER | FIXTURES)[name]
    if re.search(NOT_PORTABLE, name):
        with pytest.raises(tf.errors.InvalidArgumentError, match="TensorFlow alone cannot read it: send a JPEG, PNG"):
            read_without_python(file)
    else:
        assert largest_difference(read_without_python(file), shown(file)) <= 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", DAMAGED_METADATA)
def test_damaged_metadata_turn_nothing_and_cost_no_image(read, read_without_python, name):
    for reading in (read, read_without_python):
        assert largest_difference(reading(DAMAGED_METADATA[name]), np.asarray(photograph())) <= 8  # JPEG loses something


@pytest.mark.parametrize("portable", [False, True])
def test_the_shape_of_an_image_is_known_before_its_pixels(portable):
    read = tf.function(image_shape, input_signature=[tf.TensorSpec((), tf.string)], autograph=False, reduce_retracing=True)
    if portable:
        read = tf.function(lambda file: image_shape(file, portable=True), input_signature=[tf.TensorSpec((), tf.string)])
    for name, file in (TURNED | OTHER | FIXTURES).items():
        if not (portable and re.search(NOT_PORTABLE, name)):
            np.testing.assert_array_equal(read(tf.constant(file)), shown(file).shape[:2], err_msg=name)


def test_the_oracle_turns_photographs_upright():
    for name, file in TURNED.items():
        if name.startswith(("png", "tiff")) and "transparent" not in name:
            np.testing.assert_array_equal(shown(file), photograph(), err_msg=name)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_window_of_a_photograph_is_turned_with_it(orientation):
    file = jpeg(stored(photograph(), orientation), exif=b"Exif\0\0" + exif(orientation))
    for options in ({}, {"portable": True}):
        window = decode_window(tf.constant(file), lambda shape: tf.constant([5, 7, 20, 31]), **options)
        assert largest_difference(window.numpy(), shown(file)[5:25, 7:38]) <= 1
    upright = jpeg(photograph())
    for ours, expected in (
        (data.evaluation_image(file, Preprocessing(32, 0.8)), data.evaluation_image(upright, Preprocessing(32, 0.8))),
        (data.evaluation_views(file, Preprocessing(16, 0.5), 10), data.evaluation_views(upright, Preprocessing(16, 0.5), 10)),
    ):
        np.testing.assert_allclose(ours, expected, atol=6)  # JPEG loses something else


@pytest.mark.parametrize("photo", [0, 1])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_large_photograph_is_decoded_at_a_lower_resolution_with_nearly_the_same_result(photo, interpolation, monkeypatch):
    pixels = np.tile(load_sample_images().images[photo], (4, 3, 1))[:1500]  # sharper than photographs of that size are
    file = encoded(Image.fromarray(pixels), "jpeg", quality=90)
    ratios = []
    decode = tf.io.decode_and_crop_jpeg

    def noted(*arguments, ratio=1, **options):
        ratios.append(ratio)
        return decode(*arguments, ratio=ratio, **options)

    monkeypatch.setattr(tf.io, "decode_and_crop_jpeg", noted)
    window = tf.constant([93, 341, 1303, 1309])
    whole = tf.cast(decode(file, window, channels=3, dct_method="INTEGER_ACCURATE"), tf.float32)
    for size, ratio in ((300, 1), (223, 2), (112, 4), (56, 8), (32, 8)):
        ours = resized_window(file, lambda shape: window, size, interpolation, antialias=True).numpy()
        difference = np.abs(ours - tf.image.resize(whole, (size, size), interpolation, antialias=True))
        assert ratios.pop() == ratio
        assert difference.max() < (1e-3 if ratio == 1 else 10)
        assert difference.mean() < 0.75


def test_a_small_jpeg_is_decoded_as_ever():
    """Bit for bit as by TensorFlow: whole, or a window of it, with whatever metadata that do not turn it."""
    upright = jpeg(Image.fromarray(load_sample_images().images[0]))
    crop = tf.constant([10, 20, 300, 400])
    expected = tf.io.decode_and_crop_jpeg(upright, crop, channels=3, dct_method="INTEGER_ACCURATE")
    noted = odd_images.with_segments(upright, odd_images.segment(0xFFE1, b"Exif\0\0" + exif(1)))
    for file in (upright, noted):
        np.testing.assert_array_equal(decode_window(tf.constant(file), lambda shape: crop), expected)
        resized = tf.image.resize(tf.cast(expected, tf.float32), (224, 224))
        np.testing.assert_array_equal(resized_window(tf.constant(file), lambda shape: crop, 224), resized)


def suffix(name: str) -> str:
    return "." + re.split("[ ,]", name)[0]


def test_every_format_is_trained_on_and_evaluated_on(tmp_path):
    """Each file is listed by its suffix; none counts as damaged; training and evaluation see what a single read sees."""
    files = {name: file for name, file in OTHER.items() if min(shown(file).shape[:2]) > 8} | {
        name: file for name, file in TURNED.items() if name.split(",")[0].endswith("6")
    }
    for label in "ab":
        (tmp_path / label).mkdir()
        for index, (name, file) in enumerate(files.items()):
            (tmp_path / label / f"{index:03}{suffix(name)}").write_bytes(file)
    images = data.load(str(tmp_path), "all")
    assert images.size == 2 * len(files)
    pixels = np.concatenate([pixels for pixels, _ in data.evaluation_batches(images, Preprocessing(24), 16)])
    expected = [data.read_image(path, Preprocessing(24)) for path in data.list_images([tmp_path / "a", tmp_path / "b"])]
    np.testing.assert_allclose(pixels, expected, atol=1e-3)
    once, again = (
        [pixels.numpy() for pixels, _ in data.training_batches(images, 16, 8, start=data.Place(seed=3)).take(6)] for _ in range(2)
    )
    np.testing.assert_array_equal(once, again)
    assert not images.damaged


def damaged_files() -> dict[str, bytes]:
    """By file names: cut in the middle, empty, text, with sides that would fill the memory, JPEG files cut in their headers."""
    whole = ("jpeg", "png", "gif", "bmp, RGB", "webp, lossy", "tiff, tiff_lzw", "tiff, jpeg")
    cut = {f"cut{index}{suffix(name)}": OTHER[name][: len(OTHER[name]) // 2] for index, name in enumerate(whole)}
    bomb = odd_images.png_header(30_000, 30_000, 8, 2) + odd_images.chunk(b"IDAT", zlib.compress(bytes(100)))
    gif_bomb = bytearray(OTHER["gif"])
    gif_bomb[6:10] = b"\xff\xff\xff\xff"
    others = {"bomb.png": bomb, "bomb.gif": bytes(gif_bomb), "text.jpg": b"This is not an image."}
    empty = {f"empty{suffix}": b"" for suffix in formats.image_suffixes()}
    short = {f"short{number}.jpg": jpeg(photograph())[:number] for number in (1, 2, 3, 10, 19, 20, 22, 30)}
    metadata = {"cut_metadata.jpg": odd_images.with_segments(b"\xff\xd8", odd_images.segment(0xFFE1, b"Exif\0\0" + exif(6)))}
    return cut | others | empty | short | metadata


def test_damaged_files_of_every_format_are_named(tmp_path):
    for name, file in damaged_files().items():
        (tmp_path / name).write_bytes(file)
        with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / name))} is (damaged, or not a JPEG|too large)"):
            data.read_image(tmp_path / name, Preprocessing(16))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_files_of_every_format_are_left_out_of_evaluation(tmp_path):
    names = set()
    for label in "ab":
        (tmp_path / label).mkdir()
        for index in range(1700):
            (tmp_path / label / f"{index}.png").write_bytes(OTHER["png"])
    for name, file in damaged_files().items():
        (tmp_path / "a" / name).write_bytes(file)
        names.add(str(tmp_path / "a" / name))
    images = data.load(str(tmp_path), "all")
    assert len(names) < 0.01 * images.size * 2
    with pytest.warns(UserWarning, match="Left out"):
        count = sum(len(pixels) for pixels, _ in data.evaluation_batches(images, Preprocessing(8), 64))
    assert images.damaged == names
    assert count == images.size - len(names)


def test_suffixes_are_those_of_the_readers_that_are_installed(monkeypatch, tmp_path):
    suffixes = formats.image_suffixes()
    assert {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"} <= set(suffixes)
    assert (".heic" in suffixes) == ("HEIF" in Image.OPEN)
    assert (".avif" in suffixes) == ("AVIF" in Image.OPEN)
    photo = tmp_path / "photo.heic"
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    some = tuple(each for each in formats.FORMATS if each.name not in ("HEIC", "AVIF"))
    for module in ("formats", "pillow_reader"):
        monkeypatch.setattr(f"keras_senet.data.{module}.readable_formats", lambda: some)
    with pytest.raises(ValueError, match=r"photo.heic is a HEIC image.*pip install 'keras-senet\[photos\]'"):
        data.read_image(photo, Preprocessing(16))
    photo.write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif")
    with pytest.raises(ValueError, match=r"photo.heic is an AVIF image.*pip install --upgrade pillow"):
        data.read_image(photo, Preprocessing(16))


def test_pixels_without_a_range_are_refused(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.ones((8, 8), np.float32)).save(file, "tiff")
    pathlib.Path(tmp_path / "float.tiff").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="float.tiff has pixels of 32 bits"):
        data.read_image(tmp_path / "float.tiff", Preprocessing(8))


def blocks(seed: int, height: int = 96, width: int = 128) -> Image.Image:
    """Squares of 8 pixels, which JPEG stores exactly however they are turned."""
    colors = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(np.kron(colors, np.ones((8, 8, 1), np.uint8)))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("jpeg", marks=pytest.mark.slow),
        *(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in ("png", "webp")),
    ],
)
def test_evaluation_of_turned_photographs_is_that_of_upright_ones(kind, tmp_path):
    """Image by image, of a Keras file, a TFLite file and a SavedModel that is given the files."""
    options = {"quality": 95, "subsampling": 0} if kind == "jpeg" else {"lossless": True} if kind == "webp" else {}
    network = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    network.save(tmp_path / "network.keras")
    export.tflite(network, tmp_path / "network.tflite")
    export.saved_model(network, tmp_path / "saved_model")
    classifiers = [export.open_classifier(tmp_path / name) for name in ("network.keras", "network.tflite", "saved_model")]

    count = 12
    for orientation in ORIENTATIONS:
        metadata = {"exif": b"Exif\0\0" + exif(orientation)} if orientation > 1 else {}
        for seed in range(count):
            file = tmp_path / "images" / "ab"[seed % 2] / f"{orientation}-{seed:02}.{kind}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(stored(blocks(seed), orientation), kind, **options, **metadata))
    images = data.load(str(tmp_path / "images"), "all")
    for classifier in classifiers:
        batches = data.evaluation_batches(images, classifier.preprocessing, 32)
        seen = np.concatenate([classifier.probabilities(pixels.numpy()) for pixels, _ in batches])
        by_orientation = seen.reshape(2, len(ORIENTATIONS), -1, 2)
        assert np.ptp(by_orientation[:, 0]) > 0.1  # the images differ
        np.testing.assert_allclose(by_orientation, by_orientation[:, :1].repeat(len(ORIENTATIONS), 1), atol=1e-5)
        upright = sum((by_orientation[label, 0].argmax(-1) == label).sum() for label in range(2))
        assert training.evaluate(classifier, images).top1 == pytest.approx(upright / count)
    files = np.array([file.read_bytes() for file in sorted((tmp_path / "images").glob("*/*"))], object)
    np.testing.assert_allclose(open_saved_model(tmp_path / "saved_model", "serve_encoded").run(files), seen, atol=1e-4)


def test_a_saved_model_says_which_files_it_takes(tmp_path):
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")])
    export.saved_model(network, tmp_path / "saved_model")
    served = open_saved_model(tmp_path / "saved_model", "serve_encoded").run
    for name in ("gif", "bmp, P", "tiff, pages", "webp, animated"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="send a JPEG, PNG, still WebP or 24-bit BMP file"):
            served(np.array([OTHER["png"], OTHER[name]], object))
