"""Claims about images with several labels, checked on scenes of one to three digits against scikit-learn, Keras and MediaPipe."""

import csv
import json

import keras
import mediapipe
import numpy as np
import pytest
import tensorflow_datasets as tfds
import tiny_network
from mediapipe.tasks.python import BaseOptions, vision
from scenes import scenes, with_columns, with_csv, with_json
from sklearn import metrics

from keras_senet import cli, data, export, training
from keras_senet.errors import InputError
from keras_senet.export.proof import compare
from keras_senet.inference.labels import keep_thresholds

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file of 320 scenes, beside them."""
    return with_csv(tmp_path_factory.mktemp("scenes") / "images", scenes(320))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """60 scenes of other handwriting, as labelled images."""
    folder = with_json(tmp_path_factory.mktemp("scenes") / "others", scenes(60, first=1000))
    return data.load(str(folder), "all")


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """The folder of a run on them, which no flag told that there are several labels an image."""
    path = tmp_path_factory.mktemp("runs") / "scenes"
    words = ["--model", "SETiny", "--labels-csv", table, "--output", path, "--epochs", 6, "--image-size", 16, "--batch-size", 32]
    with tiny_network.registered():
        assert cli.main(["train", *map(str, words), "--no-flip", "--crop", "shift"]) == 0
    return training.RunFolder(path)


@pytest.fixture(scope="module")
def classifier(folder):
    return export.open_classifier(folder.last)


@pytest.fixture(scope="module")
def tflite(folder, table, tmp_path_factory):
    """The file, and the proof that it finds the same labels."""
    path = tmp_path_factory.mktemp("exports") / "scenes.tflite"
    images = data.load(str(table.parent), "validation", labels_csv=table)
    return path, export.tflite(keras.saving.load_model(folder.last), path, images=images)


def pixels_and_labels(images, classifier):
    batches = data.evaluation_batches(images, classifier.preprocessing, 64).as_numpy_iterator()
    return map(np.concatenate, zip(*batches, strict=True))


def found(classifier, probabilities):
    return probabilities >= np.array(classifier.thresholds)


def test_all_forms_give_the_same_labels(tmp_path, classifier):
    made = scenes(12)
    expected = {f"{number:04}.png": [digit in shown for digit in range(10)] for number, (_, shown) in enumerate(made)}
    listed = with_csv(tmp_path / "lists", made, separator=";")
    columns = with_columns(tmp_path / "columns", made)
    for images in (
        data.load(str(listed.parent), "all", labels_csv=listed),
        data.load(str(columns.parent), "all", labels_csv=columns),
        data.load(str(with_json(tmp_path / "json", made)), "all"),
    ):
        assert images.multi_label
        assert images.class_names == [digit for digit in DIGITS if any(row[int(digit)] for row in expected.values())]
        shown = {
            name.decode().rpartition("/")[2]: {images.class_names[index] for index in label if index >= 0}
            for name, _, label in images.examples(None).as_numpy_iterator()
        }
        assert shown == {name: {str(digit) for digit in np.flatnonzero(row)} for name, row in expected.items()}


class ScenesOfDigits(tfds.core.GeneratorBasedBuilder):
    """Scenes with a sequence of labels each, of which one repeats."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        labels = tfds.features.Sequence(tfds.features.ClassLabel(names=DIGITS))
        features = {"image": tfds.features.Image(shape=(16, 16, 1), encoding_format="png"), "labels": labels}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, (scene, shown) in enumerate(scenes(12)):
            yield number, {"image": scene[..., np.newaxis], "labels": [*sorted(shown), min(shown)]}


def test_sequences_of_labels_in_tensorflow_datasets_are_read(tmp_path, classifier):
    images = data.load("scenes_of_digits", "train", data_dir=str(tmp_path))
    _, labels = pixels_and_labels(images, classifier)
    expected = [[digit in shown for digit in range(10)] for _, shown in scenes(12)]
    assert sorted(labels.tolist()) == sorted(np.array(expected, float).tolist())


