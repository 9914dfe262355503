"""The dataset "digit_scenes": scenes of digits that no other split has, with boxes and masks that agree."""

import numpy as np
import pytest
from sklearn import datasets

from keras_senet.data import digit_scenes
from keras_senet.data.digits import Digits


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digit_scenes, "SCENES", {"train": 12, "test": 6})
        made = digit_scenes.DigitScenes(data_dir=tmp_path_factory.mktemp("scenes"))
        made.download_and_prepare()
    return made


def test_boxes_and_masks_agree(builder):
    scenes = list(builder.as_dataset(split="train+test").as_numpy_iterator())
    assert len(scenes) == 18
    for scene in scenes:
        image, mask, objects = scene["image"], scene["mask"][..., 0], scene["objects"]
        assert (image.shape, mask.shape) == ((96, 96, 3), (96, 96))
        assert {*mask.flat} - {0} <= {1 + label for label in objects["label"]}
        outside = np.ones_like(mask, bool)
        for (top, left, bottom, right), label in zip(np.rint(96 * objects["bbox"]).astype(int), objects["label"], strict=True):
            inside = mask[top:bottom, left:right] == 1 + label
            outside[top:bottom, left:right] = False
            # Another digit may hide a little of it.
            assert all(side.mean() > 0 for side in (inside[:2], inside[-2:], inside[:, :2], inside[:, -2:]))
            assert max(inside.shape) <= 40
        assert not mask[outside].any()
        assert image[mask > 0].mean() > 1.5 * image[mask == 0].mean()
    assert len({scene["image"].tobytes() for scene in scenes}) == 18


def test_a_scene_does_not_depend_on_their_number(builder):
    digits, labels = datasets.load_digits(return_X_y=True)
    examples = builder._generate_examples(digits.reshape(-1, 8, 8) / 16, labels, "test")
    again = builder._generate_examples(digits.reshape(-1, 8, 8) / 16, labels, "test")
    first, same = next(examples)[1], next(again)[1]
    np.testing.assert_array_equal(first["image"], same["image"])


def test_the_splits_have_the_digits_of_the_dataset_digits(monkeypatch, builder, tmp_path):
    pixels = datasets.load_digits().images / 16
    seen = {}
    monkeypatch.setattr(builder, "_generate_examples", lambda digits, labels, split: seen.setdefault(split, (digits, labels)))
    builder._split_generators(None)
    other = Digits(data_dir=tmp_path)
    monkeypatch.setattr(other, "_generate_examples", lambda indices, images, labels: [pixels[index] for index in indices])
    of_digits = other._split_generators(None)
    for split, (digits, labels) in seen.items():
        assert len(digits) == len(labels) == len(of_digits[split])
        assert {digit.tobytes() for digit in digits} == {digit.tobytes() for digit in of_digits[split]}
    assert seen.keys() == {"train", "test"}
