"""Evaluation against numbers that were counted by hand, and against labels, sizes and classes that do not fit."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from ai_edge_litert import interpreter
from common import DEMO
from PIL import Image
from tensorflow_datasets.datasets.imagenet_v2 import imagenet_v2_dataset_builder

import keras_senet
from keras_senet import Preprocessing, data, export, training
from keras_senet.plots.confusion import draw_confusion


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def small(size, pool=keras.layers.GlobalAveragePooling2D):
    """A network for two classes, built in no time."""
    images = keras.Input((size, size, 3))
    return keras.Model(images, keras.layers.Dense(2, "softmax")(pool()(images)))


@pytest.fixture
def guesser():
    """Function from a number of classes to a classifier of 8 x 8 pixels that is often wrong, now sure and now not."""

    def build(classes: int, crop_ratio: float = 1.0) -> export.Classifier:
        weights = np.random.default_rng(0).normal(0, 0.002, (8 * 8 * 3, classes)).astype("float32")
        names = [f"class {index}" for index in range(classes)]
        return export.Classifier(
            lambda pixels: softmax(pixels.reshape(len(pixels), -1) @ weights), Preprocessing(8, crop_ratio), classes, names
        )

    return build


@pytest.fixture
def photographs(image_folder):
    """The images, where names tell them apart and sort them otherwise than their folders: light0.jpg, dark0.jpg and so on."""
    for file in image_folder.glob("*/*.jpg"):
        file.rename(file.with_name(file.parent.name.replace("bright", "light") + file.name))
    return data.load(str(image_folder), "all")


@pytest.fixture
def by_brightness():
    """A classifier that tells bright images, its class 0, from dark ones."""

    def probabilities(pixels):
        bright = pixels.mean(axis=(1, 2, 3)) > 128
        return np.stack([0.2 + 0.6 * bright, 0.8 - 0.6 * bright], axis=1).astype("float32")

    return export.Classifier(probabilities, Preprocessing(8), 2, ["class 0", "class 1"])


def test_the_metrics_are_those_of_numpy(digits):
    images = digits("test[:60]")
    images = dataclasses.replace(images, class_names=[f"digit {name}" for name in images.class_names])
    truth = np.array([label for *_, label in images.examples(None).as_numpy_iterator()])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), 60).astype("float32")
    for row, own in zip(probabilities, truth, strict=True):
        if row.max() < 0.35:  # sure where it is wrong, and not where it is right
            best = row.argmax()
            row[[best, own]] = row[[own, best]]
    rows = iter(probabilities)
    classifier = export.Classifier(lambda pixels: np.stack([next(rows) for _ in pixels]), Preprocessing(8), 10, ["?"] * 10)
    ranks = (-probabilities).argsort(axis=1)
    right, confidence = ranks[:, 0] == truth, probabilities.max(axis=1)
    measured = training.evaluate(classifier, images, batch_size=16)
    assert measured.images == 60
    assert measured.top1 == pytest.approx(right.mean())
    assert measured.top5 == pytest.approx((ranks[:, :5] == truth[:, None]).any(axis=1).mean())
    assert measured.loss == pytest.approx(-np.log(probabilities[np.arange(60), truth]).mean(), rel=1e-4)

    bins = [(confidence > (m - 1) / 15) & (confidence <= m / 15) for m in range(1, 16)]
    gaps = [part.sum() / 60 * abs(right[part].mean() - confidence[part].mean()) for part in bins if part.any()]
    assert measured.calibration_error == pytest.approx(sum(gaps))

    counts = [[((truth == row) & (ranks[:, 0] == column)).sum() for column in range(10)] for row in range(10)]
    np.testing.assert_array_equal(measured.confusion, counts)
    assert measured.per_class == {f"digit {digit}": pytest.approx(right[truth == digit].mean()) for digit in range(10)}
    assert measured.summary().keys() == {"images", "top1", "top5", "loss", "calibration_error"}


def test_a_class_without_images_has_no_accuracy(by_brightness, photographs):
    only_dark = dataclasses.replace(
        photographs, examples=lambda *order: photographs.examples(*order).filter(lambda *one: one[2] == 1)
    )
    measured = training.evaluate(by_brightness, only_dark)
    assert measured.per_class == {"dark": 1.0}
    assert measured.top5 is None
    assert measured.calibration_error == pytest.approx(0.2)


def test_ten_views_are_the_corners_the_center_and_their_mirror_images():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)
    crops = data.evaluation_views(tf.io.encode_png(pixels), Preprocessing(16, 0.5), 10).numpy()
    for index, (top, left) in enumerate(((0, 0), (0, 41), (20, 0), (20, 41), (10, 20))):
        square = tf.image.resize(pixels[top : top + 20, left : left + 20], (16, 16), antialias=True).numpy()
        np.testing.assert_allclose(crops[index], square, atol=1e-3)
        np.testing.assert_allclose(crops[5 + index], square[:, ::-1], atol=1e-3)
    np.testing.assert_array_equal(crops[4], data.evaluation_image(tf.io.encode_png(pixels), Preprocessing(16, 0.5)))


def test_ten_views_are_those_of_the_whole_image_resized():
    """As published: resized, then cut; we cut and then resize, which differs where squares end."""
    rows, columns = np.mgrid[:320, :480] / 30
    waves = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=-1)
    pixels = (127.5 + 127 * waves).astype(np.uint8)
    crops = data.evaluation_views(tf.io.encode_png(pixels), Preprocessing(224, 0.875), 10).numpy()
    whole = np.asarray(Image.fromarray(pixels).resize((384, 256), Image.Resampling.BILINEAR), np.float32)
    for index, (top, left) in enumerate(((0, 0), (0, 160), (32, 0), (32, 160), (16, 80))):
        difference = np.abs(crops[index] - whole[top : top + 224, left : left + 224])
        assert difference.max() < 2  # one pixel aside it would be 5


def test_views_of_which_one_is_damaged_are_left_out_together(guesser, photographs):
    classifier = guesser(2, crop_ratio=0.5)
    photographs = dataclasses.replace(photographs, size=100)  # of which one may be damaged
    (damaged,) = (name for name, *_ in photographs.examples(None).as_numpy_iterator() if b"dark3" in name)
    tf.io.write_file(damaged, "no image")
    with pytest.warns(UserWarning, match="dark3.jpg"):
        measured = training.evaluate(classifier, photographs, batch_size=30, views=10)
    losses = []
    for name, _, label in photographs.examples(None).as_numpy_iterator():
        if name != damaged:
            views = data.evaluation_views(tf.io.read_file(name), classifier.preprocessing, 10).numpy()
            losses.append(-np.log(classifier.probabilities(views).mean(axis=0)[label]))
    assert measured.images == len(losses) == 19
    assert measured.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert photographs.damaged == {damaged.decode()}
    assert measured.loss != training.evaluate(classifier, photographs).loss


@pytest.fixture(scope="session")
def large_digits(tmp_path_factory):
    """A folder of 40 x 48 pictures of the digits 3 and 7, as noise has them, and their pixels by file and digit."""
    folder, random, pictures = tmp_path_factory.mktemp("large") / "digits", np.random.default_rng(0), []
    for digit in (3, 7):
        (folder / str(digit)).mkdir(parents=True)
        for index in range(3):
            pixels = random.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(folder / str(digit) / f"{index}.png")
            pictures.append((pixels, digit))
    return folder, pictures


def run_by_its_own_library(path):
    """What runs the network at `path`, without any of this package's code but its layers."""
    if path.suffix == ".keras":
        model = keras.saving.load_model(path)
        return lambda pixels: model(pixels, training=False).numpy()
    if path.suffix == ".tflite":
        runner = interpreter.Interpreter(str(path)).get_signature_runner()
        (name,) = runner.get_input_details()
        return lambda pixels: np.concatenate([next(iter(runner(**{name: one[None]}).values())) for one in pixels])
    forward = tf.saved_model.load(str(path)).signatures["serving_default"]
    (name,) = forward.structured_input_signature[1]
    return lambda pixels: next(iter(forward(**{name: tf.constant(pixels)}).values())).numpy()


