"""Datasets and pipelines on real images and on files that are broken on purpose."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from keras_senet import Preprocessing, data
from keras_senet.data import pipeline


def arrays(batches) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_digits_are_those_of_scikit_learn_in_two_parts(digits):
    parts = (arrays(data.evaluation_batches(digits(part), Preprocessing(8), 100))[0] for part in ("train", "held-out"))
    images = np.concatenate(list(parts))
    assert (digits("train").size, digits("held-out").size) == (1437, 360)
    assert digits("train").class_names == [str(digit) for digit in range(10)]
    ours = sorted(map(bytes, images[..., 0].astype(np.uint8)))
    assert ours == sorted(map(bytes, np.round(load_digits().images * (255 / 16)).astype(np.uint8)))
    labels = arrays(data.evaluation_batches(digits("held-out"), Preprocessing(8), 100))[1]
    assert labels.sum(axis=0).min() >= 34  # each digit has its share


def test_the_seed_decides_order_and_augmentation(digits):
    def first(seed):
        batches = data.training_batches(digits("train"), 16, 32, augmentation="shift", flip=True, seed=seed)
        return arrays(batches.take(3))

    one, again, other = first(1), first(1), first(2)
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


def test_each_epoch_has_each_image_once_in_a_new_order(digits):
    batches = data.training_batches(digits("held-out"), 8, 120, augmentation="none", flip=False)
    images = arrays(batches.take(6))[0].reshape(2, 360, -1)
    assert not np.array_equal(images[0], images[1])
    assert sorted(map(bytes, images[0])) == sorted(map(bytes, images[1]))


def test_a_window_of_a_jpeg_equals_the_same_window_of_the_whole_image(tmp_path):
    ramp = (np.arange(300) + np.arange(200)[:, np.newaxis]) // 2
    pixels = np.repeat(ramp[..., np.newaxis], 3, axis=-1).astype(np.uint8)
    jpeg, png = tf.io.encode_jpeg(pixels, quality=100), tf.io.encode_png(pixels)
    for size, ratio in ((96, None), (96, 0.5), (200, 1.0)):
        one, other = (data.evaluation_image(encoded, Preprocessing(size, ratio)).numpy() for encoded in (jpeg, png))
        assert one.shape == (size, size, 3)
        assert np.abs((one - other).mean(axis=(0, 1))).max() < 0.2  # one pixel aside it would be 0.5
    side = round(200 * 0.875)
    expected = tf.image.resize(pixels[(200 - side) // 2 :, (300 - side) // 2 :][:side, :side], (96, 96), antialias=True)
    np.testing.assert_allclose(data.evaluation_image(png, Preprocessing(96)), expected, atol=1e-3)


def test_bicubic_resizing_is_that_of_pillow():
    """With which timm measures its networks; Pillow rounds to whole numbers, twice."""
    random = np.random.default_rng(0)
    checks = np.kron(random.integers(0, 2, (20, 30, 3)), np.ones((10, 10, 1)))

    def resized(pixels):
        return data.evaluation_image(tf.io.encode_png(pixels), Preprocessing(96, 0.8, "bicubic")).numpy()

    pixels = (50 + 150 * checks).astype(np.uint8)  # with room for what overshoots
    expected = Image.fromarray(pixels[20:180, 70:230]).resize((96, 96), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(resized(pixels), np.asarray(expected), atol=1.1)
    sharp = resized((255 * checks).astype(np.uint8))
    assert (sharp.min(), sharp.max()) == (0, 255)


def test_a_random_crop_keeps_to_the_papers_range(image_folder):
    images = data.load(str(image_folder), "train")
    pixels, labels = arrays(data.training_batches(images, 24, 8, augmentation="crop").take(4))
    assert pixels.shape == (32, 24, 24, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    # Bright images are bright and dark ones dark: images keep their labels.
    np.testing.assert_array_equal(pixels.mean(axis=(1, 2, 3)) < 128, labels[:, images.class_names.index("dark")] == 1)


def test_random_windows_are_those_of_the_paper():
    height, width = 375, 500
    windows = np.array([pipeline._random_window(tf.constant([height, width]), tf.constant([0, seed])) for seed in range(500)])
    top, left, rows, columns = windows.T
    assert ((top >= 0) & (left >= 0) & (top + rows <= height) & (left + columns <= width)).all()
    area, aspect = rows * columns / (height * width), columns / rows
    assert 0.07 < area.min() < 0.15
    assert 0.85 < area.max() <= 1
    assert 0.74 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.35


def test_a_folder_without_parts_holds_out_a_fifth_of_each_class(image_folder):
    train, held_out = (data.load(str(image_folder), part) for part in ("train", "held-out"))
    assert (train.size, held_out.size) == (16, 4)
    names = [{example[0] for example in part.examples(None).as_numpy_iterator()} for part in (train, held_out)]
    assert not names[0] & names[1]


def test_a_folder_may_have_its_parts_apart(image_folder, tmp_path):
    for part in ("train", "val"):
        shutil.copytree(image_folder, tmp_path / "apart" / part)
    assert [data.load(str(tmp_path / "apart"), part).size for part in ("train", "held-out")] == [20, 20]
    (tmp_path / "empty" / "val").mkdir(parents=True)
    shutil.copytree(image_folder, tmp_path / "empty" / "train")
    with pytest.raises(ValueError, match="holds no images"):
        data.load(str(tmp_path / "empty"), "held-out")
    (tmp_path / "apart" / "val" / "dark").rename(tmp_path / "apart" / "val" / "dim")
    with pytest.raises(ValueError, match="classes that .*train has not: .'dim'"):
        data.load(str(tmp_path / "apart"), "held-out")


def damage(folder) -> set[str]:
    """Truncates one image, and replaces another by text; returns their names."""
    truncated, text = folder / "dark" / "3.jpg", folder / "bright" / "4.jpg"
    truncated.write_bytes(truncated.read_bytes()[:700])
    text.write_text("This is not an image.")
    return {str(truncated), str(text)}


@pytest.mark.parametrize("augmentation", ["crop", "none"])
def test_damaged_images_are_named_and_skipped_in_training(image_folder, augmentation):
    damaged = damage(image_folder)
    images = data.load(str(image_folder), "train")
    with pytest.warns(UserWarning, match="Skipped .* damaged") as warned:
        batches = list(data.training_batches(images, 16, 7, augmentation=augmentation).take(4))  # two epochs of 14
    assert {name for name in damaged if any(name in str(warning.message) for warning in warned)} == damaged
    assert all(labels.shape == (7, 2) for _, labels in batches)


def test_damaged_images_are_skipped_in_evaluation(image_folder):
    for name in range(9):
        (image_folder / "dark" / f"{name}.jpg").write_bytes(b"")
    images = data.load(str(image_folder), "held-out")
    with pytest.warns(UserWarning, match="Skipped"):
        pixels, _ = arrays(data.evaluation_batches(images, Preprocessing(16), 2))
    assert 2 <= len(pixels) < 4


def test_a_folder_of_damaged_images_only_ends_the_training(image_folder):
    for file in image_folder.glob("*/*.jpg"):
        file.write_bytes(b"nothing")
    images = data.load(str(image_folder), "train")
    with (
        pytest.warns(UserWarning, match="Skipped"),
        pytest.raises(ValueError, match="^None of the 16 images"),
        data.plain_errors(),
    ):
        next(iter(data.training_batches(images, 16, 4)))


def test_reading_one_image_says_what_is_wrong(image_folder):
    for name in damage(image_folder):
        with pytest.raises(ValueError, match=f"{name} is damaged, or not"):
            data.read_image(name, Preprocessing(16))
    with pytest.raises(FileNotFoundError, match="Did you mean '5.jpg'"):
        data.read_image(image_folder / "dark" / "5.jpeg", Preprocessing(16))


def test_what_is_not_there_is_named(image_folder, data_dir, monkeypatch):
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        data.load("digts", "train", data_dir)
    with pytest.raises(FileNotFoundError, match="Did you mean 'images'"):
        data.load(str(image_folder.with_name("imges")))
    monkeypatch.chdir(image_folder.parent)
    with pytest.raises(ValueError, match="Did you mean 'images'"):
        data.load("imgaes")
    with pytest.raises(FileNotFoundError, match="Did you mean 'dark'"):
        data.load("images/drak")
    (image_folder.parent / "digits").mkdir()
    assert data.load("digits", "test[:10]", data_dir).size == 10
    with pytest.raises(ValueError, match="holds no images"):
        data.load("digits", "test[:0]", data_dir)
    with pytest.raises(ValueError, match="no split 'validation'.*'train'"):
        data.load("digits", "validation", data_dir)
    shutil.rmtree(image_folder / "dark")
    with pytest.raises(ValueError, match="at least two. Found: .'bright'."):
        data.load(str(image_folder))
    (image_folder / "bright").rename(image_folder.parent / "elsewhere")
    with pytest.raises(ValueError, match="Found: none"):
        data.load(str(image_folder))
    with pytest.raises(ValueError, match="'crop', 'shift', 'none'"):
        data.training_batches(None, 8, 8, augmentation="rotate")


def test_a_batch_larger_than_the_data_is_refused(digits):
    with pytest.raises(ValueError, match="smaller batch size"):
        data.training_batches(digits("held-out"), 8, 361)