def test_images_without_a_label_are_examples_of_no_class(tmp_path):
    table = with_columns(tmp_path, scenes(12))
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], ",".join([lines[2].partition(",")[0], *"0" * 10]), *lines[3:]]))
    images = data.load(str(tmp_path), "all", labels_csv=table)
    assert images.size == 12
    assert "1 images have no label: they are examples of no class." in images.notes
    (labels,) = (label for name, _, label in images.examples(None).as_numpy_iterator() if name.endswith(b"0001.png"))
    assert labels.max() == -1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,labels\n0000.png,cat|dog\n0000.png,cat", "calls 0000.png 'cat|dog' and 'cat': leave one line"),
        ("path,labels\n0000.png,\n0001.png,", "has no label for any image"),
        ("path,cat,dog\n0000.png,1,2", "Line 2 of .* must be a path, and 0 or 1 for each of the 2 classes"),
        ("path,cat,dog\n0000.png,1", "Line 2 of .* must be a path, and 0 or 1"),
        ("path,cat,cat\n0000.png,1,0", "has several columns 'cat'"),
        ("path,label\n0000.png,cat\n0001.png,", "Line 3 of .* must be a path and a label"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path, text, says):
    with_csv(tmp_path, scenes(2))
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        data.load(str(tmp_path), "train", labels_csv=tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not a JSON file"),
        ('{"labels": "cat"}', "must hold the labels of its image as"),
        ('{"labels": []}', "have no label for any image"),
    ],
)
def test_json_files_that_cannot_be_read_are_refused(tmp_path, text, says):
    with_json(tmp_path, scenes(1))
    (tmp_path / "0000.json").write_text(text)
    with pytest.raises(InputError, match=says):
        data.load(str(tmp_path), "train")


def test_labels_that_training_lacks_are_refused(tmp_path, folder, fails):
    with_json(tmp_path / "train", scenes(4, digits=range(3)))
    with_json(tmp_path / "validation", scenes(4, digits=range(3)))
    (tmp_path / "validation" / "0000.json").write_text('{"labels": ["cat"]}')
    with pytest.raises(InputError, match="The part validation of .* has labels that the training part lacks: 'cat'"):
        data.load(str(tmp_path), "train")
    with_csv(tmp_path, scenes(2))
    (tmp_path / "table.csv").write_text("path,labels\n0000.png,1|cat\n0001.png,2")
    message = fails("evaluate", folder.last, "--labels-csv", tmp_path / "table.csv", "--split", "all")
    assert "The data has classes that the network lacks: 'cat'" in message


@pytest.mark.parametrize("threshold", ["0", "1", "-0.5", "nan"])
def test_thresholds_out_of_range_are_refused(threshold, folder, table, classifier, fails):
    message = "The threshold of a label must be over 0 and below 1. --threshold has"
    assert message in fails("predict", folder.last, table.parent, f"--threshold={threshold}")
    assert message in fails("evaluate", folder.last, "--labels-csv", table, f"--threshold={threshold}")
    with pytest.raises(InputError, match="The threshold of a label"):
        keep_thresholds(keras.models.clone_model(classifier.model), [float(threshold)] * 10)


def test_what_is_for_one_label_is_refused(folder, table, tmp_path, fails, data_dir, digits, capsys):
    digits("train")
    capsys.readouterr()  # of the preparation
    with tiny_network.registered():
        words = ("train", "--model", "SETiny", "--labels-csv", table, "--output", tmp_path / "run", "--epochs", 1)
        message = fails(*words, "--image-size", 16, "--batch-size", 32, "--recipe", "finetune")
    assert "can have several labels, and loss='categorical' is for one" in message
    assert "--confusion" in fails("evaluate", folder.last, "--labels-csv", table, "--confusion", tmp_path / "confusion.png")
    assert "--threshold is for images that can have several labels" in fails(
        "evaluate", folder.last, "--dataset", "digits", "--data-dir", data_dir, "--threshold", "0.5"
    )
    images = data.load(str(table.parent), "train", labels_csv=table)
    with pytest.raises(InputError, match="an image of several labels is of no one class"):
        data.training_batches(images, 16, 8, data.Augmentation(), balanced=True)