@pytest.mark.parametrize("form", [".keras", ".tflite", pytest.param("SavedModel", marks=pytest.mark.exhaustive)])
def test_the_probabilities_of_the_views_are_averaged(form, large_digits, tmp_path, run):
    """In all forms of a network. The squares are 32 of 40 pixels, so they are the network's input, pixel by pixel."""
    network = DEMO / f"model{form}"
    if form == "SavedModel":
        network = tmp_path / "saved_model"
        export.saved_model(keras.saving.load_model(DEMO / "model.keras"), network, [str(digit) for digit in range(10)])
    probabilities = run_by_its_own_library(network)
    folder, pictures = large_digits
    losses = {}
    for views in (1, 2, 10):
        command = ("evaluate", network, "--dataset", folder, "--split", "all", "--crop-ratio", 0.8, "--batch-size", 20)
        status, output, _ = run(*command, "--views", views, "--json")
        assert status == 0
        own = []
        for pixels, digit in pictures:
            image = Image.fromarray(pixels)
            places = [(0, 0), (16, 0), (0, 8), (16, 8), (8, 4)] if views == 10 else [(8, 4)]
            squares = [image.crop((left, top, left + 32, top + 32)) for left, top in places]
            if views > 1:
                squares += [square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for square in squares]
            assert len(squares) == views
            own.append(-np.log(probabilities(np.stack(squares).astype("float32")).mean(axis=0)[digit]))
        losses[views] = json.loads(output)["loss"]
        assert losses[views] == pytest.approx(np.mean(own), rel=1e-4)
    assert len({round(loss, 3) for loss in losses.values()}) == 3


