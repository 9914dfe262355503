"""Datasets and pipelines on real images and on files that are broken on purpose."""

import itertools
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from keras_senet import Preprocessing, data
from keras_senet.data import labelled_images
from keras_senet.data.decode import random_window

UNCHANGED = data.Augmentation(crop="center", flip=False)


def arrays(batches) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_digits_are_those_of_scikit_learn_in_two_parts(digits):
    parts = [arrays(data.evaluation_batches(digits(part), Preprocessing(8), 100)) for part in ("train", "validation")]
    images = np.concatenate([pixels for pixels, _ in parts])
    assert (digits("train").size, digits("validation").size) == (1437, 360)
    assert digits("train").class_names == [str(digit) for digit in range(10)]
    ours = sorted(map(bytes, images[..., 0].astype(np.uint8)))
    assert ours == sorted(map(bytes, np.round(load_digits().images * (255 / 16)).astype(np.uint8)))
    _, validation_labels = parts[1]
    assert validation_labels.sum(axis=0).min() >= 34  # each digit has its share


def test_the_seed_decides_order_and_augmentation(digits):
    def first(seed):
        batches = data.training_batches(digits("train"), 16, 32, data.Augmentation(crop="shift"), start=data.Place(seed))
        return arrays(batches.take(3))

    one, again, other = first(1), first(1), first(2)
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


def test_each_epoch_has_each_image_once_in_a_new_order(digits):
    batches = data.training_batches(digits("validation"), 8, 120, UNCHANGED)
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
    pixels, labels = arrays(data.training_batches(images, 24, 8).take(4))
    assert pixels.shape == (32, 24, 24, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    # Bright images are bright and dark ones dark: images keep their labels.
    np.testing.assert_array_equal(pixels.mean(axis=(1, 2, 3)) < 128, labels[:, images.class_names.index("dark")] == 1)


def test_random_windows_are_those_of_the_paper():
    height, width = 375, 500
    windows = np.array([random_window(tf.constant([height, width]), tf.constant([0, seed])) for seed in range(500)])
    top, left, rows, columns = windows.T
    assert ((top >= 0) & (left >= 0) & (top + rows <= height) & (left + columns <= width)).all()
    area, aspect = rows * columns / (height * width), columns / rows
    assert 0.07 < area.min() < 0.15
    assert 0.85 < area.max() <= 1
    assert 0.74 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.35


def damage(folder) -> set[str]:
    """Truncates one image, and replaces another by text; returns their names."""
    truncated, text = folder / "dark" / "3.jpg", folder / "bright" / "4.jpg"
    truncated.write_bytes(truncated.read_bytes()[:700])
    text.write_text("This is not an image.")
    return {str(truncated), str(text)}


@pytest.mark.parametrize("crop", ["random", "center"])
def test_damaged_images_are_named_and_replaced_in_training(many_images, crop):
    damaged = damage(many_images)
    images = data.load(str(many_images), "train")
    with pytest.warns(UserWarning, match="Left out .* damaged") as warned:
        pixels, labels = arrays(data.training_batches(images, 16, 40, data.Augmentation(crop=crop, flip=False)).take(6))
    assert {name for name in damaged if any(name in str(warning.message) for warning in warned)} == images.damaged == damaged
    assert labels.shape == (240, 2)
    # What takes their places has its own labels.
    np.testing.assert_array_equal(pixels.mean(axis=(1, 2, 3)) < 128, labels[:, images.class_names.index("dark")] == 1)
    if crop == "center":
        assert len(set(map(bytes, pixels))) <= 20  # with nothing that is not there


def test_damaged_images_are_left_out_of_evaluation(many_images):
    names = {example[0].decode() for example in data.load(str(many_images), "validation").examples(None).as_numpy_iterator()}
    broken = min(names)
    open(broken, "wb").close()
    images = data.load(str(many_images), "validation")
    with (
        pytest.raises(ValueError, match=f"1 of the {images.size} images cannot be decoded, over 1 %.*{broken}"),
        data.plain_errors(),
        pytest.warns(UserWarning, match="Left out"),
    ):
        list(data.evaluation_batches(images, Preprocessing(16), 7))
    images = data.load(str(many_images), "train")
    for example, _ in zip(images.examples(None).as_numpy_iterator(), range(2), strict=False):
        open(example[0], "wb").close()
    with pytest.warns(UserWarning, match="Left out"):
        pixels, labels = arrays(data.evaluation_batches(images, Preprocessing(16), 7))
    assert len(pixels) == len(labels) == images.size - 2


def test_over_one_percent_of_damaged_images_end_the_training(many_images):
    for file in list(many_images.glob("*/1_*.jpg")):
        file.write_bytes(b"nothing")
    images = data.load(str(many_images), "train")
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.raises(ValueError, match="^3 of the 240 images cannot be decoded, over 1 %: repair or remove them"),
        data.plain_errors(),
    ):
        list(data.training_batches(images, 16, 10).take(24))


