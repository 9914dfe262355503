"""Augmentation against Pillow, numpy and the distributions that it draws from."""

import numpy as np
import pillow_augmentation
import pytest
import tensorflow as tf
from PIL import Image
from scipy import stats
from sklearn.datasets import load_sample_images

from keras_senet.data import Augmentation, transforms
from keras_senet.data.rand_augment_operations import OPERATIONS

BETWEEN_PIXELS = ("Rotate", "ShearX", "ShearY")
EXACT = ("Equalize", "Invert", "Posterize", "Solarize", "TranslateX", "TranslateY")


@pytest.fixture(scope="module")
def photograph():
    """97 x 128 pixels, the colours less spread than they could be."""
    image = load_sample_images().images[0]
    return (20 + 0.8 * tf.image.resize(image, (97, 128), antialias=True).numpy()).astype(np.uint8)


def for_seeds(function, count: int) -> list[np.ndarray]:
    """What a function of a seed gives for many of them, in a parallel map."""
    seeds = tf.data.Dataset.range(count).map(lambda seed: tf.stack([7, seed]))
    results = seeds.map(function, tf.data.AUTOTUNE, deterministic=True).batch(count).get_single_element()
    return [part.numpy() for part in tf.nest.flatten(results)]


@pytest.mark.parametrize("level", [-0.72, 0.23, 1.0])
@pytest.mark.parametrize("name", pillow_augmentation.OPERATIONS)
def test_an_operation_is_that_of_pillow(name, level, photograph):
    """Which rounds to whole numbers, some of them twice, and lets no gray shine into the border of what it turns or shears."""
    ours = OPERATIONS[name](tf.constant(photograph, tf.float32), tf.constant(level)).numpy()
    expected = np.asarray(pillow_augmentation.OPERATIONS[name](Image.fromarray(photograph), level), np.float32)
    assert ours.min() >= 0
    assert ours.max() <= 255
    assert np.abs(expected - photograph).mean() > 0.5  # the operation does something
    difference = np.abs(ours - expected)
    assert np.mean(difference > (0 if name in EXACT else 2)) <= (0.02 if name in BETWEEN_PIXELS else 0)


def test_the_operations_are_those_of_pillow_by_name():
    assert list(OPERATIONS) == list(pillow_augmentation.OPERATIONS)


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize"])
def test_an_image_of_one_color_stays_as_it_is(name):
    plain = tf.fill((8, 8, 3), 100.0)
    np.testing.assert_array_equal(OPERATIONS[name](plain, 1.0), plain)


def test_the_seed_decides_everything(photograph):
    image = tf.constant(photograph, tf.float32)
    batch, labels = tf.stack([image, 255 - image]), tf.eye(2)
    functions = {
        "rand_augment_magnitude": lambda seed: transforms.rand_augment(image, seed, 7),
        "mix": lambda seed: Augmentation(mixup_alpha=0.1, cutmix_alpha=1.0).mix(batch, labels, seed),
        "rotate": lambda seed: transforms.rotate(image, seed, 10),
        "pixel_jitter": lambda seed: transforms.pixel_jitter(image, seed, 20),
        "cutout": lambda seed: transforms.cutout(image, seed, 16),
        "random_erasing": lambda seed: transforms.random_erasing(image, seed, 1.0),
    }
    for name, function in functions.items():
        one, again = (for_seeds(function, 16) for _ in range(2))
        for first, second in zip(one, again, strict=True):
            np.testing.assert_array_equal(first, second, err_msg=name)
        assert one[0].min() >= 0
        assert one[0].max() <= 255
        # RandAugment leaves a quarter of the images alone; MixUp's share is often nearly 0.
        assert len(set(map(bytes, one[0]))) > 8, name


def test_each_operation_is_as_frequent_as_the_others_and_left_out_half_the_time(monkeypatch):
    def mark(number):
        return lambda image, level: 16 * image + number

    monkeypatch.setattr(transforms, "OPERATIONS", {number: mark(number) for number in range(1, 16)})
    (marks,) = for_seeds(lambda seed: transforms.rand_augment(tf.zeros((1, 1, 3)), seed, 7)[0, 0, 0], 3000)
    first, second = marks // 16, marks % 16
    alone = first[second == 0], second[first == 0]  # a lone operation is in the lower digit, whether it was first or second
    assert not alone[0].any()
    counts = np.bincount(np.concatenate([first, second]).astype(int), minlength=16)
    assert stats.chisquare(counts[1:]).pvalue > 0.001
    pairs, single, none = np.sum(first > 0), np.sum((first == 0) & (second > 0)), np.sum(marks == 0)
    assert stats.chisquare([pairs, single, none], [750, 1500, 750]).pvalue > 0.001