def test_other_numbers_of_views_are_refused(by_brightness, photographs, fails):
    for views in (0, 3, -1):
        with pytest.raises(ValueError, match=rf"`views` must be one of \(1, 2, 10\). Received: views={views}"):
            training.evaluate(by_brightness, photographs, views=views)
    assert "--views: invalid choice: 5" in fails("evaluate", DEMO / "model.keras", "--dataset", "digits", "--views", 5)


def test_labels_from_a_file_take_the_place_of_the_datasets(by_brightness, photographs, tmp_path):
    """Bright images are class 0, and are classified so."""
    labels = {f"{kind}{index}.jpg": [label] for label, kind in enumerate(("light", "dark")) for index in range(10)}
    labels |= {"light1.jpg": [1, 0], "dark1.jpg": [0, 1]}  # right either way
    labels |= {"light2.jpg": [], "light3.jpg": [], "dark2.jpg": []}  # left out
    labels |= {"dark4.jpg": [0], "light4.jpg": [1], "light5.jpg": [1]}  # wrong
    for kind, content in (("object", labels), ("list", [labels[name] for name in sorted(labels)])):
        file = tmp_path / f"{kind}.json"
        file.write_text(json.dumps(content))
        measured = training.evaluate(by_brightness, photographs, batch_size=3, labels=file)
        assert measured.summary() == {"images": 17, "top1": pytest.approx(14 / 17)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda labels: "no JSON", "is not a JSON file"),
        (lambda labels: "3", "a list of labels, or an object"),
        (lambda labels: json.dumps([[0]] * 19), "labels for 19 images, but the data has 20"),
        (lambda labels: json.dumps(labels | {"grey.jpg": [0]}), "differ in 1 images, such as grey.jpg"),
        (lambda labels: json.dumps({name: labels[name] for name in labels if name != "dark1.jpg"}), "such as dark1.jpg"),
        (lambda labels: json.dumps(labels | {"dark1.jpg": [2]}), r"0 to 1 for dark1.jpg. It has \[2\]"),
        (lambda labels: json.dumps(labels | {"dark1.jpg": [-1]}), r"0 to 1 for dark1.jpg. It has \[-1\]"),
        (lambda labels: json.dumps(labels | {"dark1.jpg": 0}), "a list of class indices"),
        (lambda labels: json.dumps({name: [] for name in labels}), "no label for any image"),
    ],
)
def test_a_file_of_labels_that_does_not_fit_is_refused(change, said, by_brightness, photographs, tmp_path):
    labels = {f"{kind}{index}.jpg": [0] for kind in ("light", "dark") for index in range(10)}
    (tmp_path / "labels.json").write_text(change(labels))
    with pytest.raises(ValueError, match=said):
        training.evaluate(by_brightness, photographs, labels=tmp_path / "labels.json")