def test_a_run_measures_and_shows_mean_average_precision(folder):
    assert training.read_recipe(folder.config).loss == "asymmetric"
    measured = json.loads(folder.metrics.read_text())
    assert measured["last"]["map"] > 0.3  # a fifth of the scenes shows a digit, which is what guessing reaches
    rows = folder.epochs()
    best = max(rows, key=lambda row: (float(row["val_map"]), -float(row["val_loss"])))
    assert folder.best_epoch() == 1 + int(best["epoch"])
    page = folder.page.read_text()
    assert "Mean average precision" in page
    assert all(picture in page for picture in ("learning_curve.png", "precision_recall.png"))
    assert folder.learning_curve.exists()
    assert folder.precision_recall.exists()
    # In training, probabilities count in steps; the report is exact.
    assert float(rows[-1]["val_map"]) == pytest.approx(measured["last"]["map"], abs=0.02)


def test_measures_are_those_of_scikit_learn(classifier, others):
    measured = training.evaluate(classifier, others)
    pixels, labels = pixels_and_labels(others, classifier)
    probabilities = classifier.probabilities(pixels)
    decisions = found(classifier, probabilities)
    assert measured.map == pytest.approx(metrics.average_precision_score(labels, probabilities, average="macro"))
    assert measured.macro_f1 == pytest.approx(metrics.f1_score(labels, decisions, average="macro"))
    assert measured.micro_f1 == pytest.approx(metrics.f1_score(labels, decisions, average="micro"))
    assert measured.loss == pytest.approx(metrics.log_loss(labels.ravel(), probabilities.astype(float).ravel()))
    by_class = metrics.f1_score(labels, decisions, average=None)
    assert [of["f1"] for of in measured.per_class.values()] == pytest.approx(by_class)


def test_the_metric_of_batches_is_close_to_scikit_learn_and_finds_the_best_thresholds():
    random = np.random.default_rng(0)
    labels = (random.random((300, 4)) < (0.5, 0.2, 0.05, 0)).astype("float32")
    probabilities = (1 / (1 + np.exp(2 - 2 * labels - random.normal(0, 1.5, labels.shape)))).astype("float32")
    metric = training.MeanAveragePrecision(4)
    for start in range(0, 300, 64):
        metric.update_state(labels[start : start + 64], probabilities[start : start + 64])
    expected = metrics.average_precision_score(labels[:, :3], probabilities[:, :3], average="macro")
    assert float(metric.result()) == pytest.approx(expected, abs=0.005)
    thresholds = metric.thresholds()
    assert thresholds[3] == 0.5  # no image shows the class
    for label, column, threshold in zip(labels.T[:3], probabilities.T, thresholds, strict=False):
        best = max(metrics.f1_score(label, column >= each) for each in column)
        assert metrics.f1_score(label, column >= threshold) == pytest.approx(best, abs=0.01)


def test_weights_of_images_count():
    labels, probabilities = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.9, 0.2], [0.8, 0.7], [0.3, 0.1]])
    padded, plain = training.MeanAveragePrecision(2), training.MeanAveragePrecision(2)
    padded.update_state(labels, probabilities, np.array([1, 1, 0]))
    plain.update_state(labels[:2], probabilities[:2])
    assert float(padded.result()) == float(plain.result())


def test_the_asymmetric_loss_is_that_of_its_paper():
    random = np.random.default_rng(0)
    labels, p = random.integers(0, 2, (5, 7)).astype("float32"), random.uniform(0.01, 0.99, (5, 7)).astype("float32")
    shifted = np.maximum(p - 0.1, 0)
    of_each = np.where(labels > 0, (1 - p) ** 1 * np.log(p), shifted**3 * np.log(1 - shifted))
    loss = training.AsymmetricLoss(gamma_negative=3, gamma_positive=1, margin=0.1)
    assert float(loss(labels, p)) == pytest.approx(-of_each.sum(axis=1).mean(), rel=1e-5)
    plain = training.AsymmetricLoss(gamma_negative=0, margin=0)
    assert float(plain(labels, p)) == pytest.approx(7 * float(keras.losses.BinaryCrossentropy()(labels, p)), rel=1e-5)
    assert float(type(loss).from_config(loss.get_config())(labels, p)) == float(loss(labels, p))


