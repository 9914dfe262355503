"""Images with boxes and masks: they stay on each other however the images are augmented, and batches are what they were."""

import io
import itertools
import json

import keras
import numpy as np
import odd_images
import painted
import pytest
import tensorflow as tf
from PIL import Image

import keras_senet
from keras_senet import Preprocessing, data, detection
from keras_senet.data import placing

SIZE = 64
STILL = data.Augmentation(crop="center", flip=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return painted.write(tmp_path_factory.mktemp("painted") / "scenes", 24)


def loaded(folder, task, split="all"):
    return data.load(str(folder), split, task=task)


def batches_of_one(images):
    return data.training_batches(images, SIZE, 1, STILL).take(images.size).unbatch().as_numpy_iterator()


def batches(folder, task, augmentation=STILL, count=24, size=SIZE, **options):
    """The pixels and the targets of `count` training images, one batch for each."""
    made = data.training_batches(loaded(folder, task), size, 1, augmentation, **options).take(count)
    return list(made.unbatch().as_numpy_iterator())


def shown(pixels, tolerance=1.0):
    """The mask value that a pixel shows by its color, 255 for gray; -1 for a mixture."""
    colors = np.concatenate([painted.COLORS, [[128, 128, 128]]]).astype(float)
    distance = np.abs(pixels[..., np.newaxis, :] - colors).max(-1)
    values = np.where(distance.argmin(-1) == len(painted.COLORS), 255, distance.argmin(-1))
    return np.where(distance.min(-1) <= tolerance, values, -1)


ALL_MOVES = [
    data.Augmentation(crop=crop, flip=flip, rotation=rotation, area_min=0.2)
    for crop, flip, rotation in (
        ("center", True, 0),
        ("shift", False, 0),
        ("random", True, 0),
        ("random", True, 40),
    )
]


@pytest.mark.parametrize("augmentation", ALL_MOVES, ids=lambda each: f"{each.crop}-{each.flip}-{each.rotation}")
def test_a_mask_has_the_values_that_its_image_is_painted_with(folder, augmentation):
    seen = set()
    for pixels, mask in batches(folder, "segment", augmentation):
        values = shown(pixels)
        assert mask.shape == (SIZE, SIZE)
        assert mask.dtype == np.uint8
        pure = values >= 0
        assert pure.mean() > 0.6
        # A mixture of black and gray, say, is no color; one of yellow and red could be none of them either.
        np.testing.assert_array_equal(mask[pure], values[pure])
        seen |= {*np.unique(mask)}
    assert seen == {*range(6), 255}


@pytest.mark.parametrize("augmentation", ALL_MOVES, ids=lambda each: f"{each.crop}-{each.flip}-{each.rotation}")
def test_a_box_is_that_of_the_pixels_of_its_object(folder, augmentation):
    """Of the same random numbers, detection and segmentation see the same images."""
    kept = lost = 0
    of_masks = batches(folder, "segment", augmentation)
    for (pixels, objects), (same, mask) in zip(batches(folder, "detect", augmentation), of_masks, strict=True):
        np.testing.assert_array_equal(pixels, same)
        assert objects.keys() == {"boxes", "labels"}
        assert (objects["boxes"].dtype, objects["labels"].dtype) == (np.float32, np.int32)
        expected = painted.boxes(mask)
        for box, label in zip(objects["boxes"], objects["labels"], strict=True):
            if label < 0:
                np.testing.assert_array_equal(box, -1)
                continue
            kept += 1
            assert (box >= 0).all()
            assert (box <= SIZE).all()
            if not augmentation.rotation:
                np.testing.assert_allclose(box, expected[label], atol=1.0)
            else:  # the box around a rectangle may be larger than what the square shows of it
                assert (box[:2] <= expected[label, :2] + 1.5).all()
                assert (box[2:] >= expected[label, 2:] - 1.5).all()
        missing = {*range(5)} - {*objects["labels"]}
        lost += len(missing)
        for label in missing:
            width, height = expected[label, 2:] - expected[label, :2]
            assert not width * height > 0.75 * SIZE**2
    assert kept > 40
    assert (lost > 0) == (augmentation.crop == "random")


def test_a_turned_box_is_the_smallest_around_its_pixels(tmp_path):
    """Where the square shows all of them."""
    values = np.zeros((60, 60), np.uint8)
    for label, (row, column) in enumerate([(20, 20), (20, 35), (35, 20), (35, 35), (28, 28)]):
        values[row : row + 6, column : column + 5] = label + 1
    folder = painted.write(tmp_path / "one", 1, width=60, height=60)
    Image.fromarray(painted.COLORS[values]).save(folder / "images" / "000.png")
    objects = np.concatenate([painted.boxes(values) / 60, np.arange(5)[:, np.newaxis], np.zeros((5, 1))], 1).astype(np.float32)
    mask = tf.constant(np.kron(values, np.ones((10, 10), np.uint8))[..., np.newaxis])  # finer, so that a pixel is little
    for seed in range(10):
        turned = placing.rotate(tf.constant(objects), (seed, 1), 90.0).numpy()
        pixels = placing.rotate_mask(mask, (seed, 1), 90.0).numpy()[..., 0]
        np.testing.assert_allclose(turned[:, :4] * 600, painted.boxes(pixels), atol=1.5)


def test_an_object_of_which_less_than_a_quarter_is_left_is_none():
    objects = tf.constant([[0.0, 0.0, 0.4, 0.4, 3.0, 0.0], [0.5, 0.5, 1.0, 1.0, 4.0, 1.0], [-1.0] * 6])
    shape = tf.constant([100, 100])
    for width, kept in ((11, True), (9, False)):
        place = placing.Place(*map(tf.constant, ([0, 40 - width], [100, width], [0, 0], [100, width])))
        moved = placing.placed_objects(objects, shape, place, 100).numpy()
        assert (moved[0, 4] == 3) == kept
        np.testing.assert_array_equal(moved[1:], -1)
        if kept:
            np.testing.assert_allclose(moved[0, :4], [0, 0, width / 100, 0.4], atol=1e-6)


def test_random_windows_scale_either_way_alike():
    shape = tf.constant([300, 400])
    places = tf.data.Dataset.range(2000).map(lambda seed: placing.jittered(shape, 256, tf.stack([7, seed]), 0.25))
    place = places.batch(2000).get_single_element()
    scale = (place.extent / place.size).numpy()
    area = 1 / (scale[:, 0] * scale[:, 1]) * 256**2 / 400**2  # of the window, as a multiple of that of the letterbox
    assert 0.24 < area.min() < 0.28
    assert 3.6 < area.max() < 4.2
    assert 0.45 < np.mean(area < 1) < 0.55
    ratios = scale[:, 0] / scale[:, 1]
    assert 0.73 < ratios.min() < 0.78
    assert 1.28 < ratios.max() < 1.37
    begin, end = place.begin.numpy(), (place.begin + place.size).numpy()
    assert (begin >= 0).all()
    assert (end <= (300, 400)).all()
    at, last = place.at.numpy(), (place.at + place.extent).numpy()
    assert (at >= 0).all()
    assert (last <= 256).all()
    is_whole = (place.size == shape).numpy().all(axis=1)
    assert 0.2 < is_whole.mean() < 0.6
    # The larger of window and image holds the other one, in each direction.
    for axis, side in enumerate((300, 400)):
        part = place.size.numpy()[:, axis] < side - 1
        full = (at[:, axis] == 0) & (last[:, axis] == 256)
        assert full[part].all()
        assert at[~part, axis].max() > 50
        assert begin[part, axis].max() > 50


def test_evaluation_shows_the_whole_image_as_pillow_scales_it(folder):
    values = painted.mask(0)
    for task in ("detect", "segment"):
        pixels, truth = next(iter(data.evaluation_batches(loaded(folder, task), Preprocessing(SIZE, 0.875), 5)))
        expected = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
        expected.paste(Image.fromarray(painted.COLORS[values]).resize((64, 43), Image.Resampling.BILINEAR))
        assert np.abs(pixels[0] - np.asarray(expected, np.float32)).max() <= 1.5
    mask = np.full((SIZE, SIZE), 255)
    mask[:43] = np.asarray(Image.fromarray(values).resize((64, 43), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(truth[0], mask)


def test_masks_turn_and_flip_as_in_pillow():
    mask = painted.mask(3, 90, 90)
    for seed in range(8):
        angle = float(tf.random.stateless_uniform((), (seed, 5), -70.0, 70.0))
        ours = placing.rotate_mask(tf.constant(mask[..., np.newaxis]), (seed, 5), 70.0).numpy()[..., 0]
        expected = np.asarray(Image.fromarray(mask).rotate(angle, Image.Resampling.NEAREST, fillcolor=255))
        assert np.mean(ours != expected) < 0.01


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_training_goes_on_at_any_batch(folder, task):
    augmentation = data.Augmentation(rotation=10, pixel_jitter=5, random_erasing=0.5)

    def made(start, count):
        each = data.training_batches(loaded(folder, task), SIZE, 5, augmentation, start=start).take(count)
        return [tf.nest.flatten(batch) for batch in each.as_numpy_iterator()]

    one_run, rest = made(data.Place(seed=3), 9), made(data.Place(seed=3, epoch=1, step=1), 4)
    for ours, expected in zip(rest, one_run[5:], strict=True):
        for part, same in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(part, same)
    assert not np.array_equal(one_run[0][-1], one_run[4][-1])


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_two_workers_share_each_batch(folder, task):
    def made(size, *shard):
        options = {"start": data.Place(seed=3), "shard": data.Shard(*shard)}
        each = data.training_batches(loaded(folder, task), SIZE, size, **options).take(4)
        return [
            sorted(pixels.tobytes() + b"".join(map(bytes, tf.nest.flatten(truth))) for pixels, truth in zip_nested(batch))
            for batch in each.as_numpy_iterator()
        ]

    shares = zip(made(4, 2, 0), made(4, 2, 1), strict=True)
    assert [sorted(itertools.chain(*share)) for share in shares] == made(8)


def zip_nested(batch):
    """The examples of a batch."""
    return tf.data.Dataset.from_tensor_slices(batch).as_numpy_iterator()


@pytest.mark.slow
def test_batches_are_what_a_detector_trains_on(folder):
    network = keras_senet.SEResNet18(weights=None, include_top=False)
    anchors = detection.Anchors(image_size=(SIZE, SIZE), levels=(4, 5))
    model = detection.retinanet(keras_senet.backbone(network, (4, 5)), 5, anchors, width=8, depth=1)
    encode = detection.encoder(model)
    images = loaded(folder, "detect")
    made = data.training_batches(images, SIZE, 4, STILL, targets=encode)
    pixels, targets = next(iter(made))
    plain, objects = next(iter(data.training_batches(images, SIZE, 4, STILL)))
    np.testing.assert_array_equal(pixels, plain)
    for number in range(4):
        _, expected = encode(plain[number], {name: part[number] for name, part in objects.items()})
        for name, part in expected.items():
            np.testing.assert_array_equal(targets[name][number], part)
    assert made.element_spec[1]["boxes"].shape.as_list() == [4, len(anchors.boxes()), 5]
    evaluated = data.evaluation_batches(images, Preprocessing(SIZE), 10, targets=encode, padded_to=4)
    sizes = [(len(pixels), targets["boxes"].shape[1:], int(keras.ops.sum(weights))) for pixels, targets, weights in evaluated]
    assert sizes == [(10, (len(anchors.boxes()), 5), count) for count in (10, 10, 4, 0)]


@pytest.mark.parametrize(("task", "nothing"), [("detect", -1), ("segment", 255)])
def test_padding_shows_nothing(folder, task, nothing):
    *_, last = data.evaluation_batches(loaded(folder, task), Preprocessing(SIZE), 10, padded_to=3).as_numpy_iterator()
    _, truth, weights = last
    np.testing.assert_array_equal(weights, np.arange(10) < 4)
    truth = truth["labels"] if task == "detect" else truth
    assert (truth[4:] == nothing).all()
    assert not (truth[:4] == nothing).all(axis=tuple(range(1, truth.ndim))).any()


def test_the_groups_of_a_batch_may_have_different_numbers_of_objects(tmp_path):
    """Over 64 images are decoded in several groups."""
    folder = painted.write(tmp_path / "scenes", 66, width=48, height=32)
    content = json.loads((folder / "train.json").read_text())
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] == 0 or each["category_id"] == 13]
    (folder / "train.json").write_text(json.dumps(content))
    _, objects = next(data.training_batches(loaded(folder, "detect"), SIZE, 66, STILL).as_numpy_iterator())
    assert objects["boxes"].shape == (66, 5, 4)
    assert np.bincount((objects["labels"] >= 0).sum(1)).tolist() == [0, 65, 0, 0, 0, 1]
    np.testing.assert_array_equal(objects["boxes"][objects["labels"] < 0], -1)


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_a_damaged_image_is_replaced_together_with_its_target(tmp_path, task):
    folder = painted.write(tmp_path / "scenes", 110, width=48, height=32)
    (folder / "images" / "005.png").write_bytes(b"no image")
    images = loaded(folder, task)
    batches = data.training_batches(images, SIZE, 11, STILL).take(10)
    with pytest.warns(UserWarning, match="005.png: damaged"):
        made = list(batches.unbatch().as_numpy_iterator())
    blacks = [truth for pixels, truth in batches_of_one(images) if not pixels.any()]
    assert len(blacks) == 1  # where no other image of its group could take its place
    assert ((blacks[0]["labels"] == -1) if task == "detect" else (blacks[0] == 255)).all()
    evaluated = sum(len(pixels) for pixels, _ in data.evaluation_batches(images, Preprocessing(SIZE), 20))
    assert (len(made), evaluated) == (110, 109)
    for pixels, truth in made:
        if task == "segment":
            values = shown(pixels)
            np.testing.assert_array_equal(truth[values >= 0], values[values >= 0])
        else:
            assert (truth["labels"] >= 0).all()


@pytest.mark.parametrize(("orientation", "scale"), [(1, 20), (2, 1), (3, 1), (4, 1), (5, 1), (6, 20), (7, 1), (8, 1)])
def test_boxes_and_masks_lie_on_photographs_that_are_stored_on_their_side(tmp_path, orientation, scale):
    """Large ones are decoded at a lower resolution."""
    values = painted.mask(1, 120, 80)
    large = np.kron(values, np.ones((scale, scale), np.uint8))
    folder = painted.write(tmp_path / "scenes", 5, width=120, height=80)
    upright = Image.fromarray(painted.COLORS[large])
    stored = odd_images.stored(upright, orientation)
    for number in range(5):
        (folder / "images" / f"{number:03}.png").unlink()
        Image.fromarray(large).save(folder / "masks" / f"{number:03}.png", compress_level=1)
        exif = b"Exif\0\0" + odd_images.exif(orientation)
        (folder / "images" / f"{number:03}.jpg").write_bytes(odd_images.jpeg(stored, exif=exif))
    for number, frame in enumerate((large, np.asarray(odd_images.stored(Image.fromarray(large), orientation)))):
        if number == 1 and orientation <= 4:
            continue  # width and height do not tell them apart
        content = {
            "images": [{"id": 0, "file_name": "000.jpg", "width": frame.shape[1], "height": frame.shape[0]}],
            "categories": [{"id": 1 + label, "name": name} for label, name in enumerate(painted.NAMES)],
            "annotations": [
                {"image_id": 0, "category_id": 1 + label, "bbox": [left, top, right - left, bottom - top]}
                for label, (left, top, right, bottom) in enumerate(painted.boxes(frame).tolist())
            ],
        }
        (folder / "train.json").unlink(missing_ok=True)
        (folder / "annotations.json").write_text(json.dumps(content))
        ((pixels, objects),) = data.evaluation_batches(loaded(folder, "detect"), Preprocessing(120), 1)
        assert objects["labels"][0].numpy().tolist() == [0, 1, 2, 3, 4]
        np.testing.assert_allclose(objects["boxes"][0], painted.boxes(values), atol=0.01)
    pixels, mask = next(data.evaluation_batches(loaded(folder, "segment"), Preprocessing(120), 1).as_numpy_iterator())
    np.testing.assert_array_equal(mask[0, :80], values)
    assert (mask[0, 80:] == 255).all()
    distance = np.abs(pixels[0, :80] - painted.COLORS[values].astype(np.float32)).max(-1)
    assert np.mean(distance > 40) < 0.01  # JPEG loses something at the edges


def test_a_large_window_is_read_at_a_lower_resolution_with_nearly_the_same_result():
    """Also where its height and width change by different ratios."""
    photograph = odd_images.photograph(1200, 1600)
    file = io.BytesIO()
    photograph.save(file, "jpeg", quality=95)
    whole = tf.io.decode_jpeg(file.getvalue(), dct_method="INTEGER_ACCURATE")
    for begin, size, extent in (([13, 7], [1100, 1501], [60, 96]), ([0, 100], [1200, 700], [96, 40])):
        place = placing.Place(*map(tf.constant, (begin, size, [0, 0], extent)))
        ours = placing.placed_image(tf.constant(file.getvalue()), place, 96).numpy()
        crop = whole[begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]]
        expected = tf.image.resize(tf.cast(crop, tf.float32), extent, antialias=True)
        assert np.abs(ours[: extent[0], : extent[1]] - expected).max() < 8
        assert (ours[extent[0] :] == 128).all()
        assert (ours[:, extent[1] :] == 128).all()


def test_what_would_part_image_and_target_is_refused(folder):
    images = loaded(folder, "detect")
    for name in ("rand_augment_magnitude", "mixup_alpha", "cutmix_alpha"):
        with pytest.raises(ValueError, match=f"RandAugment, MixUp and CutMix cannot do: leave '{name}' at 0"):
            data.training_batches(images, SIZE, 4, data.Augmentation(**{name: 0.5}))
    with pytest.raises(ValueError, match="`balanced` draws all classes equally often"):
        data.training_batches(images, SIZE, 4, balanced=True)
    with pytest.raises(ValueError, match="For the task 'detect' `views` must be 1"):
        data.evaluation_batches(images, Preprocessing(SIZE), 4, views=2)


@pytest.mark.slow
def test_a_data_service_reads_masks_without_python(folder):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    worker = service.WorkerServer(service.WorkerConfig(dispatcher.target.split("://")[1]))
    made = data.training_batches(loaded(folder, "segment"), SIZE, 6, STILL, data_service=dispatcher.target).take(4)
    served, local = (
        sorted(pixels.tobytes() + mask.tobytes() for pixels, mask in examples)
        for examples in (made.unbatch().as_numpy_iterator(), batches(folder, "segment"))
    )
    assert served == local
    del worker