def test_the_level_is_normal_around_the_magnitude_and_goes_both_ways(monkeypatch):
    monkeypatch.setattr(transforms, "OPERATIONS", {"level": lambda image, level: image * 0 + level})

    def levels(magnitude):
        drawn = for_seeds(lambda seed: transforms.rand_augment(tf.zeros((1, 1, 3)), seed, magnitude)[0, 0, 0], 2000)[0]
        return drawn[drawn != 0]

    assert stats.kstest(10 * np.abs(levels(7)), "norm", (7, 0.5)).pvalue > 0.001
    assert 0.45 < np.mean(levels(7) > 0) < 0.55
    assert np.abs(levels(10)).max() == 1


@pytest.fixture(scope="module")
def numbered():
    """Five images filled with their numbers, each of a class of its own."""
    images = np.broadcast_to(np.arange(5, dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis], (5, 12, 18, 3))
    return tf.constant(images), tf.eye(5)


def test_mixup_is_that_of_numpy(numbered):
    images, labels = numbered
    mixed, mixed_labels = for_seeds(lambda seed: Augmentation(mixup_alpha=0.1).mix(images, labels, seed), 1000)
    shares = mixed_labels[:, 0, 4]
    edges = [0, 0.01, 0.1, 0.5, 0.9, 0.99, 1]
    expected = 1000 * np.diff(stats.beta(0.1, 0.1).cdf(edges))
    assert stats.chisquare(np.histogram(shares, edges)[0], expected).pvalue > 0.001
    for side, original in ((mixed, images.numpy()), (mixed_labels, labels.numpy())):
        share = shares.reshape(-1, *[1] * original.ndim)
        np.testing.assert_allclose(side, (1 - share) * original + share * original[::-1], atol=1e-5)


def test_cutmix_gives_labels_the_exact_shares_of_the_pixels(numbered):
    images, labels = numbered
    mixed, mixed_labels = for_seeds(lambda seed: Augmentation(cutmix_alpha=1.0).mix(images, labels, seed), 500)
    cut_off = 0
    for image, label in zip(mixed, mixed_labels, strict=True):
        box = image[0] == 4
        for number in range(5):
            np.testing.assert_array_equal(image[number], np.where(box, 4 - number, number))
            expected = (1 - box.mean()) * np.eye(5)[number] + box.mean() * np.eye(5)[4 - number]
            np.testing.assert_allclose(label[number], expected, atol=1e-7)
        rows, columns = box[..., 0].any(axis=1), box[..., 0].any(axis=0)
        np.testing.assert_array_equal(box[..., 0], rows[:, np.newaxis] & columns)  # a box
        cut_off += rows[0] != rows[-1]
    assert cut_off > 100


def test_cutmix_draws_boxes_as_the_paper_does():
    images, labels = tf.zeros((2, 100, 100, 1)), tf.eye(2)
    (mixed_labels,) = for_seeds(lambda seed: Augmentation(cutmix_alpha=1.0).mix(images, labels, seed)[1], 1000)
    random = np.random.default_rng(0)
    half = np.sqrt(random.beta(1, 1, (20_000, 1))) / 2
    centre = random.random((20_000, 2))
    shares = np.prod(np.minimum(centre + half, 1) - np.maximum(centre - half, 0), axis=1)
    assert stats.ks_2samp(mixed_labels[:, 0, 1], shares).pvalue > 0.001


def test_one_of_mixup_and_cutmix_is_drawn_with_equal_chance(numbered):
    images, labels = numbered
    (mixed, _) = for_seeds(lambda seed: Augmentation(mixup_alpha=1.0, cutmix_alpha=1.0).mix(images, labels, seed), 400)
    whole = np.mean([np.ptp(image[0]) == 0 and 0 < image[0, 0, 0, 0] < 4 for image in mixed])
    assert 0.42 < whole < 0.58
    assert Augmentation().mix(images, labels, (0, 1)) == (images, labels)