def test_labels_from_a_file_need_names_that_tell_images_apart(by_brightness, image_folder, tmp_path):
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(ValueError, match="2 images are called 0.jpg"):
        training.evaluate(by_brightness, data.load(str(image_folder), "all"), labels=tmp_path / "labels.json")


def test_imagenet_v2_is_evaluated_as_tensorflow_datasets_defines_it(image_folder, tmp_path, monkeypatch):
    """From its own definition, here with one image for each of two classes, and with labels by its file names."""
    root = tmp_path / "v2"
    for label, kind in ((7, "bright"), (11, "dark")):
        (root / str(label)).mkdir(parents=True)
        (image_folder / kind / "0.jpg").rename(root / str(label) / f"{kind}.jpeg")
    generators = [tfds.core.SplitGenerator(name="test", gen_kwargs={"imagenet_v2_root": str(root)})]
    monkeypatch.setattr(imagenet_v2_dataset_builder.Builder, "_split_generators", lambda self, manager: generators)
    images = data.load("imagenet_v2", "validation", str(tmp_path / "prepared"))
    names = {name.decode() for name, *_ in images.examples(None).as_numpy_iterator()}
    assert names == {"7/bright.jpeg", "11/dark.jpeg"}

    def always_7(pixels):
        return np.eye(1000, dtype="float32")[[7] * len(pixels)]

    published = export.Classifier(always_7, Preprocessing(16), 1000, ["tench"] * 1000)
    measured = training.evaluate(published, images)
    assert (measured.images, measured.top1) == (2, 0.5)
    assert measured.per_class == {images.class_names[7]: 1.0, images.class_names[11]: 0.0}
    (tmp_path / "real.json").write_text(json.dumps({"bright.jpeg": [3], "dark.jpeg": [11, 7]}))
    assert training.evaluate(published, images, labels=tmp_path / "real.json").top1 == 0.5


def test_images_without_labels_are_refused(by_brightness, photographs):
    hidden = dataclasses.replace(
        photographs,
        examples=lambda *order: photographs.examples(*order).map(lambda name, source, _: (name, source, np.int64(-1))),
    )
    with pytest.raises(ValueError, match="have no label"):
        training.evaluate(by_brightness, hidden)


def test_a_network_for_other_classes_is_refused(guesser, photographs):
    with pytest.raises(ValueError, match="10 classes, but the data has 2"):
        training.evaluate(guesser(10), photographs)


@pytest.mark.parametrize("name", ["SEResNet20", pytest.param("SEShuffleNet", marks=pytest.mark.slow)])
def test_a_network_opened_at_another_size_is_that_built_at_this_size(name, tmp_path):
    network = getattr(keras_senet, name)(classes=10)
    for weight in network.weights:  # batch normalization too
        weight.assign(weight + 0.1 * np.random.default_rng(0).random(weight.shape, "float32"))
    network.save(tmp_path / "network.keras")
    classifier = export.open_classifier(tmp_path / "network.keras", image_size=72)
    assert classifier.preprocessing.image_size == 72
    built = getattr(keras_senet, name)(classes=10, input_shape=(72, 72, 3))
    built.set_weights(network.get_weights())
    pixels = 255 * np.random.default_rng(1).random((2, 72, 72, 3), "float32")
    np.testing.assert_allclose(classifier.probabilities(pixels), built(pixels), rtol=1e-4, atol=1e-6)


