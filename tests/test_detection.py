"""`keras_senet.detection`: anchors, matching, losses, suppression, and detectors that train, are saved and are exported."""

import detectors
import keras
import numpy as np
import pytest
import tensorflow as tf
from detectors import CLASSES, SIDES

import keras_senet
from keras_senet import detection
from keras_senet.detection.anchors import decoded
from keras_senet.detection.regions import MatchRegions, ProposeRegions, RoiAlign
from keras_senet.export.conversion import convert


def overlap(one, other) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


@pytest.mark.parametrize("image_size", [(64, 96), (224, 128), (100, 75)])
def test_anchors_are_those_of_keras_cv(image_size):
    layers = pytest.importorskip("keras_cv").layers
    anchors = detection.Anchors(image_size, (3, 4, 5, 6), scale=3.0, ratios=(0.5, 1.0, 1.7))
    theirs = layers.AnchorGenerator(
        "xyxy",
        sizes=[3.0 * stride for stride in anchors.strides],
        scales=list(anchors.octaves),
        aspect_ratios=[1 / ratio for ratio in anchors.ratios],  # width by height
        strides=list(anchors.strides),
    )
    expected = np.concatenate([*theirs(image_shape=(*image_size, 3)).values()])
    np.testing.assert_allclose(anchors.boxes(), expected, atol=1e-4)


def matched(anchors, boxes, labels) -> tuple[list, list]:
    """The object of each anchor, or -1, and its label: by the rules of `Anchors.matcher`, anchor by anchor."""
    overlaps = [[overlap(anchor, box) for box in boxes] for anchor in anchors]
    nearest = [max(range(len(anchors)), key=lambda anchor: overlaps[anchor][box]) for box in range(len(boxes))]
    found = []
    for anchor, row in enumerate(overlaps):
        mine = [box for box in range(len(boxes)) if nearest[box] == anchor] or range(len(boxes))
        best = max(mine, key=lambda box: row[box], default=None)
        if best is None or (row[best] < 0.4 and best not in mine):
            found.append((-1, -1))
        elif row[best] >= 0.5 or nearest[best] == anchor:
            found.append((best, labels[best]))
        else:
            found.append((-1, -1 if row[best] < 0.4 else -2))
    return [box for box, _ in found], [label for _, label in found]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
def test_objects_are_matched_as_by_a_loop_over_all_anchors(count):
    anchors = detectors.anchors()
    boxes = detectors.random_boxes(count, seed=count, least=3.0)
    labels = np.arange(count) % CLASSES
    objects, expected = matched(anchors.boxes(), boxes, labels)
    targets = anchors.matcher(CLASSES)({"boxes": boxes, "labels": labels})
    np.testing.assert_array_equal(targets["classes"][:, 0], expected)
    deltas, found = np.split(targets["boxes"], [4], axis=1)
    np.testing.assert_array_equal(found[:, 0], np.array(objects) >= 0)
    assert set(range(count)) <= set(objects)  # none is lost
    # What the detector would decode of the deltas is each anchor's object.
    back = keras.ops.convert_to_numpy(decoded(anchors.boxes(), deltas, SIDES))
    for box, one in zip(objects, back, strict=True):
        if box >= 0:
            np.testing.assert_allclose(one, boxes[box], atol=1e-4)


def test_of_two_objects_with_one_nearest_anchor_it_belongs_to_the_nearer():
    anchors = detection.Anchors((32, 32), levels=(5,), octaves=(1,), scale=1, ratios=(1,))  # one: the whole image
    small, large = [0, 0, 4, 4], [0, 0, 9, 9]
    for boxes in ([small, large], [large, small]):
        targets = anchors.matcher(2)({"boxes": np.array(boxes, "float32"), "labels": np.array([0, 1])})
        assert targets["classes"].numpy().item() == boxes.index(large)


