"""Class names belong to the network: it keeps them, and data, states and files of labels are compared with them."""

import dataclasses
import json
import os
import pathlib
import shutil
import unicodedata

import keras
import numpy as np
import pytest
from PIL import Image

import keras_senet
from keras_senet import Preprocessing, data, export, training
from keras_senet.inference.labels import class_names_in, keep_class_names, read_labels
from keras_senet.training.state import newest_state, read_state

RED, GREEN, BLUE = np.eye(3) * 200


@pytest.fixture
def colors(tmp_path, monkeypatch):
    """Function that makes a folder of ten images of each color, in the current folder."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)

    def make(folder, **classes):
        for name, color in classes.items():
            os.makedirs(f"{folder}/{name}")
            for index in range(10):
                pixels = np.clip(color + random.normal(20, 20, (8, 8, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(f"{folder}/{name}/{index}.png")
        return folder

    return make


def brightest(*names) -> export.Classifier:
    """A classifier that is sure of the color that is brightest, and calls red, green and blue by these names."""

    def probabilities(pixels):
        return np.eye(3, dtype="float32")[pixels.mean(axis=(1, 2)).argmax(axis=1)]

    return export.Classifier(probabilities, Preprocessing(8), 3, list(names), labels_file="network.keras")


def saved(path, *names, classes=3):
    network = keras_senet.SEResNet20(weights=None, classes=classes, input_shape=(8, 8, 3))
    keep_class_names(network, names)
    network.save(path)
    return network


def test_the_names_stay_in_the_file_through_keras_own_load_and_save(tmp_path):
    saved(tmp_path / "one.keras", "red", "grün", "50 % 🙂")
    keras.saving.load_model(tmp_path / "one.keras").save(tmp_path / "two.keras")
    opened = export.open_classifier(tmp_path / "two.keras")
    assert opened.class_names == ["red", "grün", "50 % 🙂"]
    assert opened.labels_file == tmp_path / "two.keras"
    assert class_names_in(keras.models.clone_model(opened.model)) == opened.class_names
    within = keras.Sequential([keras.Input((8, 8, 3)), opened.model])
    assert class_names_in(within) == opened.class_names
    assert class_names_in(keras.Sequential([within, keras.layers.Dense(5)])) == []  # a new classifier has other classes
    export.tflite(opened.model, tmp_path / "two.tflite")
    assert export.open_classifier(tmp_path / "two.tflite").class_names == opened.class_names


def test_classes_are_matched_by_name_not_by_place(colors):
    for names in (("red", "green", "blue"), ("blue", "green", "red")):
        images = data.load(colors("_".join(names), **dict(zip(names, (RED, GREEN, BLUE), strict=True))), "all")
        measured = training.evaluate(brightest(*names), images)
        assert (measured.images, measured.top1) == (30, 1)
        assert measured.class_names == list(names)
        np.testing.assert_array_equal(measured.confusion, 10 * np.eye(3))
    wrong = training.evaluate(brightest("green", "red", "blue"), images)  # which calls red "green"
    np.testing.assert_array_equal(wrong.confusion.sum(axis=1), [10, 10, 10])
    assert wrong.per_class == {"green": 0, "red": 0, "blue": 0}


def test_images_of_some_classes_are_enough(colors):
    images = data.load(colors("some", green=GREEN), "all")
    measured = training.evaluate(brightest("red", "green", "blue"), images)
    assert (measured.images, measured.top1, measured.per_class) == (10, 1, {"green": 1.0})
    assert data.match_classes(images, ["red", "green", "blue"], 3).counts == [0, 10, 0]


def test_labels_from_a_file_count_the_classes_of_the_data(colors, tmp_path):
    """And so take part in the matching."""
    images = data.load(colors("some", blue=BLUE, red=RED), "all")
    for file in (tmp_path / "some").glob("*/*.png"):
        file.rename(file.with_name(f"{file.parent.name}{file.name}"))
    images = data.load("some", "all")
    labels = {f"{name}{index}.png": [place] for place, name in enumerate(("blue", "red")) for index in range(10)}
    (tmp_path / "labels.json").write_text(json.dumps(labels | {"red0.png": [], "red1.png": [0, 1]}))
    measured = training.evaluate(brightest("red", "green", "blue"), images, labels=tmp_path / "labels.json")
    assert measured.summary() == {"images": 19, "top1": 1.0}


def test_names_are_equal_in_any_normal_form(colors):
    one, other = (unicodedata.normalize(form, "rougé") for form in ("NFC", "NFD"))
    images = data.load(colors("some", **{one: RED}), "all")
    assert training.evaluate(brightest(other, "green", "blue"), images).top1 == 1


def test_a_class_that_the_network_lacks_is_named(colors):
    images = data.load(colors("some", dim=RED, green=GREEN), "all")
    with pytest.raises(ValueError, match="network lacks: 'dim'. The network has 'red', 'green', 'blue'"):
        training.evaluate(brightest("red", "green", "blue"), images)
    with pytest.raises(ValueError, match="several classes of one name"):
        training.evaluate(brightest("green", "green", "dim"), images)


@pytest.mark.filterwarnings("ignore:The class names of")
def test_without_names_classes_are_matched_by_place_or_by_their_number(colors):
    nameless = dataclasses.replace(brightest("class 0", "class 1", "class 2"), labels_file=None)
    images = data.load(colors("three", a=RED, b=GREEN, c=BLUE), "all")
    assert training.evaluate(nameless, images).top1 == 1
    shutil.rmtree("three/c")
    with pytest.raises(ValueError, match="3 classes, but the data has 2. It does not keep their names"):
        training.evaluate(nameless, data.load("three", "all"))
    numbered = data.load(colors("twelve", **{str(index): RED for index in range(12)}), "all")  # 0, 1, 10, 11, 2 and so on
    matched = data.match_classes(numbered, None, 12)
    assert {(name.decode().split("/")[1], str(label)) for name, _, label in matched.examples(None).as_numpy_iterator()} == {
        (str(index), str(index)) for index in range(12)
    }


def test_a_file_of_labels_may_come_from_windows(tmp_path):
    cafe = unicodedata.normalize("NFD", "café")
    text = f"Katze\r\nHündin\r\n{cafe}\r\n"
    for encoding, mark in (("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-16-be", "\ufeff")):
        (tmp_path / "labels.txt").write_bytes((mark + text).encode(encoding))
        assert read_labels(tmp_path / "network.keras", 3) == ["Katze", "Hündin", "café"]
    network = saved(tmp_path / "network.keras")
    assert export.open_classifier(tmp_path / "network.keras").class_names == ["Katze", "Hündin", "café"]
    export.tflite(network, tmp_path / "network.tflite", ["Katze", "Hündin", cafe])  # the file beside it has the same
    (tmp_path / "labels.txt").write_bytes("Hündin".encode("latin-1"))
    with pytest.raises(ValueError, match="labels.txt is not a text in UTF-8 or UTF-16"):
        export.open_classifier(tmp_path / "network.keras")


def test_a_file_of_labels_that_says_otherwise_is_named_and_does_not_count(tmp_path):
    saved(tmp_path / "network.keras", "red", "green", "blue")
    (tmp_path / "labels.txt").write_text("red\nblue\ngreen\n")
    with pytest.warns(UserWarning, match="labels.txt calls class 1 'blue', but network.keras itself says 'green', which counts"):
        opened = export.open_classifier(tmp_path / "network.keras")
    assert opened.class_names == ["red", "green", "blue"]


@pytest.fixture
def small_recipe(tiny_recipe, colors):
    """Two epochs on two colors."""
    folder = colors("colors", green=GREEN, red=RED)
    splits = {"train_split": "train", "validation_split": "validation"}
    return tiny_recipe.replace(dataset=f"./{folder}", batch_size=4, epochs=2, **splits)


@pytest.mark.slow
def test_a_run_goes_on_only_with_the_classes_that_it_began_with(small_recipe, tmp_path):
    once = small_recipe.replace(epochs=1)
    training.train(once, "run")
    assert read_state(newest_state(tmp_path / "run" / "states"))[0]["class_names"] == ["green", "red"]
    assert export.open_classifier("run/last.keras").class_names == ["green", "red"]
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    os.rename("colors/red", "colors/a_red")  # which now is class 0
    with pytest.raises(ValueError, match="other classes than the run in run: without 'red' and with 'a_red'. Restore"):
        training.train(once, "run", resume=True)
    shutil.copytree("colors/a_red", "colors/red")
    with pytest.raises(ValueError, match="run: with 'a_red'"):
        training.train(once, "run", resume=True)
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before
    shutil.rmtree("colors/a_red")
    training.train(once, "run", resume=True)


@pytest.mark.slow
def test_the_test_part_is_measured_once_at_the_end(small_recipe, colors, capsys):
    colors("apart/train", green=GREEN, red=RED)
    colors("apart/val", green=GREEN, red=RED)
    colors("apart/Test", red=RED)
    folder = training.train(small_recipe.replace(dataset="./apart"), "run")
    table = capsys.readouterr().out.splitlines()[:4]
    assert [line.split() for line in table] == [
        ["class", "training", "validation", "test"],
        ["green", "10", "10", "0"],
        ["red", "10", "10", "10"],
        ["2", "classes", "20", "20", "10"],
    ]
    measured = training.report(folder)
    assert {name: result["images"] for name, result in measured.items()} == {"last": 20, "best": 20, "test": 10}
    assert measured["test"]["epoch"] == measured["best"]["epoch"] == folder.best_epoch()
    best = training.evaluate(export.open_classifier(folder.best), data.load("./apart", "test"))
    assert measured["test"]["top1"] == best.top1
    page = folder.page.read_text()
    assert page.index("## Results on the validation images") < page.index("## Results on the test images")
    training.reporting.write_page(folder)
    assert folder.page.read_text() == page


def test_places_that_would_spoil_the_dataset_or_the_run_are_refused(small_recipe, colors, tmp_path):
    for output in ("colors/run", "colors/red/run", tmp_path / "colors", "./colors/../colors"):
        with pytest.raises(ValueError, match="is within the dataset ./colors: choose one outside"):
            training.train(small_recipe, output)
    shutil.rmtree("colors/red")
    with pytest.raises(ValueError, match="./colors must have at least two classes. Found: 'green'"):
        training.train(small_recipe, "run")
    assert not os.path.exists("run")


@pytest.mark.slow
def test_the_command_takes_labels_from_a_csv_file(small_recipe, colors, run, fails):
    files = [(f"{name}/{index}.png", name.upper()) for name in ("green", "red") for index in range(10)]
    with open("colors/labels.csv", "w") as csv:
        csv.writelines(f"{file},{label}\n" for file, label in files)
    fields = ("--model", "SETiny", "--epochs", 1, "--batch-size", 4, "--learning-rate", 0.1, "--crop", "shift")
    status, output, errors = run("train", *fields, "--labels-csv", "colors/labels.csv", "--output", "run")
    assert status == 0, errors
    assert json.loads(pathlib.Path("run/config.json").read_text())["recipe"]["dataset"] == "colors"
    evaluated = json.loads(run("evaluate", "run/last.keras", "--labels-csv", "colors/labels.csv", "--split", "all", "--json")[1])
    assert (evaluated["images"], set(evaluated["per_class"])) == (20, {"GREEN", "RED"})
    status, output, errors = run("evaluate", "run/last.keras", "--dataset", "./colors", "--labels-csv", "colors/labels.csv")
    assert output.splitlines()[0].split() == ["class", "validation"]
    assert "network lacks: 'green', 'red'. The network has 'GREEN', 'RED'" in fails(
        "evaluate", "run/last.keras", "--dataset=./colors"
    )
    assert "--dataset must be given" in fails("evaluate", "run/last.keras")