def test_training_goes_on_at_any_batch(digits):
    def batches(count, **position):
        start = data.Place(seed=3, **position)
        made = data.training_batches(digits("validation"), 8, 70, data.Augmentation(crop="shift"), start=start).take(count)
        return list(made.as_numpy_iterator())

    whole = batches(12)  # two epochs of five, and two batches
    for later, at in ((batches(9, step=3), 3), (batches(4, epoch=1, step=3), 8)):
        for (pixels, labels), (expected, expected_labels) in zip(later, whole[at:], strict=True):
            np.testing.assert_array_equal(pixels, expected)
            np.testing.assert_array_equal(labels, expected_labels)


def test_workers_share_each_batch_of_a_single_one(digits):
    def batches(size, *shard):
        how = {"start": data.Place(seed=3), "shard": data.Shard(*shard)}
        made = data.training_batches(digits("validation"), 8, size, data.Augmentation(crop="shift"), **how).take(7)
        return [sorted(map(bytes, pixels)) for pixels, _ in made.as_numpy_iterator()]

    shares = zip(*(batches(20, 3, worker) for worker in range(3)), strict=True)
    assert [sorted(itertools.chain(*share)) for share in shares] == batches(60)


def test_workers_share_the_images_to_evaluate_on(digits):
    def images(*shard):
        batches = data.evaluation_batches(digits("validation"), Preprocessing(8), 50, shard=data.Shard(*shard))
        return list(map(bytes, arrays(batches)[0]))

    shares = [images(3, worker) for worker in range(3)]
    assert list(map(len, shares)) == [120, 120, 120]
    assert sorted(itertools.chain(*shares)) == sorted(images())


def test_padding_gives_replicas_equally_many_batches_of_one_size(digits):
    images = digits("test[:50]")
    plain = arrays(data.evaluation_batches(images, Preprocessing(8), 20))
    padded = list(data.evaluation_batches(images, Preprocessing(8), 20, padded_to=4).as_numpy_iterator())
    assert [part.shape for part in padded[0]] == [(20, 8, 8, 3), (20, 10), (20,)]
    *filled, weights = (np.concatenate(parts) for parts in zip(*padded, strict=True))
    np.testing.assert_array_equal(weights, np.arange(80) < 50)
    for ours, expected in zip(filled, plain, strict=True):
        np.testing.assert_array_equal(ours[:50], expected)
        assert not ours[50:].any()


def test_workers_read_files_of_their_own_where_the_data_does_not_fit_into_memory(digits, data_dir, monkeypatch):
    monkeypatch.setattr("keras_senet.data.from_tfds.memory_size", lambda: 0)
    images = data.load("digits", "validation", data_dir)
    batches = list(data.training_batches(images, 8, 60, UNCHANGED).take(6).as_numpy_iterator())
    every = sorted(map(bytes, arrays(data.evaluation_batches(digits("validation"), Preprocessing(8), 360))[0]))
    assert sorted(map(bytes, np.concatenate([pixels for pixels, _ in batches]))) == every