def test_images_without_objects_are_background():
    match = detectors.anchors().matcher(CLASSES)
    nothing = match({"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)})
    padding = match({"boxes": np.full((3, 4), -1.0), "labels": np.full(3, -1)})
    outside = match({"boxes": np.array([[-9, 5, -2, 20], [96, 0, 120, 64]]), "labels": np.array([0, 1])})
    empty = match({"boxes": np.array([[5, 5, 5, 20], [0, 64, 20, 70]]), "labels": np.array([0, 1])})
    for targets in (nothing, padding, outside, empty):
        assert np.unique(targets["classes"]) == -1
        assert not np.any(targets["boxes"])


def test_boxes_are_clipped_to_the_image_and_those_of_padding_are_no_objects():
    match = detectors.anchors().matcher(CLASSES)
    clipped = match({"boxes": np.array([[20, 10, 96, 64]], "float64"), "labels": np.array([2])})
    reaching_out = {"boxes": np.array([[7, 7, 3, 3], [20, 10, 130, 99], [30, 30, 30, 50]], "float32"), "labels": [-1, 2, 0]}
    found = match({name: np.array(value) for name, value in reaching_out.items()})
    for name in clipped:
        np.testing.assert_array_equal(found[name], clipped[name])


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize(
    ("box", "label", "said"),
    [
        ([1, 1, 9, 9], CLASSES, "Labels must be less than 3, the number of classes of the detector; they start from 0"),
        ([9, 1, 3, 9], 0, "Boxes must be left, top, right and bottom in pixels"),
        ([1, 9, 9, 3], 0, "Boxes must be left, top, right and bottom in pixels"),
        ([1, np.nan, 9, 3], 0, "Boxes must be left, top, right and bottom in pixels"),
    ],
)
def test_objects_that_cannot_be_are_refused(in_pipeline, box, label, said):
    objects = {"boxes": np.array([[1, 1, 5, 5], box], "float32"), "labels": np.array([0, label])}
    match = detectors.anchors().matcher(CLASSES)
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        if in_pipeline:
            list(tf.data.Dataset.from_tensors(objects).map(match))
        else:
            match(objects)


def test_the_focal_loss_is_the_formula_of_its_paper():
    random = np.random.default_rng(0)
    labels = random.integers(-2, CLASSES, (2, 50, 1))
    logits = random.normal(0, 3, (2, 50, CLASSES))
    expected = []
    for image in range(2):
        total = 0.0
        for (label,), row in zip(labels[image], logits[image], strict=True):
            for kind, logit in enumerate(row):
                p = 1 / (1 + np.exp(-logit))
                p_t, alpha_t = (p, 0.25) if kind == label else (1 - p, 0.75)
                total += 0.0 if label == -2 else -alpha_t * (1 - p_t) ** 2 * np.log(p_t)
        expected.append(total / np.sum(labels[image] >= 0))
    assert float(detection.FocalLoss()(labels, logits)) == pytest.approx(np.mean(expected), rel=1e-5)
    # Keras' function is the same, but for the sum and very sure logits.
    truth = np.eye(CLASSES + 2)[labels[..., 0]][..., :CLASSES]
    keras_cv = keras.losses.binary_focal_crossentropy(truth, logits, apply_class_balancing=True, from_logits=True)
    keras_cv = np.sum(CLASSES * keras_cv * (labels[..., 0] > -2), axis=1) / np.sum(labels[..., 0] >= 0, axis=1)
    assert float(np.mean(keras_cv)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_surely_wrong_logits_have_gradients():
    logits = tf.Variable([[[40.0, -40.0]]])
    with tf.GradientTape() as tape:
        loss = detection.FocalLoss()(np.array([[[1]]]), logits)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[[0.75, -0.25]]], rtol=1e-5)


def test_an_image_without_objects_has_a_loss_of_its_background_alone():
    targets, logits = np.full((1, 50, 1), -1), np.zeros((1, 50, CLASSES))
    assert float(detection.FocalLoss()(targets, logits)) == pytest.approx(50 * CLASSES * 0.75 * 0.25 * np.log(2), rel=1e-5)
    assert float(detection.BoxLoss()(np.zeros((1, 50, 5)), np.ones((1, 50, 4)))) == 0


def test_the_box_loss_is_the_huber_loss_of_the_anchors_with_objects():
    random = np.random.default_rng(0)
    targets, deltas = random.normal(0, 2, (2, 50, 5)), random.normal(0, 2, (2, 50, 4))
    targets[..., 4] = random.integers(0, 2, (2, 50))
    errors = np.abs(targets[..., :4] - deltas)
    huber = np.where(errors < 1, errors**2 / 2, errors - 0.5).sum(-1) * targets[..., 4]
    expected = np.mean(huber.sum(-1) / targets[..., 4].sum(-1))
    assert float(detection.BoxLoss()(targets, deltas)) == pytest.approx(expected, rel=1e-5)


def suppressed_by_tensorflow(boxes, scores, score_threshold, iou_threshold) -> dict[int, list]:
    """By class, the boxes that stay and their scores."""
    found = {}
    for kind in range(scores.shape[1]):
        kept = tf.image.non_max_suppression(
            boxes, scores[:, kind], len(boxes), iou_threshold=iou_threshold, score_threshold=score_threshold
        ).numpy()
        found[kind] = [(*boxes[index], scores[index, kind]) for index in kept]
    return found


def assert_suppressed_as_by_tensorflow(boxes, scores, score_threshold=0.05, iou_threshold=0.5) -> int:
    """Returns how many boxes of how many scores are left."""
    most = scores[0].size
    layer = detection.NonMaxSuppression(score_threshold, iou_threshold, candidates=most, max_detections=most)
    detections = {name: keras.ops.convert_to_numpy(x) for name, x in layer([boxes, scores]).items()}
    left = 0
    for image in range(len(boxes)):
        own = {name: x[image] for name, x in detections.items()}
        assert np.all(np.diff(own["scores"]) <= 0)
        expected = suppressed_by_tensorflow(boxes[image], scores[image], score_threshold, iou_threshold)
        for kind, kept in expected.items():
            rows = own["classes"] == kind
            np.testing.assert_array_equal(np.column_stack([own["boxes"][rows], own["scores"][rows]]), np.reshape(kept, (-1, 5)))
            left += len(kept)
        rest = own["classes"] == -1
        assert not np.any(own["boxes"][rest])
        assert not np.any(own["scores"][rest])
    return left


@pytest.mark.parametrize("iou_threshold", [0.3, 0.5])
@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 20)]])
def test_suppression_is_that_of_tensorflow_also_of_equal_boxes_and_scores(seed, iou_threshold):
    random = np.random.default_rng(seed)
    first = random.integers(0, 12, (3, 60, 2)).astype("float32")
    boxes = np.concatenate([first, first + random.integers(1, 12, (3, 60, 2))], axis=-1).astype("float32")
    boxes[:, 40:] = boxes[:, :20]
    scores = np.round(random.uniform(0, 1, (3, 60, CLASSES)), 1).astype("float32")
    left = assert_suppressed_as_by_tensorflow(boxes, scores, iou_threshold=iou_threshold)
    assert 30 < left < 400  # of 540