def test_a_network_of_no_fixed_size_is_opened_at_one(tmp_path):
    small(None).save(tmp_path / "any.keras")
    with pytest.raises(ValueError, match="one fixed square size"):
        export.open_classifier(tmp_path / "any.keras")
    assert export.open_classifier(tmp_path / "any.keras", 24).probabilities(np.zeros((1, 24, 24, 3))).shape == (1, 2)


def test_a_network_that_takes_one_size_only_says_so(tmp_path):
    small(8, keras.layers.Flatten).save(tmp_path / "flat.keras")
    with pytest.raises(ValueError, match="flat.keras cannot take images of 16 x 16 pixels"):
        export.open_classifier(tmp_path / "flat.keras", 16)
    with pytest.raises(ValueError, match="cannot take images of 0 x 0"):
        export.open_classifier(DEMO / "model.keras", 0)
    with pytest.raises(ValueError, match="takes images of 32 x 32 pixels and no others"):
        export.open_classifier(DEMO / "model.tflite", 48)
    assert export.open_classifier(DEMO / "model.tflite", 32).preprocessing.image_size == 32


@pytest.mark.parametrize(("classes", "root"), [(10, 1 / 2), (1000, 1 / 3)])
def test_a_confusion_picture_shows_each_mistake(classes, root, tmp_path, figures):
    confusion = 50 * np.eye(classes, dtype=int)
    confusion[1] = 0  # no image of this class
    confusion[2, classes // 2] = confusion[classes - 2, 2] = 1
    draw_confusion(confusion, [f"kind {index}" for index in range(classes)], tmp_path / "confusion.png")
    (axes,) = figures[-1].axes
    (squares,) = axes.images
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(squares.get_array(), shares**root)
    assert squares.get_clim() == (0, 1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    # Each square has a pixel of its own at least, and where there is place for them the classes have names and numbers.
    saved_larger = keras.utils.load_img(tmp_path / "confusion.png").width / figures[-1].bbox.width
    assert saved_larger * min(squares.get_window_extent().size) >= classes
    numbers = {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in axes.texts}
    assert numbers == ({} if classes > 20 else {tuple(cell): confusion[tuple(cell)] for cell in np.argwhere(confusion)})
    if classes <= 20:
        assert [label.get_text() for label in axes.get_xticklabels()] == [f"kind {index}" for index in range(classes)]


def test_of_very_many_classes_a_confusion_picture_shows_blocks(tmp_path, figures):
    """The last block may be smaller."""
    confusion = 2 * np.eye(2001, dtype=int)
    confusion[3, 2000] = 4
    draw_confusion(confusion, [""] * 2001, tmp_path / "confusion.png")
    (axes,) = figures[-1].axes
    blocks = 2 * 3 * np.eye(667)
    blocks[1, 666] = 4
    np.testing.assert_allclose(axes.images[0].get_array(), np.cbrt(blocks / blocks.sum(axis=1, keepdims=True)))
    assert axes.get_xlabel() == "predicted class, in blocks of 3 classes"


@pytest.mark.slow
def test_a_picture_that_cannot_be_drawn_costs_no_number(run_folder, tmp_path, monkeypatch):
    shutil.copytree(run_folder, tmp_path / "run")
    folder = training.RunFolder(tmp_path / "run")
    for file in (folder.metrics, folder.page, folder.confusion):
        file.unlink()
    monkeypatch.setattr("keras_senet.training.reporting.draw_confusion", lambda *_: np.empty(2**60))
    with pytest.warns(UserWarning, match="Not all pictures of .*report.md could be drawn: array is too big"):
        measured = training.report(folder)
    assert json.loads(folder.metrics.read_text()) == measured == json.loads((run_folder / "metrics.json").read_text())
    page = folder.page.read_text()
    assert "## Results on the validation images" in page
    assert "learning_curve.png" in page
    assert "confusion.png" not in page
