"""Detectors and segmenters after training: opened, exported, proven, and on the command line, on images of painted rectangles."""

import csv
import dataclasses
import json

import detectors
import keras
import mediapipe
import numpy as np
import painted
import pytest
import tensorflow as tf
import tiny_network
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

import keras_senet
from keras_senet import data, detection, export, training
from keras_senet.data.placing import letterbox, placed_image
from keras_senet.export.proof_of_places import compare_detections, compare_masks
from keras_senet.inference import opening
from keras_senet.inference.detector import Detector
from keras_senet.inference.labels import keep_class_names
from keras_senet.inference.preprocessing import Letterbox

NOISE = np.random.default_rng(0).uniform(0, 255, (40, 64, 64, 3)).astype("float32")
ANY = export.Limits(1, 1, 0, 1)  # a network that was never trained does not survive integers
OTHERS = {kind: pytest.mark.exhaustive for kind in export.QUANTIZATIONS if kind not in ("float32", "int8")}
KINDS = [pytest.param(kind, marks=OTHERS.get(kind, ())) for kind in export.QUANTIZATIONS]


def detecting(kind: str = "retinanet") -> keras.Model:
    """A small detector of images of 64 x 64 pixels, sure of some of its classes."""
    keras.utils.set_random_seed(0)
    backbone = keras_senet.backbone(tiny_network.of_four_stages(weights=None, input_shape=(64, 64, 3)), (3, 4, 5))
    if kind == "retinanet":
        anchors = detection.Anchors((64, 64), levels=(3, 4, 5), octaves=(1.0,))
        model = detection.retinanet(backbone, len(painted.NAMES), anchors, width=8, depth=1)
        kernel = np.random.default_rng(1).normal(size=model.get_layer("class_out").kernel.shape)
        model.get_layer("class_out").set_weights([kernel, np.zeros(kernel.shape[-1])])
        kernel *= 2 / np.std(model.predict(NOISE[:4], verbose=0)["classes"])
        model.get_layer("class_out").set_weights([kernel, np.full(kernel.shape[-1], -4.0)])
    else:
        anchors = detection.Anchors((64, 64), levels=(3, 4, 5), octaves=(1.0,))
        small = {"width": 8, "units": 16, "proposals": 20, "max_objects": 3, "canonical_size": 56.0}
        model = detection.faster_rcnn(backbone, len(painted.NAMES), anchors, **small)
    keep_class_names(model, painted.NAMES)
    return model


def segmenting(size: int | None = 120) -> keras.Model:
    """The network that gives each pixel the class of the nearest color, which is a linear map."""
    images = keras.Input((size, size, 3))
    first = keras_senet.layers.PixelNormalization(mean=[0.0] * 3, variance=[255.0**2] * 3, class_names=["ground", *painted.NAMES])
    conv = keras.layers.Conv2D(len(painted.COLORS), 1, name="logits")
    model = keras.Model(images, conv(first(images)), name="nearest")
    colors = painted.COLORS / 255
    conv.set_weights([2 * colors.T[np.newaxis, np.newaxis], -(colors**2).sum(axis=1)])
    return model


@pytest.fixture(scope="module")
def retinanet():
    return detecting()


@pytest.fixture
def scenes(tmp_path):
    return painted.write(tmp_path / "scenes", 4)


def by_color(preprocessing: Letterbox, score: float = 0.9) -> Detector:
    """A detector that finds each rectangle by its color."""

    def detections(images):
        shapes = {"boxes": (len(images), 7, 4), "scores": (len(images), 7), "classes": (len(images), 7)}
        found = {name: np.zeros(shape) for name, shape in shapes.items()}
        for number, image in enumerate(images):
            distance = np.abs(image[:, :, np.newaxis] - painted.COLORS).max(axis=-1)
            boxes = painted.boxes(np.where(distance.min(axis=-1) < 100, distance.argmin(axis=-1), 0))
            there = np.isfinite(boxes[:, 0])
            found["boxes"][number, :5] = np.nan_to_num(boxes)
            found["scores"][number, :5] = there * score
            found["classes"][number, :5] = np.where(there, range(5), -1)
            # In the gray below or right of the image, and one that is not sure.
            found["boxes"][number, 5:] = [[110, 110, 119, 119], [0, 0, 9, 9]]
            found["scores"][number, 5:], found["classes"][number, 5:] = [0.8, 0.3], 2
        return found

    return Detector(detections, preprocessing, len(painted.NAMES), painted.NAMES)