def test_in_a_long_chain_of_boxes_each_of_which_overlaps_the_next_every_other_stays():
    left = np.arange(40, dtype="float32") * 3
    boxes = np.stack([left, np.zeros(40), left + 10, np.full(40, 10)], axis=-1).astype("float32")[np.newaxis]
    scores = np.linspace(0.9, 0.1, 40, dtype="float32").reshape(1, 40, 1)
    assert assert_suppressed_as_by_tensorflow(boxes, scores, iou_threshold=0.5) == 20


def test_the_candidates_are_the_surest_boxes():
    boxes, scores = np.array([[[9.0 * i, 0, 9.0 * i + 9, 9] for i in range(8)]]), np.linspace(0.1, 0.8, 8).reshape(1, 8, 1)
    layer = detection.NonMaxSuppression(candidates=3, max_detections=5)
    detections = layer([boxes.astype("float32"), scores.astype("float32")])
    np.testing.assert_allclose(detections["scores"], [[0.8, 0.7, 0.6, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(detections["boxes"][0, :, 0], [63, 54, 45, 0, 0])
    np.testing.assert_array_equal(detections["classes"], [[0, 0, 0, -1, -1]])


def parameters(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize(("attention", "expected"), [("se", 40_499_684), (None, 37_968_692)])
def test_a_retinanet_for_coco_has_its_parameters(attention, expected):
    network = keras_senet.SEResNet50(weights=None, include_top=False, attention=attention)
    model = detection.retinanet(keras_senet.backbone(network, (3, 4, 5)), 80, detection.Anchors((256, 384)))
    assert parameters(model) == expected
    if attention is None:
        # torchvision documents 34,014,999 for its retinanet_resnet50_fpn: of 91 classes, without the parameters of batch
        # normalization, and with level 6 made from level 5 of the pyramid instead of the backbone.
        classes, norms, level6 = (91 - 80) * 9 * (9 * 256 + 1), 2 * 26_560, 9 * (2048 - 256) * 256
        assert expected + classes - norms - level6 == 34_014_999


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize(("attention", "expected"), [("se", 43_960_148), (None, 41_429_156)])
def test_a_faster_rcnn_for_coco_has_its_parameters(attention, expected):
    network = keras_senet.SEResNet50(weights=None, include_top=False, attention=attention)
    anchors = detection.Anchors((256, 384), (2, 3, 4, 5, 6), scale=8, octaves=(1.0,))
    model = detection.faster_rcnn(keras_senet.backbone(network), 80, anchors, proposals=100)
    assert parameters(model) == expected
    if attention is None:
        # torchvision documents 41,755,286 for its fasterrcnn_resnet50_fpn: of 90 classes and the background, with boxes for each
        # of them, without the parameters of batch normalization.
        classes, boxes, norms = (91 - 81) * 1025, (4 * 91 - 4) * 1025, 2 * 26_560
        assert expected + classes + boxes - norms == 41_755_286


def test_at_the_start_each_class_has_a_probability_of_one_percent_and_each_box_is_its_anchor(untrained):
    outputs = untrained(detectors.images(2))
    np.testing.assert_allclose(keras.ops.sigmoid(outputs["classes"]), 0.01, atol=0.005)
    np.testing.assert_allclose(outputs["boxes"], 0, atol=0.5)


def interpolated(feature_map, y: float, x: float) -> np.ndarray:
    """The value of a map `(H, W, C)` between its cells."""
    y, x = (min(max(place, 0), side - 1) for place, side in zip((y, x), feature_map.shape[:2], strict=True))
    top, left = int(y), int(x)
    value = 0.0
    for row, of_row in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, of_column in ((left, 1 - (x - left)), (left + 1, x - left)):
            if of_row * of_column > 0:
                value = value + of_row * of_column * feature_map[row, column]
    return value


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_windows_of_regions_are_those_of_loops_over_their_samples(data_format):
    random = np.random.default_rng(0)
    maps = [random.normal(size=(2, SIDES[0] // stride, SIDES[1] // stride, 3)).astype("float32") for stride in (4, 8, 16)]
    regions = np.stack([detectors.random_boxes(5, seed, least=2.0) for seed in range(2)])
    expected = np.zeros((2, 5, 3, 3, 3))
    for image, region in np.ndindex(2, 5):
        left, top, right, bottom = map(float, regions[image, region])
        level = int(np.clip(np.floor(4 + np.log2(np.sqrt((right - left) * (bottom - top)) / 56)), 2, 4))
        for row, column, y, x in np.ndindex(3, 3, 2, 2):
            place_y = (top + (bottom - top) * (2 * row + y + 0.5) / 6) / 2**level - 0.5
            place_x = (left + (right - left) * (2 * column + x + 0.5) / 6) / 2**level - 0.5
            expected[image, region, row, column] += interpolated(maps[level - 2][image], place_y, place_x) / 4
    if data_format == "channels_first":
        maps = [x.transpose(0, 3, 1, 2) for x in maps]
    windows = RoiAlign((4, 8, 16), canonical_size=56.0, size=3, data_format=data_format)([*maps, regions])
    np.testing.assert_allclose(windows, expected, atol=1e-4)


def proposed(levels: list[tuple[np.ndarray, np.ndarray]], count: int) -> list:
    """Boxes by the rule of `ProposeRegions`, box by box; of each level its boxes and their scores."""
    left = []
    for boxes, scores in levels:
        kept = []
        for index in sorted(range(len(boxes)), key=lambda index: -scores[index])[:count]:
            has_area = boxes[index][2] > boxes[index][0] and boxes[index][3] > boxes[index][1]
            if has_area and all(overlap(boxes[index], boxes[other]) <= 0.7 for other in kept):
                kept.append(index)
        left += [(scores[index], boxes[index]) for index in kept]
    surest = sorted(left, key=lambda pair: -pair[0])[:count]
    return [box for _, box in surest] + [np.zeros(4)] * (count - len(surest))


@pytest.mark.parametrize("count", [5, 30, 100])
def test_regions_are_proposed_as_by_a_loop_over_the_levels(count):
    random = np.random.default_rng(count)
    anchors = detectors.anchors(levels=(4, 5, 6), octaves=(1.0,))
    sizes = [3 * rows * columns for rows, columns in anchors.map_sizes]
    assert sizes == [72, 18, 6]
    centers = detectors.random_boxes(10, seed=0)
    boxes = (centers[random.integers(0, 10, (2, 96))] + random.normal(0, 1.5, (2, 96, 4))).astype("float32")
    boxes[:, ::9, 2] = boxes[:, ::9, 0]  # of no area
    scores = random.permutation(2 * 96).reshape(2, 96, 1).astype("float32") / 200 + 0.01
    regions = ProposeRegions(anchors, count)([boxes, scores])
    for image in range(2):
        levels = [np.split(x[image], np.cumsum(sizes)[:-1]) for x in (boxes, scores[..., 0])]
        np.testing.assert_array_equal(regions[image], proposed([*zip(*levels, strict=True)], count))


def test_no_level_crowds_out_another():
    """A surer box of another level does not stand in the way of the same box, nor do many surer ones of its own level."""
    anchors = detectors.anchors(levels=(5, 6), octaves=(1.0,), ratios=(1.0,))  # 6 and 2 of them
    boxes = np.array([[[0, 0, 20, 20]] * 5 + [[40, 0, 60, 20]] + [[0, 0, 20, 20], [0, 40, 20, 60]]], "float32")
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.95, 0.1, 0.2], "float32").reshape(1, 8, 1)
    regions = ProposeRegions(anchors, 4)([boxes, scores])
    np.testing.assert_array_equal(regions[0], boxes[0, [5, 0, 7, 6]])


def test_regions_are_matched_as_by_a_loop_over_them():
    boxes = detectors.random_boxes(4, seed=0)
    labels = np.array([2, 0, -1, 1])
    near = (boxes[np.arange(40) % 4] + np.random.default_rng(0).normal(0, 3, (40, 4))).astype("float32")
    proposals = np.concatenate([near, np.zeros((2, 4), "float32")])
    regions, deltas, label = MatchRegions()([proposals[np.newaxis], boxes[np.newaxis], labels[np.newaxis].astype("float32")])
    np.testing.assert_array_equal(regions[0], np.concatenate([proposals, boxes]))
    back = keras.ops.convert_to_numpy(decoded(regions[0], deltas[0], SIDES))
    for region, found, one in zip(regions[0].numpy(), label[0, :, 0].numpy(), back, strict=True):
        there = [index for index in range(4) if labels[index] >= 0]
        best = max(there, key=lambda index: overlap(region, boxes[index]))
        if np.all(region == 0):
            assert found == -2
        elif overlap(region, boxes[best]) < 0.5:
            assert found == -1
        else:
            assert found == labels[best]
            np.testing.assert_allclose(one, boxes[best], atol=1e-3)


@pytest.mark.parametrize("objects", [0, 20, 400])
def test_the_losses_of_two_stages_are_the_means_of_those_of_random_draws(objects):
    random = np.random.default_rng(objects)
    labels = np.concatenate([np.full(objects, 1), np.full(600, -1), np.full(50, -2)])
    logits = random.normal(size=len(labels))

    def mean(losses, count: int, most: int) -> float:
        """Over many draws of anchors or regions as the papers make them."""
        shown, background = np.flatnonzero(labels > -1), np.flatnonzero(labels == -1)
        means = []
        for _ in range(1000):
            chosen = random.permutation(shown)[:most]
            means.append(losses[[*chosen, *random.permutation(background)[: count - len(chosen)]]].mean())
        return np.mean(means)

    entropy = np.log1p(np.exp(np.where(labels > -1, -logits, logits)))
    found = detection.ProposalLoss()(labels.reshape(1, -1, 1), logits.reshape(1, -1, 1))
    assert float(found) == pytest.approx(mean(entropy, 256, 128), rel=0.01)

    of_classes = random.normal(size=(len(labels), 3))  # two classes and the background
    probabilities = np.exp(of_classes) / np.exp(of_classes).sum(1, keepdims=True)
    entropy = -np.log(probabilities[np.arange(len(labels)), np.where(labels > -1, labels, 2)])
    found = detection.RegionClassLoss()(np.zeros((1, 1)), np.column_stack([of_classes, labels])[np.newaxis])
    assert float(found) == pytest.approx(mean(entropy, 512, 128), rel=0.01)

    deltas = random.normal(size=(len(labels), 8))
    errors = np.abs(deltas[:, :4] - deltas[:, 4:])
    huber = np.where(errors < 1, errors**2 / 2, errors - 0.5).sum(1) * (labels > -1)
    found = detection.RegionBoxLoss()(np.zeros((1, 1)), np.column_stack([deltas, labels])[np.newaxis])
    assert float(found) == pytest.approx(mean(huber, 512, 128), rel=0.02)


@pytest.fixture(scope="module")
def untrained():
    """A RetinaNet as it starts."""
    return detectors.retinanet()


@pytest.fixture(scope="module", params=["retinanet", "faster_rcnn"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(kind, tmp_path_factory):
    """A detector after some steps, and its file."""
    model = getattr(detectors, kind)()
    history = model.fit(detectors.scenes(8).map(detection.encoder(model)).batch(4), epochs=10, verbose=0, shuffle=False).history[
        "loss"
    ]
    assert history[-1] < 0.8 * history[0]
    path = tmp_path_factory.mktemp("detector") / "model.keras"
    model.save(path)
    return model, path


def assert_equal(found: dict, expected: dict, atol: float = 0.0) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=atol, rtol=0, err_msg=name)


@pytest.mark.slow
def test_a_loaded_detector_has_its_optimizer_and_goes_on(trained):
    model, path = trained
    loaded = keras.saving.load_model(path)
    assert int(loaded.optimizer.iterations.numpy()) == 20
    dataset = detectors.scenes(8).map(detection.encoder(loaded)).batch(4)
    assert loaded.evaluate(dataset, verbose=0) == model.evaluate(dataset, verbose=0)
    loaded.fit(dataset, verbose=0, shuffle=False)
    assert int(loaded.optimizer.iterations.numpy()) == 22


@pytest.mark.slow
def test_a_saved_network_that_returns_boxes_computes_the_same(trained, tmp_path):
    detector = detection.detector(trained[0], score_threshold=0.01, iou_threshold=0.4, candidates=300, max_detections=20)
    detector.save(tmp_path / "detector.keras")
    batch = detectors.images(3, seed=1)
    expected = detector(batch)
    assert np.sum(expected["scores"] > 0) > 10
    assert_equal(keras.saving.load_model(tmp_path / "detector.keras")(batch), expected)
    boxes = keras.ops.convert_to_numpy(expected["boxes"])
    assert np.all((boxes >= 0) & (boxes <= [SIDES[1], SIDES[0], SIDES[1], SIDES[0]]))


@pytest.mark.slow
def test_a_tflite_file_returns_the_same_boxes(trained):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    detector = detection.detector(trained[0], score_threshold=0.01, candidates=200, max_detections=20)
    file = interpreter.Interpreter(model_content=convert(detector, "float32", 1, None))
    assert not [name for name in (op["op_name"] for op in file._get_ops_details()) if name.startswith("Flex")]
    run = file.get_signature_runner()
    for image in detectors.images(4, seed=1):
        expected = detector(image[np.newaxis])
        assert np.sum(expected["scores"] > 0) > 5
        assert_equal(run(images=image[np.newaxis]), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retinanet", pytest.param("faster_rcnn", marks=pytest.mark.exhaustive)])
def test_in_bfloat16_a_detector_returns_float32_and_trains(kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = getattr(detectors, kind)()
        model.fit(detectors.scenes(4).map(detection.encoder(model)).batch(4), verbose=0, shuffle=False)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("fpn_out3").compute_dtype == "bfloat16"
    outputs = detection.detector(model)(detectors.images(1))
    assert {x.dtype for x in [*outputs.values(), *model.outputs]} == {tf.float32, "float32"}
    assert all(np.isfinite(x).all() for x in outputs.values())


ON_TWO = """
import sys
import detectors, keras, numpy as np, tensorflow as tf
from keras_senet import detection
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
built = getattr(detectors, sys.argv[1])
def step(model):
    before = [weight.numpy() for weight in model.trainable_weights]
    losses = model.fit(detectors.scenes(8).map(detection.encoder(model)).batch(8), verbose=0, shuffle=False).history
    return losses, [weight.numpy() - old for weight, old in zip(model.trainable_weights, before)]
losses, expected = step(built(freeze_norm=True))
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = built(freeze_norm=True)
found_losses, found = step(model)
for name in losses:
    np.testing.assert_allclose(found_losses[name], losses[name], rtol=1e-5)
largest = max(np.abs(change).max() for change in expected)
assert largest > 1e-3
for one, other in zip(found, expected):
    np.testing.assert_allclose(one, other, atol=1e-5 * max(1, largest), rtol=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_a_step_on_two_replicas_is_that_on_one(kind, python):
    done = python(ON_TWO, kind)
    assert done.returncode == 0, done.stderr


ON_JAX = """
import sys
import detectors, keras, numpy as np
from keras_senet import detection
assert keras.backend.backend() == "jax"
model, images = keras.saving.load_model(sys.argv[1]), detectors.images(3, seed=1)
found = detection.detector(model, score_threshold=0.01).predict(images, verbose=0)
first = getattr(detectors, sys.argv[3])(data_format="channels_first")
first.set_weights(model.get_weights())
transposed = detection.detector(first, score_threshold=0.01).predict(images.transpose(0, 3, 1, 2), verbose=0)
for name in found:
    np.testing.assert_allclose(transposed[name], found[name], atol=1e-3)
dataset = detectors.scenes(8).map(detection.encoder(model)).batch(4)
losses = model.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]
np.savez(sys.argv[2], losses=losses, **found)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["retinanet", pytest.param("faster_rcnn", marks=pytest.mark.exhaustive)], indirect=True, scope="module"
)
def test_on_jax_a_detector_computes_the_same_in_both_data_formats_and_trains_alike(trained, kind, tmp_path, python):
    done = python(ON_JAX, trained[1], tmp_path / "found.npz", kind, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    expected = detection.detector(trained[0], score_threshold=0.01)(detectors.images(3, seed=1))
    loaded = keras.saving.load_model(trained[1])
    dataset = detectors.scenes(8).map(detection.encoder(loaded)).batch(4)
    losses = loaded.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]
    with np.load(tmp_path / "found.npz") as found:
        assert_equal({name: found[name] for name in expected}, expected, atol=1e-3)
        np.testing.assert_allclose(found["losses"], losses, rtol=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": (32, 96)}, r"at least as large as the stride of level 6, 64 pixels: leave out .*image_size=\(32, 96\)"),
        ({"image_size": 96}, "`image_size` must be a tuple of numbers. Received: image_size=96"),
        ({"image_size": (96, 96, 3)}, "`image_size` must be height and width in pixels"),
        ({"image_size": (96.0, 96)}, "`image_size` must be height and width in pixels"),
        ({"levels": (5, 4)}, "`levels` must be ascending numbers"),
        ({"levels": ()}, "`levels` must be a tuple of numbers"),
        ({"ratios": (1, 0)}, "`scale`, `octaves` and `ratios` must be positive"),
        ({"scale": -1}, "`scale`, `octaves` and `ratios` must be positive"),
    ],
)
def test_anchors_that_cannot_be_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        detectors.anchors(**options)


def test_what_no_detector_can_be_built_of_is_refused():
    backbone, anchors = detectors.backbone(), detectors.anchors()
    with pytest.raises(ValueError, match=r"the levels \(3, 4, 5, 6\), and the backbone has \(4, 5\): .* levels=\(3, 4, 5\)"):
        detection.retinanet(detectors.backbone((4, 5)), 3, anchors)
    with pytest.raises(ValueError, match=r"the levels \(6,\), and the backbone has \(3, 4, 5\)"):
        detection.retinanet(backbone, 3, detectors.anchors(levels=(6,)))
    with pytest.raises(ValueError, match="needs a backbone: make one .* Received: Functional 'small'"):
        detection.retinanet(keras.Model(backbone.inputs, backbone.output["P5"], name="small"), 3, anchors)
    for classes in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=f"`classes` must be an integer of at least 1.* Received: classes={classes}"):
            detection.retinanet(backbone, classes, anchors)
    with pytest.raises(ValueError, match=r"must be multiples of 32 pixels.* Received: image_size=\(64, 100\)"):
        detection.retinanet(backbone, 3, detectors.anchors(image_size=(64, 100)))


def test_more_objects_than_a_detector_in_two_stages_takes_are_refused():
    encode = detection.encoder(detectors.faster_rcnn())
    objects = {"boxes": detectors.random_boxes(4, seed=0), "labels": np.zeros(4, int)}
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="may have 3 objects: build the detector with a larger `max_objects`"
    ):
        encode(detectors.images(1)[0], objects)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Labels must be less than 3"):
        encode(detectors.images(1)[0], {"boxes": objects["boxes"][:1], "labels": np.array([3])})
    for options in ({"proposals": 0}, {"max_objects": 0}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be an integer of at least 1"):
            detection.faster_rcnn(detectors.backbone(), 3, detectors.anchors(), **options)


def test_images_of_another_size_are_refused(untrained):
    with pytest.raises(ValueError, match=r"expected shape=\(None, 64, 96, 3\), found shape=\(1, 96, 64, 3\)"):
        detection.detector(untrained)(np.zeros((1, 96, 64, 3)))


def test_only_a_detector_has_an_encoder_and_returns_boxes(untrained):
    for model in (detectors.backbone(), detection.detector(untrained)):
        for function in (detection.encoder, detection.detector):
            with pytest.raises(ValueError, match="This takes the network that is trained, by `keras_senet.detection.retinanet`"):
                function(model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"candidates": 0}, "`candidates` must be an integer of at least 1. Received: candidates=0"),
        ({"max_detections": 1.5}, "`max_detections` must be an integer of at least 1"),
        ({"score_threshold": -0.1}, r"`score_threshold` must be in \[0, 1\]"),
        ({"iou_threshold": 50}, r"`iou_threshold` must be in \[0, 1\]. Received: iou_threshold=50"),
    ],
)
def test_suppression_refuses_numbers_out_of_their_range(untrained, options, said):
    with pytest.raises(ValueError, match=said):
        detection.detector(untrained, **options)