def test_a_look_at_the_first_images_takes_none_from_others():
    for _ in range(30):  # a cache whose reading is broken off is cut short in about every third
        listed = tf.data.Dataset.range(60).map(lambda index: index, num_parallel_calls=tf.data.AUTOTUNE)
        examples = labelled_images.examples_in_memory(listed.prefetch(tf.data.AUTOTUNE), 60)
        for seed in (None, tf.constant(1, tf.int64)):
            next(iter(examples(seed).prefetch(60)))
            assert sorted(examples(seed).as_numpy_iterator()) == list(range(60))


def test_balanced_classes_are_equally_frequent(image_folder):
    for file in list((image_folder / "dark").iterdir())[2:]:
        file.unlink()
    images = data.load(str(image_folder), "train")
    assert images.size == 9
    shares = []
    for balanced in (False, True):
        labels = arrays(data.training_batches(images, 8, 9, balanced=balanced, batches_per_epoch=50).take(50))[1]
        shares.append(labels.mean(axis=0)[images.class_names.index("dark")])
    assert shares == pytest.approx([1 / 9, 1 / 2], abs=0.07)


def test_repeated_images_are_augmented_anew(digits):
    pixels, labels = arrays(
        data.training_batches(digits("validation"), 16, 90, data.Augmentation(crop="shift"), aug_repeats=3).take(1)
    )
    same = labels.reshape(30, 3, 10)
    assert (same == same[:, :1]).all()
    assert not (pixels[0] == pixels[1]).all()


def test_a_data_service_does_the_work(image_folder):
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = tf.data.experimental.service.WorkerServer(tf.data.experimental.service.WorkerConfig(address))
    images = data.load(str(image_folder), "train")
    served = data.training_batches(images, 16, 4, UNCHANGED, data_service=dispatcher.target)
    local = data.training_batches(images, 16, 4, UNCHANGED)
    one, other = (sorted(map(bytes, arrays(batches.take(4))[0])) for batches in (served, local))
    assert one == other
    del worker


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
    with pytest.raises(ValueError, match="holds no images"):
        data.load("digits", "test[:0]", data_dir)
    with pytest.raises(ValueError, match="no split 'dev'.*'train'"):
        data.load("digits", "dev", data_dir)
    shutil.rmtree(image_folder / "dark")
    (image_folder / "bright").rename(image_folder.parent / "elsewhere")
    with pytest.raises(ValueError, match="one sub-folder of images for each class .* Classes: none"):
        data.load(str(image_folder))
    with pytest.raises(ValueError, match="'random', 'shift', 'center'"):
        data.Augmentation(crop="rotate")


def test_a_batch_larger_than_the_data_is_refused(digits):
    with pytest.raises(ValueError, match="smaller batch size"):
        data.training_batches(digits("validation"), 8, 361)


def test_a_dataset_that_cannot_be_kept_names_the_flag_that_helps(monkeypatch, tmp_path):
    (tmp_path / "file").touch()  # in which not even root can make a folder
    with pytest.raises(ValueError, match="could not be prepared: .* name a folder that can be written with --data-dir"):
        data.load("digits", "train", str(tmp_path / "file" / "datasets"))
    monkeypatch.delenv("HOME")
    users = pytest.importorskip("pwd", reason="Windows knows the home folder otherwise")
    monkeypatch.setattr(users, "getpwuid", {}.__getitem__)  # as in a container whose user has no entry there
    with pytest.raises(ValueError, match="no home folder to keep the dataset 'digits' in: name a folder .* with --data-dir"):
        data.load("digits")


def test_a_system_that_does_not_tell_its_memory_has_some(monkeypatch):
    assert labelled_images.memory_size() > 2**30
    monkeypatch.delattr("os.sysconf")  # as on Windows
    assert labelled_images.memory_size() == 4 * 2**30