def test_thresholds_survive_saving_and_the_export_to_tflite(folder, tflite, classifier, others, tmp_path, run):
    assert len(set(classifier.thresholds)) > 1
    classifier.model.save(tmp_path / "again.keras")
    assert export.open_classifier(tmp_path / "again.keras").thresholds == classifier.thresholds
    path, proof = tflite
    opened = export.open_classifier(path)
    np.testing.assert_allclose(opened.thresholds, classifier.thresholds, rtol=1e-12)
    pixels, _ = pixels_and_labels(others, classifier)
    expected = found(classifier, classifier.probabilities(pixels))
    np.testing.assert_array_equal(found(opened, opened.probabilities(pixels)), expected)
    assert str(proof).startswith("on 64 images labels agree for 100.00%")
    described = json.loads(run("info", path, "--json")[1])
    assert described["thresholds"] == opened.thresholds


def test_mediapipe_finds_the_same_labels(tflite, classifier, others):
    pixels, _ = pixels_and_labels(others, classifier)
    pixels = np.round(pixels[:20]).astype("uint8")
    expected = found(classifier, classifier.probabilities(pixels.astype("float32")))
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=str(tflite[0])))
    with vision.ImageClassifier.create_from_options(options) as mediapipes:
        for image, row in zip(pixels, expected, strict=True):
            (result,) = mediapipes.classify(mediapipe.Image(mediapipe.ImageFormat.SRGB, image)).classifications
            assert {one.category_name for one in result.categories} == {DIGITS[index] for index in np.flatnonzero(row)}


def test_the_proof_compares_sets_of_labels():
    before = np.array([[0.9, 0.6], [0.9, 0.1], [0.2, 0.3], [0.4, 0.6]], "float32")
    after = np.array([[0.9, 0.4], [0.8, 0.1], [0.3, 0.2], [0.3, 0.7]], "float32")  # one loses a label that is not the first
    labels = np.array([[1, 1], [1, 0], [0, 0], [1, 1]], "float32")
    proof = compare(lambda _: before, lambda _: after, [(before, labels)], thresholds=[0.5, 0.5])
    assert (proof.agreement, proof.model_accuracy, proof.accuracy) == (0.75, 0.75, 0.5)
    (miss,) = proof.misses(export.Limits(largest=1, mean=1, agreement=0.9, accuracy=1))
    assert miss == "75.00% of the images keep their labels, and 90.00% must"


def test_predict_lists_all_labels_over_their_thresholds(folder, tflite, table, classifier, run, tmp_path):
    images = data.load(str(table.parent), "all", labels_csv=table)
    pixels, _ = pixels_and_labels(images, classifier)
    expected = [
        {DIGITS[index] for index in np.flatnonzero(row)} for row in found(classifier, classifier.probabilities(pixels))[:30]
    ]
    files = [table.parent / f"{number:04}.png" for number in range(30)]
    assert {len(labels) for labels in expected} > {1, 2}
    for network in (folder.last, tflite[0]):
        status, output, _ = run("predict", network, *files, "--json", "--csv", tmp_path / "labels.csv")
        assert status == 0
        assert [{one["class"] for one in row["classes"]} for row in json.loads(output)] == expected
        with open(tmp_path / "labels.csv", newline="") as file:
            assert [{*row["labels"].split("|")} - {""} for row in csv.DictReader(file)] == expected
    lines = run("predict", folder.last, files[0], "--threshold", "0.999")[1].splitlines()
    assert lines[0].split() == ["image", "labels"]
    assert lines[1].endswith("no label")


def test_evaluate_prints_each_class(folder, table, run):
    status, output, _ = run("evaluate", folder.last, "--labels-csv", table)
    assert status == 0
    assert "mAP" in output
    assert "average precision" in output
    assert [line.split()[0] for line in output.splitlines()[-10:]] == DIGITS
    measured = json.loads(run("evaluate", folder.last, "--labels-csv", table, "--threshold", "0.25", "--json")[1])
    assert {of["threshold"] for of in measured["per_class"].values()} == {0.25}