# Opening


def test_a_network_is_opened_as_what_it_is(retinanet, tmp_path):
    retinanet.save(tmp_path / "raw.keras")
    detection.detector(retinanet, score_threshold=0.0).save(tmp_path / "boxes.keras")
    expected = detection.detector(retinanet, score_threshold=0.0).predict(NOISE[:3], verbose=0)
    for name in ("raw", "boxes"):
        opened = export.open_network(tmp_path / f"{name}.keras")
        assert (opened.class_names, opened.classes, opened.preprocessing) == (painted.NAMES, 5, Letterbox(64, 64))
        for output, values in opened.detections(NOISE[:3]).items():
            np.testing.assert_allclose(values, expected[output], atol=1e-4)
    segmenting().save(tmp_path / "pixels.keras")
    assert opening.task_for(export.open_network(tmp_path / "pixels.keras")) == "segment"
    with pytest.raises(ValueError, match="raw.keras is a detector, and this takes an image classifier"):
        export.open_classifier(tmp_path / "raw.keras")
    with pytest.raises(ValueError, match="pixels.keras is a segmenter, and this takes a detector"):
        export.open_detector(tmp_path / "pixels.keras")
    with pytest.raises(ValueError, match="raw.keras is a detector, and this takes a segmenter"):
        export.open_segmenter(tmp_path / "raw.keras")
    with pytest.raises(ValueError, match="has anchors for images of 64 x 64 pixels, and takes no others"):
        export.open_network(tmp_path / "raw.keras", image_size=96)


def test_a_network_for_images_of_any_size_is_opened_for_one(tmp_path):
    segmenting(None).save(tmp_path / "any.keras")
    with pytest.raises(ValueError, match="takes images of any size: say which by `image_size`"):
        export.open_network(tmp_path / "any.keras")
    opened = export.open_network(tmp_path / "any.keras", image_size=48)
    values = np.stack([painted.mask(number, 48, 48) for number in range(3)])
    np.testing.assert_array_equal(opened.masks(painted.COLORS[values].astype("float32")), values)
    tiny_network.of_four_stages(weights=None).save(tmp_path / "maps.keras")
    with pytest.raises(ValueError, match="maps.keras is an image classifier, and this takes a segmenter"):
        export.open_network(tmp_path / "maps.keras", image_size=64)


@pytest.mark.exhaustive
def test_a_detector_of_two_stages_is_opened_and_exported_in_floats(tmp_path):
    model = detecting("faster_rcnn")
    model.save(tmp_path / "raw.keras")
    expected = export.open_detector(tmp_path / "raw.keras").detections(NOISE[:3])
    export.tflite(model, tmp_path / "a.tflite")
    found = export.open_detector(tmp_path / "a.tflite").detections(NOISE[:3])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)
    with pytest.raises(ValueError, match="of two stages.* export it as one of float32, float16, dynamic"):
        export.tflite(model, tmp_path / "b.tflite", quantize="int8", calibration=NOISE)