def test_rotation_is_about_the_centre_and_no_further_than_asked():
    dot = np.full((101, 101, 3), 128, np.float32)  # the gray that fills the corners
    dot[48:53, 88:93] = 255  # 40 pixels right of the centre
    (turned,) = for_seeds(lambda seed: transforms.rotate(dot, seed, 10.0)[..., 0] - 128, 300)
    y, x = np.mgrid[-50:51, -50:51]
    down, right = ((turned * axis).sum(axis=(1, 2)) / turned.sum(axis=(1, 2)) for axis in (y, x))
    np.testing.assert_allclose(np.hypot(down, right), 40, atol=0.1)
    angles = np.degrees(np.arctan2(down, right))
    assert stats.kstest(angles, "uniform", (-10, 20)).pvalue > 0.001


def test_jitter_is_uniform_noise_on_each_value_by_itself():
    (noisy,) = for_seeds(lambda seed: transforms.pixel_jitter(tf.fill((16, 16, 3), 100.0), seed, 20.0), 4)
    assert stats.kstest((noisy - 100).ravel(), "uniform", (-20, 40)).pvalue > 0.001
    correlations = np.corrcoef(noisy.reshape(-1, 3).T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.1
    for end in (0.0, 255.0):
        noisy = transforms.pixel_jitter(tf.fill((16, 16, 3), end), (0, 1), 20.0).numpy()
        assert noisy.min() >= 0
        assert noisy.max() <= 255


@pytest.mark.parametrize("size", [1, 8, 15, 32])
def test_cutout_is_that_of_its_paper(size):
    """DeVries and Taylor, arXiv 1708.04552: a square about a pixel drawn evenly from all, cut off at the borders."""
    (painted,) = for_seeds(lambda seed: transforms.cutout(tf.zeros((32, 24, 3)), seed, size)[..., 0], 4000)
    assert set(np.unique(painted)) <= {0.0, 128.0}
    boxes = set()
    for image in painted:
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        box = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        boxes.add(tuple(map(int, box)))
        assert (image[box[0] : box[1], box[2] : box[3]] == 128).all()
        assert (image != 0).sum() == (box[1] - box[0]) * (box[3] - box[2])
    possible = {
        (max(0, y - size // 2), min(32, y - size // 2 + size), max(0, x - size // 2), min(24, x - size // 2 + size))
        for y in range(32)
        for x in range(24)
    }
    assert boxes <= possible
    assert len(boxes) > 0.98 * len(possible)
    centers = [sum(0 <= at + size // 2 - shift < side for shift in range(size)) for at, side in ((16, 32), (12, 24))]
    assert np.mean(painted[:, 16, 12] != 0) == pytest.approx(np.prod(centers) / (32 * 24), abs=0.03)


def test_random_erasing_is_that_of_its_paper():
    """Zhong et al., arXiv 1708.04896, algorithm 1 with s of 0.02 to 0.4 and r of 0.3 to 1 / 0.3."""
    (images,) = for_seeds(lambda seed: transforms.random_erasing(tf.fill((64, 48, 3), -1.0), seed, 0.5), 2000)
    erased = (images != -1).all(axis=-1)
    assert np.mean(erased.any(axis=(1, 2))) == pytest.approx(0.5, abs=0.04)
    areas, ratios, noise = [], [], []
    for image, mask in zip(images, erased, strict=True):
        if mask.any():
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert mask.sum() == height * width
            areas.append(mask.sum() / mask.size)
            ratios.append(height / width)
            noise.append(image[mask][:5])
    assert 0.015 < min(areas) < 0.05 < 0.35 < max(areas) <= 0.41
    assert 0.25 < min(ratios) < 0.4 < 2.5 < max(ratios) < 3.8
    assert stats.kstest(np.ravel(np.concatenate(noise)), "uniform", (0, 255)).pvalue > 0.001
    np.testing.assert_array_equal(transforms.random_erasing(images[0], (0, 1), 0.0), images[0])


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="`cutout` must be at most 32, the size of the images. Received: cutout=33"):
        Augmentation(cutout=33).decoder(32)


def test_more_transforms_leave_the_random_numbers_of_the_others(photograph):
    image, key = tf.constant(photograph, tf.float32), (3, 4)
    rotated = Augmentation(rotation=30).apply(image, key)
    both = Augmentation(rotation=30, cutout=16).apply(image, key)
    np.testing.assert_array_equal(both[both != 128], rotated[both != 128])