# Export


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_and_mediapipe_find_in_each_kind_of_numbers_what_keras_finds(kind, retinanet, tmp_path):
    path = tmp_path / "a.tflite"
    calibration = {"calibration": NOISE} if export.QUANTIZATIONS[kind].calibrated else {}
    proof = export.tflite(retinanet, path, quantize=kind, images=NOISE[:8], limits=ANY, **calibration)
    network = detection.detector(retinanet, score_threshold=0.0)
    expected = network.predict(NOISE[:8], verbose=0)
    assert np.sum(expected["scores"] > 0.5) > 20
    opened = export.open_network(path)
    assert (opened.class_names, opened.classes, opened.preprocessing) == (painted.NAMES, 5, Letterbox(64, 64))
    found = opened.detections(NOISE[:8])
    largest = np.abs(found["scores"] - expected["scores"]).max()
    assert proof.largest == pytest.approx(largest, abs=1e-6)
    assert largest < (1e-4 if kind == "float32" else 0.25)
    assert proof.agreement > (0.999 if kind == "float32" else 0.8)
    options = vision.ObjectDetectorOptions(BaseOptions(model_asset_path=str(path)), score_threshold=0.5)
    with vision.ObjectDetector.create_from_options(options) as detector:
        for number, image in enumerate(NOISE[:2].round()):
            image = np.ascontiguousarray(image.astype("uint8"))
            theirs = detector.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, image)).detections
            ours = export.open_network(path).detections(image[np.newaxis].astype("float32"))
            mine = list(zip(*(ours[name][0] for name in ("boxes", "scores", "classes")), strict=True))
            assert len(theirs) > 1, number
            # Of integers MediaPipe makes boxes itself, and leaves out those of another class at the same place, too.
            assert kind not in ("float32", "float16", "dynamic") or len(theirs) == np.sum(ours["scores"][0] > 0.5)
            for one in theirs:
                at, (category,) = one.bounding_box, one.categories
                place = [at.origin_x, at.origin_y, at.origin_x + at.width, at.origin_y + at.height]
                place = np.clip(place, 0, 64)  # ours end with the image
                assert any(
                    category.category_name == painted.NAMES[int(label)]
                    and abs(category.score - score) < 0.02
                    and np.abs(place - box).max() < 2
                    for box, score, label in mine
                ), (place, category)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_segmenter_and_mediapipe_see_in_each_kind_of_numbers_what_keras_sees(kind, scenes, tmp_path):
    path, values = tmp_path / "a.tflite", np.stack([painted.mask(number, 120, 120) for number in range(33)])
    images = painted.COLORS[values].astype("float32")
    calibration = {"calibration": images} if export.QUANTIZATIONS[kind].calibrated else {}
    labelled = data.load(str(scenes), "all", task="segment")
    # The gray beside an image is as near to one color as to another.
    limits = dataclasses.replace(export.QUANTIZATIONS[kind].limits_for("segment"), agreement=0.6)
    proof = export.tflite(segmenting(), path, images=labelled, quantize=kind, limits=limits, **calibration)
    assert (proof.images, proof.accuracy, proof.model_accuracy) == pytest.approx((4, 1.0, 1.0))
    opened = export.open_network(path)
    assert opened.class_names == ["ground", *painted.NAMES]
    np.testing.assert_array_equal(opened.masks(images[:3]), values[:3])
    options = vision.ImageSegmenterOptions(
        BaseOptions(model_asset_path=str(path)), output_category_mask=True, output_confidence_masks=True
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        assert segmenter.labels == ["ground", *painted.NAMES]
        seen = segmenter.segment(mediapipe.Image(mediapipe.ImageFormat.SRGB, images[0].astype("uint8")))
        np.testing.assert_array_equal(seen.category_mask.numpy_view().squeeze(), values[0])
        confidences = np.stack([mask.numpy_view().squeeze() for mask in seen.confidence_masks], axis=-1)
        np.testing.assert_allclose(confidences.sum(axis=-1), 1, atol=1e-3)


def test_a_detectors_own_settings_are_exported(retinanet, tmp_path):
    network = detection.detector(retinanet, score_threshold=0.4, max_detections=5)
    for kind in ("float32", "int8"):
        path = tmp_path / f"{kind}.tflite"
        export.tflite(network, path, quantize=kind, calibration=NOISE if kind == "int8" else None, limits=ANY, images=NOISE[:2])
        found = export.open_detector(path).detections(NOISE[:4])
        assert found["boxes"].shape == (4, 5, 4)
        assert np.all((found["scores"] > 0.4) | (found["scores"] == 0))
        assert np.all((found["scores"] > 0) == (found["classes"] >= 0))


def test_what_other_formats_cannot_take_is_refused(retinanet, tmp_path):
    for write, name in ((export.onnx, "a.onnx"), (export.openvino, "a.xml"), (export.saved_model, "a")):
        for model, kind in ((retinanet, "a detector"), (segmenting(), "a segmenter")):
            with pytest.raises(ValueError, match=f"is {kind}.* `.tflite` file"):
                write(model, tmp_path / name)
    with pytest.raises(ValueError, match="`gates` is for image classifiers"):
        export.tflite(retinanet, tmp_path / "a.tflite", gates="se")
    labelled = data.load(str(painted.write(tmp_path / "scenes", 2)), "all", task="detect")
    with pytest.raises(ValueError, match="Labelled images are squares, and .* takes images of 64 x 96 pixels"):
        export.tflite(detectors.retinanet(), tmp_path / "a.tflite", images=labelled)


def test_the_proof_of_detections_is_counted_by_hand():
    boxes = np.array([[[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]], "float32")
    before = {"boxes": boxes, "scores": np.array([[0.9, 0.8, 0.2]]), "classes": np.array([[0.0, 1, 2]])}
    moved = boxes + np.array([[[1, 0, 1, 0], [4, 0, 4, 0], [0, 0, 0, 0]]])  # overlaps of 9/11 and 6/14
    after = {"boxes": moved, "scores": np.array([[0.9, 0.7, 0.3]]), "classes": np.array([[0.0, 1, 2]])}
    truth = {"boxes": boxes, "labels": np.array([[0, 1, -1]]), "crowd": np.zeros((1, 3), bool)}
    proof = compare_detections(lambda pixels: before, lambda pixels: after, [(NOISE[:1], truth)])
    assert (proof.images, proof.agreement) == (1, 0.5)  # of two that are sure
    assert (proof.largest, proof.model_accuracy) == pytest.approx((0.1, 1.0))
    assert proof.accuracy == pytest.approx((0.7 + 0) / 2)
    assert str(proof).endswith("average precision is 35.00% and was 100.00%")
    assert "50.00% of the objects are found again, and 90.00% must" in proof.misses(dataclasses.replace(ANY, agreement=0.9))
    assert "average precision falls from 100.00% to 35.00%, and 1.00% may be lost" in proof.misses(export.Limits(1, 1, 0, 0.01))


def test_the_proof_of_masks_is_counted_by_hand():
    before = 10 * np.eye(3)[np.array([[[0, 1], [2, 0]]])]
    after = before.copy()
    after[0, 0, 0] = [0, 8, 0]
    truth = np.array([[[0, 1], [2, 255]]])
    proof = compare_masks(lambda pixels: before, lambda pixels: after, [(NOISE[:1], truth)], classes=3)
    assert (proof.largest, proof.agreement, proof.model_accuracy) == pytest.approx((1.0, 0.75, 1.0))  # logits differ by 10 of 10
    assert proof.accuracy == pytest.approx((0 + 0.5 + 1) / 3)
    assert "75.00% of the pixels keep their class, and 90.00% must" in proof.misses(dataclasses.replace(ANY, agreement=0.9))


# Reading


@pytest.mark.parametrize("size", [(120, 80), (30, 70), (500, 333), (1, 90), (2000, 1500)])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_an_image_is_read_as_in_evaluation_and_its_shape_is_that_of_pillow(size, kind, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", exif=exif)
    encoded = (tmp_path / f"a.{kind}").read_bytes()
    assert data.read_shape(tmp_path / f"a.{kind}") == size  # as it stands, upright
    place = letterbox(tf.constant(size), 96)
    expected = placed_image(tf.constant(encoded), place, 96)
    np.testing.assert_array_equal(data.read_image(tmp_path / f"a.{kind}", Letterbox(96, 96)), expected)
    assert Letterbox(96, 96).content(*size) == tuple(place.extent.numpy())


def test_a_letterbox_need_not_be_a_square():
    box = Letterbox(64, 96)
    assert box.content(64, 64) == (64, 64)
    assert box.content(100, 300) == (32, 96)
    moved = box.in_image(np.array([[0, 0, 96, 32], [48, 16, 96, 60]]), 100, 300)
    np.testing.assert_allclose(moved, [[0, 0, 300, 100], [150, 50, 300, 100]])
    flat = box.in_image(np.array([[0, 0, 48, 1]]), 3, 1000)  # a row of 96 pixels shows 3 rows of 1000
    np.testing.assert_allclose(flat, [[0, 0, 500, 3]])
    np.testing.assert_array_equal(box.shows(np.array([[0, 0, 96, 32], [0, 30, 9, 60]]), 100, 300), [True, False])


# The command


def opened_as(network, monkeypatch):
    monkeypatch.setattr(export, "open_network", lambda path, image_size=None: network)


@pytest.mark.parametrize("size", [(120, 80), (90, 300), (480, 360)])
def test_boxes_are_in_pixels_of_the_photograph_as_it_is_seen(size, run, tmp_path, monkeypatch):
    opened_as(by_color(Letterbox(120, 120)), monkeypatch)
    width, height = size
    values = painted.mask(3, width, height)
    folder = tmp_path / "photographs"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(painted.COLORS[values]).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "turned.jpg", exif=exif, quality=100, subsampling=0)
    Image.fromarray(painted.COLORS[values]).save(folder / "upright.png")
    (folder / "cut.png").write_bytes((folder / "upright.png").read_bytes()[:60])
    files = {"--csv": tmp_path / "all.csv", "--picture": tmp_path / "all.png"}
    status, output, errors = run("predict", "network", folder, "--json", *(word for pair in files.items() for word in pair))
    assert status == 1
    assert "1 of 3 images could not be read" in errors
    items = {item["image"].rpartition("/")[2]: item for item in json.loads(output)}
    assert "damaged" in items["cut.png"]["error"]
    scale = max(1, max(size) / 120)
    for name in ("turned.jpg", "upright.png"):
        item = items[name]
        assert (item["width"], item["height"]) == size
        assert [found["label"] for found in item["objects"]] == painted.NAMES  # not what is in the gray or unsure
        np.testing.assert_allclose([found["box"] for found in item["objects"]], painted.boxes(values), atol=1.6 * scale)
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert [row["label"] for row in rows if "upright" in row["image"]] == painted.NAMES
    assert [float(rows[-1][side]) for side in ("left", "top", "right", "bottom")] == items["upright.png"]["objects"][-1]["box"]
    assert [(row["label"], row["score"]) for row in rows if row["error"]] == [("", "")]
    with Image.open(tmp_path / "all.png") as picture:
        shown = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for color in painted.COLORS[1:]:
        assert (np.abs(shown.astype(int) - color).max(axis=1) < 60).sum() > 100


def test_the_table_counts_the_objects_that_reach_the_threshold(run, fails, tmp_path, monkeypatch):
    opened_as(by_color(Letterbox(120, 120), score=0.625), monkeypatch)
    Image.fromarray(painted.COLORS[painted.mask(0)]).save(tmp_path / "a.png")
    header, row = run("predict", "network", tmp_path / "a.png")[1].splitlines()
    assert header.split() == ["image", "objects"]
    assert row.endswith("a.png  1 x red 62.5%, 1 x green 62.5%, 1 x blue 62.5%, 1 x yellow 62.5%, 1 x pink 62.5%")
    assert "2 x blue 62.5%" in run("predict", "network", tmp_path / "a.png", "--threshold", 0.2)[1]
    assert run("predict", "network", tmp_path / "a.png", "--threshold", 0.7)[1].rstrip().endswith("no object")
    assert "--top: only for networks that classify whole images" in fails("predict", "network", tmp_path / "a.png", "--top", 2)
    assert "--crop-ratio: detectors and segmenters look at" in fails("predict", "network", tmp_path / "a.png", "--crop-ratio", 1)
    assert "--threshold has 2" in fails("predict", "network", tmp_path / "a.png", "--threshold", 2)
    assert "network is a detector, and this takes an image classifier" in fails("explain", "network", tmp_path / "a.png")


def test_masks_are_shares_of_the_photograph_without_the_gray(run, fails, tmp_path):
    segmenting().save(tmp_path / "network.keras")
    values = painted.mask(1)
    Image.fromarray(painted.COLORS[values]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    shares = np.bincount(values.ravel(), minlength=6) / values.size
    command = ("predict", tmp_path / "network.keras", tmp_path, "--csv", tmp_path / "all.csv", "--picture", tmp_path / "c.gif")
    status, output, _ = run(*command, "--json")
    assert status == 1
    item, failed = json.loads(output)
    assert "error" in failed
    named = dict(zip(["ground", *painted.NAMES], shares, strict=True))
    assert {one["class"]: one["share"] for one in item["classes"]} == pytest.approx(named)
    assert [one["share"] for one in item["classes"]] == sorted(shares, reverse=True)
    row, _ = csv.DictReader((tmp_path / "all.csv").read_text().splitlines())
    assert [float(row[f"share of {name}"]) for name in named] == pytest.approx(list(shares), abs=1e-5)
    line = run("predict", tmp_path / "network.keras", tmp_path / "a.png")[1].splitlines()[1]
    assert f"ground {shares[0]:.1%}" in line
    assert "each pixel has the class" in fails("predict", tmp_path / "network.keras", tmp_path / "a.png", "--threshold", 0.5)


def test_evaluation_measures_boxes_and_masks(run, fails, scenes, tmp_path, monkeypatch):
    segmenting().save(tmp_path / "network.keras")
    where = ("--dataset", scenes, "--split", "all")
    measured = json.loads(run("evaluate", tmp_path / "network.keras", *where, "--json")[1])
    assert (measured["images"], measured["mean_iou"], measured["accuracy"]) == (4, 1, 1)
    assert measured["per_class"] == dict.fromkeys(["ground", *painted.NAMES], 1)
    assert "--views: only for image classifiers" in fails("evaluate", tmp_path / "network.keras", *where, "--views", 2)
    detector = by_color(Letterbox(120, 120))
    images = data.load(str(scenes), "all", task="detect")
    found = training.evaluate(detector, images)
    assert (found.images, found.ap50) == (4, pytest.approx(1))
    assert list(found.per_class) == painted.NAMES
    opened_as(detector, monkeypatch)
    table = run("evaluate", "network", *where)[1]
    assert "average precision  at an overlap of 0.5" in table
    with pytest.raises(ValueError, match="is a detector, and the images were loaded for the task 'segment', not 'detect'"):
        training.evaluate(detector, data.load(str(scenes), "all", task="segment"))
    with pytest.raises(ValueError, match="`views` and `labels` are for image classifiers"):
        training.evaluate(detector, images, views=2)
    with pytest.raises(ValueError, match="takes images of 64 x 96 pixels"):
        training.evaluate(by_color(Letterbox(64, 96)), images)


@pytest.mark.slow
def test_the_command_exports_detectors_and_segmenters_and_compares_what_they_measure(retinanet, run, scenes, tmp_path):
    segmenting().save(tmp_path / "network.keras")
    done = run("export", tmp_path / "network.keras", tmp_path / "out.tflite", "--dataset", scenes, "--limit", "agreement=0")
    assert done[0] == 0, done[2]
    assert "mean intersection over union is 100.00% and was 100.00%" in done[1]
    (tmp_path / "other").mkdir()
    retinanet.save(tmp_path / "other" / "detector.keras")
    output = tmp_path / "other" / "out.tflite"
    half = ("--quantize", "float16", "--limit", "accuracy=1")
    done = run("export", tmp_path / "other" / "detector.keras", output, "--dataset", scenes, *half)
    assert done[0] == 0, done[2]
    assert "average precision is" in done[1]
    assert json.loads(run("info", output, "--json")[1])["labels"] == painted.NAMES
