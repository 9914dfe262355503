"""The command as a user types it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import synthetic
import tensorflow as tf
from common import DEMO, ROOT
from hub import publish
from reference import parameters, write_caffemodel, write_pth
from safetensors.numpy import save_file

import keras_senet
import keras_senet_command
from keras_senet import cli
from keras_senet.errors import InputError

# With it set, as the tests do, TensorFlow's own messages are let through.
WITHOUT_LOG_LEVEL = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
SAMPLES = ROOT / "examples" / "digits"
# A heading of --help and the flags under it.
GROUP = r"(?m)^([a-z]+):\n((?:  .*\n)+)"


def test_models_are_listed(run):
    status, output, _ = run("models", "--json")
    assert status == 0
    families = {name: facts["family"] for name, facts in json.loads(output).items()}
    assert list(families) == keras_senet.list_models()
    expected = {"SEResNet50": "SE-ResNet", "SEResNeXt101": "SE-ResNeXt", "SENet154": "SENet", "SEResNet110": "CIFAR"}
    assert families.items() >= expected.items()
    assert list(dict.fromkeys(families.values())) == keras_senet.list_families()
    assert "SE-ResNeXt-50 (32x4d)" in run("models")[1]


def test_what_is_empty_is_refused(fails, tmp_path):
    assert "What follows --picture is empty" in fails("predict", DEMO / "model.keras", SAMPLES, "--picture", "")
    assert "What follows --csv= is empty" in fails("predict", DEMO / "model.keras", SAMPLES, "--csv=")
    assert "What follows keras-senet predict is empty" in fails("predict", "", SAMPLES)


def test_models_and_weights_of_one_family_are_listed(run, fails):
    of_family = json.loads(run("models", "--family", "se-resnext", "--json")[1])
    assert list(of_family) == keras_senet.list_models("SE-ResNeXt")
    assert {"SEResNeXt50", "SEResNeXtAA201D_32x8d"} <= of_family.keys()
    checkpoints = json.loads(run("models", "--checkpoints", "--family", "SENet", "--json")[1])
    assert [one["name"] for one in checkpoints] == ["legacy_senet154.in1k", "senet154.gluon_in1k"]
    assert "must be one of SE-ResNet, SE-ResNeXt, SENet, " in fails("models", "--family", "ResNet")
    assert json.loads(run("info", "SEVGG16", "--json")[1])["family"] == "SE-VGG"


def test_published_weights_are_listed(run):
    status, output, _ = run("models", "--checkpoints", "--json")
    assert status == 0
    table = {one["name"]: one for one in json.loads(output)}
    assert len(table) == 98
    assert table["seresnet50.ra2_in1k"]["architecture"] == {"stride_in_3x3": True, "caffe_pooling": False}
    assert table["seresnet50.ra2_in1k"]["tag"] == "ra2_in1k"
    assert table["legacy_senet154.in1k"]["url"].endswith("/v0.1-weights/legacy_senet154-e9eb9fe6.pth")
    lines = run("models", "--checkpoints")[1].splitlines()
    (narrow,) = (line for line in lines if " tf_mobilenetv3_small_075.in1k " in line)
    assert narrow.startswith("MobileNetV3Small(width_multiplier=0.75)  in1k ")
    (line,) = (line for line in lines if "seresnet50.a1_in1k" in line)
    image, accuracy = ["224", "0.95", "bicubic"], ["80.01", "94.70"]
    assert line.split() == ["SEResNet50", "a1_in1k", "seresnet50.a1_in1k", *image, "1,000", *accuracy, "apache-2.0"]


@pytest.mark.parametrize("kind", ["pth", pytest.param("caffemodel", marks=pytest.mark.slow)])
def test_weights_of_pytorch_and_caffe_become_keras_files(kind, run, tmp_path, monkeypatch):
    if kind == "pth":
        build, name = publish(monkeypatch, "legacy_seresnet18", name="narrow.in1k", repository="timm/narrow"), "Narrow"
        source = write_pth(tmp_path / "network.pth", "narrow/legacy_seresnet18")
    else:
        build, name = keras_senet.SEBNInception, "SEBNInception"
        source = write_caffemodel(tmp_path / "network.caffemodel", "caffe/SE-BN-Inception")
    output = tmp_path / f"{name}.keras"
    assert run("convert", source, output, "--model", name)[0] == 0
    pixels = 255 * np.random.default_rng(0).random((1, 224, 224, 3), "float32")
    np.testing.assert_allclose(keras.saving.load_model(output)(pixels), build(weights=source)(pixels), rtol=1e-4)


def test_weights_that_cannot_be_converted_are_an_error_that_says_why(fails, tmp_path, monkeypatch):
    pth = write_pth(tmp_path / "network.pth", "narrow/legacy_seresnet18")
    publish(monkeypatch, "legacy_seresnet50", name="narrow.in1k", repository="timm/narrow.in1k")
    assert "25 missing (layer1.0.bn3.bias, " in fails("convert", pth, tmp_path / "x.keras", "--model", "Narrow")
    assert "Did you mean 'SEResNet18'" in fails("convert", pth, tmp_path / "x.keras", "--model", "SEResNet19")
    assert "Did you mean 'seresnet50.ra2_in1k'" in fails("predict", "seresnet50.ra_in1k", SAMPLES)
    assert "must end in .keras" in fails("convert", pth, tmp_path / "x.h5", "--model", "SEResNet18")
    assert "no file or folder" in fails("convert", tmp_path / "x.pth", tmp_path / "x.keras", "--model", "SEResNet18")
    assert "ends in one of .weights.h5, .keras, .safetensors" in fails("convert", SAMPLES, "x.keras", "--model", "SEResNet18")
    assert list(tmp_path.iterdir()) == [pth]


def test_a_published_network_classifies_by_its_name(run, tmp_path, monkeypatch):
    """Looking at what it was measured on, with the names of ImageNet's classes, or with numbers where they cannot be had."""
    facts = {"name": "narrow.in1k", "repository": "timm/narrow.in1k", "classes": 1000}
    build = publish(monkeypatch, "seresnext26t_32x4d", **facts)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "models" / "keras_senet"
    folder.mkdir(parents=True)
    head = {f"fc.{kind}": synthetic.weight(f"fc.{kind}", shape) for kind, shape in (("weight", (1000, 256)), ("bias", (1000,)))}
    save_file(parameters("narrow/seresnext26t_32x4d") | head, folder / "narrow.in1k.safetensors")
    index = {str(number): [f"n{number}", f"thing {number}"] for number in range(1000)}
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX", index)
    image = sorted(SAMPLES.glob("*.png"))[0]
    ((prediction,), (cropped,), (resized,)) = (
        json.loads(run("predict", name, image, "--top", 1, "--json", *more)[1])
        for name, more in (("Narrow", ()), ("narrow.in1k", ("--crop-ratio", 0.5)), ("Narrow", ("--image-size", 96)))
    )
    network = build(classes=1000)
    pixels = keras_senet.data.read_image(image, keras_senet.Preprocessing(64, 0.875, "bicubic"))
    probabilities = np.array(network(pixels[np.newaxis]))[0]
    (found,) = prediction["classes"]
    assert found["class"] == f"thing {probabilities.argmax()}"
    np.testing.assert_allclose(found["probability"], probabilities.max(), rtol=1e-4)
    assert prediction not in (cropped, resized)
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX", None)
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX_PATH", "http://127.0.0.1:9/none.json")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.warns(UserWarning, match="numbers in place of names, which could not be downloaded"):
        status, output, _ = run("predict", "Narrow", image)
    assert (status, f"class {probabilities.argmax()}" in output) == (0, True)


def test_info_prints_the_papers_numbers(run):
    info = json.loads(run("info", "SEResNet50", "--json")[1])
    assert info["parameters"] == 28_088_024
    assert round(info["multiply_adds"] / 1e9, 3) == 3.860
    assert info["se"]["parameters"] == 28_088_024 - 25_557_032
    assert info["layers"][0]["name"] == "preprocessing"
    assert sum(layer["activations"] for layer in info["layers"]) == info["activations"]
    assert json.loads(run("info", "SEResNet50", "--attention", "none", "--json")[1])["parameters"] == 25_557_032


def test_info_shows_each_layer_and_the_share_of_se(run):
    lines = run("info", "seresnet50")[1].splitlines()
    (conv,) = (line.split() for line in lines if line.startswith("stage2_block1_conv2 "))
    assert conv[1:8] == ["Conv2D", "56", "x", "56", "x", "64", "36,864"]
    assert lines[-2].split()[6:8] == ["3,860,488,192", "42,625,044"]
    assert lines[-2].split()[:6] == ["seresnet50,", "in", "total", "family", "SE-ResNet", "28,088,024"]
    assert "2,530,992 (9.01%)" in lines[-1]


def test_info_takes_the_ablations_of_the_paper(run):
    ablated = ("--reduction", 8, "--squeeze", "none", "--gate", "tanh", "--attention-position", "pre", "--attention-stages", 3, 4)
    info = json.loads(run("info", "SEResNet20", *ablated, "--image-size", 64, "--json")[1])
    attending = [layer["name"] for layer in info["layers"] if layer["kind"] == "SqueezeExcite"]
    assert attending == [f"stage{stage}_block{block}_se" for stage in (3, 4) for block in (1, 2, 3)]
    # Before the unit the first of stage 3 sees 16 channels of 64 x 64: two hidden units at each position.
    assert info["se"]["multiply_adds"] == 2 * (64 * 64 * 16 * 2 + (2 + 1) * 32 * 32 * 32 * 4 + 2 * 16 * 16 * 64 * 8)


def help_of(run, capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_:
        run(*arguments, "--help")
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_every_command_shows_an_example(run, capsys):
    for command in cli.COMMANDS:
        assert f"example:\n  keras-senet {command} " in help_of(run, capsys, command)


def test_help_lists_the_commands(run, capsys):
    listed = re.findall(r"^  ([a-z]+)  +[A-Z].*\.$", help_of(run, capsys), re.MULTILINE)
    names = "models info train plot average evaluate predict export benchmark gates explain convert"
    assert " ".join(listed) == names


def test_help_of_train_groups_every_field_of_a_recipe(run, capsys):
    text = help_of(run, capsys, "train")
    groups = {heading: re.findall(r"^  --([a-z-]+)", flags, re.MULTILINE) for heading, flags in re.findall(GROUP, text)}
    of_the_recipe = ["network", "data", "augmentation", "optimization"]
    assert list(groups) == ["options", "run", *of_the_recipe, "devices", "example"]
    assert groups["run"] == ["output", "config", "recipe", "resume", "save-every", "keep-states"]
    assert groups["network"][:3] == ["model", "attention", "reduction"]
    assert groups["data"] == ["dataset", "data-dir", "labels-csv", "train-split", "validation-split", "image-size"]
    assert groups["augmentation"][0] == "crop"
    assert {"epochs", "learning-rate", "seed"} <= set(groups["optimization"])
    assert groups["devices"] == ["strategy", "hosts", "worker", "data-service"]
    flags = [
        flag.replace("-", "_") for heading in ("network", "data", "augmentation", "optimization") for flag in groups[heading]
    ]
    assert sorted(flags) == sorted(keras_senet.training.Recipe.of("SEResNet20", "digits").flat())
    assert f"--recipe {{{','.join(keras_senet.training.RECIPES)}}}" in text


def test_no_flag_is_taken_for_another_by_its_first_letters(fails, tmp_path):
    train = ("train", "--model", "SEResNet20", "--dataset", "digits", "--output", tmp_path / "run")
    assert "There is no flag --frozen. Did you mean '--freeze' or '--freeze-norm'? See:" in fails(*train, "--frozen", "backbone")
    assert "There is no flag --epoch. Did you mean '--epochs'" in fails(*train, "--epoch=2")
    assert "There is no flag --json" in fails("convert", "a.pth", "b.keras", "--model", "SEResNet50", "--json")
    assert "There is no flag --check. Did you mean '--checkpoints'" in fails("models", "--check")
    assert not (tmp_path / "run").exists()


def test_a_misspelt_flag_value_or_command_gets_its_nearest_neighbour_named(fails):
    assert "There is no command 'trian'. Did you mean 'train'? Available: models, info," in fails("trian", "--output", "x")
    assert "There is no flag --hlep. Did you mean '--help'" in fails("--hlep")
    assert "A command is missing. See: keras-senet --help" in fails()
    # Before the required flag that is missing because of it.
    assert "There is no flag --outptu. Did you mean '--output' or '--cutout'? See: keras-senet train --help" in fails(
        "train", "--outptu", "x"
    )
    for arguments, accepted, near in (
        (("train", "--output", "x", "--recipe", "papper"), "paper, senet154, mobile", "paper"),
        (("train", "--output", "x", "--schedule", "cosin"), "step, cosine, plateau", "cosine"),
        (("train", "--output", "x", "--strategy", "miror"), "auto, single, mirrored", "mirrored"),
        (("export", "a.keras", "b.tflite", "--quantize", "int9"), "float32, float16, dynamic", "int8"),
        (("export", "a.keras", "b.tflite", "--limit", "agreemnt=1"), "largest, mean, agreement", "agreement"),
        (("predict", "a.keras", "b.png", "--interpolation", "bicubi"), "bilinear, bicubic", "bicubic"),
    ):
        error = fails(*arguments)
        assert f"argument {arguments[3]}: must be one of {accepted}" in error
        assert f"Received: {arguments[4]}. Did you mean '{near}'" in error


@pytest.mark.slow
def test_the_road_from_training_to_a_tflite_file(run, tiny_recipe, run_folder, tmp_path, data_dir):
    folder = tmp_path / "run"
    chosen = {key.replace("_", "-"): value for key, value in tiny_recipe.flat().items() if value is not None}
    flags = [
        ("--" if value else "--no-") + key if isinstance(value, bool) else f"--{key}={value}" for key, value in chosen.items()
    ]
    status, output, _ = run("train", "--output", folder, *flags)
    assert status == 0
    measured = json.loads((folder / "metrics.json").read_text())
    assert f"top-1 accuracy {measured['last']['top1']:.2%}" in output
    # The flags made the recipe of the fixture, so they made its network.
    assert measured == json.loads((run_folder / "metrics.json").read_text())

    for output in ("model.tflite", "saved_model"):
        assert run("export", folder / "last.keras", folder / output)[0] == 0
        arguments = ("--dataset", "digits", "--split", "test[:60]", "--data-dir", data_dir)
        accuracy = json.loads(run("evaluate", folder / output, *arguments, "--json")[1])
        assert accuracy["top1"] == measured["last"]["top1"]
    assert "60" in run("evaluate", folder / "last.keras", *arguments)[1]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_recipe")  # by which the command knows its network
def test_a_run_is_repeated_from_its_config(run, run_folder, tmp_path):
    status, *_ = run("train", "--config", run_folder / "config.json", "--epochs", 1, "--output", tmp_path / "again")
    assert status == 0
    first, again = (json.loads((folder / "config.json").read_text()) for folder in (run_folder, tmp_path / "again"))
    assert again["recipe"] == first["recipe"] | {"epochs": 1}


def test_the_shipped_network_reads_the_sample_digits(run, tmp_path):
    for network in ("model.keras", "model.tflite", "model_int8.tflite"):
        status, output, _ = run("predict", DEMO / network, SAMPLES, "--json", "--picture", tmp_path / "picture.png")
        assert status == 0
        predictions = json.loads(output)
        assert len(predictions) == 10
        for prediction in predictions:
            digit = os.path.basename(prediction["image"]).removesuffix(".png")
            assert prediction["classes"][0]["class"] == digit
            assert len(prediction["classes"]) == 3
        picture = tf.io.decode_png((tmp_path / "picture.png").read_bytes(), channels=3).numpy()
        assert 0.1 < (picture < 64).mean() < 0.9  # dark digits' backgrounds on white
    header, row = run("predict", DEMO / "model.tflite", SAMPLES / "7.png", "--top", 2)[1].splitlines()
    assert header.split() == ["image", "top", "1", "top", "2"]
    assert row.startswith(f"{SAMPLES / '7.png'}  7 92.7%  ")


def test_bad_files_among_many_are_named_and_the_others_classified(run, tmp_path):
    folder = tmp_path / "photographs of 100 % 😀 [1]"
    shutil.copytree(SAMPLES, folder)
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes((SAMPLES / "1.png").read_bytes()[:60])
    files = sorted(file.name for file in folder.iterdir())
    status, output, errors = run("predict", DEMO / "model.tflite", folder, "--json", "--csv", tmp_path / "all.csv")
    assert status == 1
    assert "2 of 12 images could not be read; they are named above" in errors
    for name in ("text.png", "cut.png"):
        assert f"warning: {folder / name} is damaged" in errors
    predictions = {os.path.basename(item["image"]): item for item in json.loads(output)}
    assert list(predictions) == files
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()))
    assert [os.path.basename(row["image"]) for row in rows] == files
    for row in rows:
        name = os.path.basename(row["image"])
        if name in ("text.png", "cut.png"):
            assert row["class 1"] == ""
            assert row["error"] == predictions[name]["error"]
        else:
            assert row["class 1"] == predictions[name]["classes"][0]["class"] == name.removesuffix(".png")
            assert float(row["probability 3"]) == pytest.approx(predictions[name]["classes"][2]["probability"], rel=1e-5)
    table = run("predict", DEMO / "model.tflite", folder)[1].splitlines()
    assert len(table) == 13
    assert sum(line.endswith("not read") for line in table) == 2


def test_predictions_are_written_as_they_come(run, tmp_path, monkeypatch):
    """And those of one image at a time are in memory: what was classified before an interruption is there."""
    read, seen = keras_senet.data.read_image, []

    def interrupted(path, preprocessing):
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.append(path)
        return read(path, preprocessing)

    monkeypatch.setattr(keras_senet.data, "read_image", interrupted)
    status, output, _ = run("predict", DEMO / "model.tflite", SAMPLES, "--json", "--csv", tmp_path / "all.csv")
    assert status == 130
    assert len(json.loads(output)) == 4
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 5


def test_the_shipped_network_is_as_accurate_as_its_card_says(run, data_dir):
    card = (DEMO / "README.md").read_text()
    for network in ("model.keras", "model.tflite", "model_int8.tflite"):
        measured = json.loads(run("evaluate", DEMO / network, "--dataset", "digits", "--data-dir", data_dir, "--json")[1])
        assert measured["images"] == 360
        assert measured["top1"] >= 0.985
        assert f"{measured['top1']:.2%}" in card
    assert sum(file.stat().st_size for file in DEMO.glob("model*")) < 3_000_000


@pytest.mark.slow
def test_evaluation_as_a_user_types_it(run, fails, data_dir, digits, tmp_path, capsys):
    digits("train")
    capsys.readouterr()  # what preparing them printed
    command = ("evaluate", DEMO / "model.keras", "--dataset", "digits", "--split", "test[:60]", "--data-dir", data_dir)
    picture = tmp_path / "confusion.png"
    centre = json.loads(run(*command, "--json", "--confusion", picture)[1])
    assert centre.keys() == {"images", "top1", "top5", "loss", "calibration_error", "per_class"}
    assert centre["per_class"].keys() == set(map(str, range(10)))
    assert picture.read_bytes().startswith(b"\x89PNG")
    for flags in (("--views", 10, "--crop-ratio", 0.9), ("--image-size", 40)):
        other = json.loads(run(*command, *flags, "--json")[1])
        assert other["images"] == 60
        assert other["loss"] != centre["loss"]
    *contents, _, titles, values = run(*command)[1].splitlines()
    assert [line.split() for line in contents] == [["class", "test[:60]"], ["10", "classes", "60"]]
    assert titles.split() == ["images", "top-1", "top-5", "loss", "calibration", "error"]
    assert values.split()[:2] == ["60", f"{centre['top1']:.2%}"]

    names = [name.decode() for name, *_ in digits("test[:60]").examples(None).as_numpy_iterator()]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({name: list(range(10)) if index < 40 else [] for index, name in enumerate(names)}))
    assert run(*command, "--labels", labels)[1].split()[5:] == ["images", "top-1", "40", "100.00%"]
    assert json.loads(run(*command, "--labels", labels, "--json")[1]) == {"images": 40, "top1": 1.0}
    labels.write_text("[[1]]")
    assert "labels for 1 images, but the data has 60" in run(*command, "--labels", labels)[2]
    assert "Choose one" in fails(*command, "--labels", labels, "--confusion", picture)
    assert "'labels.json'" in run(*command, "--labels", tmp_path / "label.json")[2]
    assert "takes images of 32 x 32" in fails("evaluate", DEMO / "model.tflite", *command[2:], "--image-size", 40)


def test_misspelt_names_get_suggestions(fails, tmp_path, data_dir):
    assert "'SEResNeXt50'" in fails("info", "SEResNext5")
    assert "or --paper" in fails("info")
    assert "or --paper" in fails("info", "SEResNet50", "--paper")
    assert "--gate and --image-size: only for the name" in fails("info", "--paper", "--gate", "tanh", "--image-size", 64)
    assert "--reduction: only for the name" in fails("info", DEMO / "model.keras", "--reduction", 8)
    assert "(2, 3, 4)" in fails("info", "SEResNet20", "--attention-stages", 7)
    assert "reduction of at most 16" in fails("info", "SEResNet20", "--reduction", 17)
    assert "at least 32 x 32" in fails("info", "SEResNet50", "--image-size", 16)
    assert "takes images of shape (32, 32, 3)" in fails("info", DEMO / "model.keras", "--image-size", 64)
    assert "'digits'" in fails("evaluate", DEMO / "model.keras", "--dataset", "digit", "--data-dir", data_dir)
    assert "'model.keras'" in fails("info", DEMO / "model.kera.keras")
    assert "'model.tflite'" in fails("predict", DEMO / "modle.tflite", SAMPLES)
    assert "'train'" in fails("trian", "--output", tmp_path)
    assert "--output" in fails("train", "--model", "SEResNet20", "--dataset", "digits")
    assert "--model and --dataset" in fails("train", "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_files_are_named(fails, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert f"{text} is damaged" in fails("predict", DEMO / "model.tflite", text)
    truncated = tmp_path / "cut.png"
    truncated.write_bytes((SAMPLES / "1.png").read_bytes()[:60])
    assert f"{truncated} is damaged" in fails("predict", DEMO / "model.tflite", truncated)
    (tmp_path / "empty").mkdir()
    assert "holds no image" in fails("predict", DEMO / "model.tflite", tmp_path / "empty")
    assert "crop_ratio=1.5" in fails("predict", DEMO / "model.tflite", SAMPLES, "--crop-ratio", 1.5)
    assert "--top" in fails("predict", DEMO / "model.tflite", SAMPLES, "--top", 0)
    assert "config.json of a run" in fails("train", "--config", SAMPLES / ".." / ".." / "README.md", "--output", tmp_path / "x")


@pytest.mark.filterwarnings("ignore:Left out")
def test_a_folder_of_damaged_images_is_one_line(run, image_folder, tmp_path):
    for file in image_folder.glob("*/*.jpg"):
        file.write_bytes(b"nothing")
    flags = ("--model", "SEResNet20", "--image-size", 8, "--batch-size", 4, "--output", tmp_path / "run")
    status, _, errors = run("train", "--dataset", image_folder, *flags)
    assert status == 2
    assert errors.count("\n") == 1
    assert errors.startswith("keras-senet: error: 1 of the 16 images cannot be decoded, over 1 %: repair or remove them.")
    classifier = keras_senet.SEResNet20(classes=2)
    classifier.save(tmp_path / "two.keras")
    status, output, errors = run("evaluate", tmp_path / "two.keras", "--dataset", image_folder)
    assert (status, errors.count("\n")) == (2, 1)
    assert "error: 1 of the 4 images cannot be decoded" in errors
    assert output.splitlines()[-2:] == ["A fifth of each class is held out for validation, chosen by file name.", ""]


@pytest.mark.parametrize("bug", [ValueError, ImportError, OSError, KeyError])
def test_a_bug_of_ours_keeps_its_traceback(bug, run, monkeypatch):
    def list_models(family):
        raise bug("planted")

    monkeypatch.setattr("keras_senet.models.registry.list_models", list_models)
    with pytest.raises(bug, match="planted"):
        run("models")


def test_what_the_user_can_mend_is_one_line_and_has_a_traceback_on_request(
    run, fails, image_folder, tmp_path, shallow, monkeypatch
):
    shallow("SEResNet20")(classes=2).save(tmp_path / "two.keras")
    assert "There is no model 'SEResNet21'. Did you mean" in fails("info", "SEResNet21")
    with pytest.raises(InputError, match="There is no model 'SEResNet21'. Did you mean"):
        run("info", "SEResNet21", "--traceback")
    assert "`gate` must be an activation" in fails("info", "SEResNet20", "--gate", "softplusplus")
    for command in ("evaluate", "gates"):
        status, _, errors = run(command, tmp_path / "two.keras", "--dataset", image_folder, "--batch-size", 0)
        assert (status, errors.count("\n")) == (2, 1)
        assert "`batch_size` must be at least 1. Received: batch_size=0" in errors
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert "pip install 'keras-senet[train]'" in fails("evaluate", DEMO / "model.keras", "--dataset", "digits")


def test_odd_file_names_are_printed_as_they_are(run, tmp_path):
    odd = tmp_path / "seven[" / "b]:smile:[b].png"
    odd.parent.mkdir()
    odd.write_bytes((SAMPLES / "7.png").read_bytes())
    assert str(odd) in run("predict", DEMO / "model.tflite", odd)[1]


def test_a_picture_never_takes_the_place_of_a_folder(fails, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.txt").write_text("")
    assert "pictures could not be written" in fails(
        "predict", DEMO / "model.tflite", SAMPLES / "7.png", "--picture", tmp_path / "pictures"
    )
    assert [file.name for file in tmp_path.rglob("*")] == ["pictures", "holiday.txt"]


def test_mismatches_are_said(fails, tmp_path, image_folder, data_dir, digits, capsys):
    digits("train")
    capsys.readouterr()  # what preparing them printed
    flags = ("--model", "SEResNet32", "--recipe", "finetune", "--data-dir", data_dir)
    weights = ("--weights", DEMO / "model.keras", *flags, "--output", tmp_path / "run")
    with pytest.warns(UserWarning, match="10 classes: the classifier of 2 classes starts at random"):
        assert "not those of seresnet32" in fails("train", "--dataset", image_folder, *weights, "--batch-size", 4)
    error = fails("evaluate", DEMO / "model.keras", "--dataset", image_folder)
    assert "The data has classes that the network lacks: 'bright', 'dark'. The network has '0', '1', '2' and 7 more." in error
    assert "at least 8 x 8" in fails("train", "--dataset", "digits", *weights, "--image-size", 4)
    assert "not empty" in fails("train", "--dataset", "digits", *weights[:-1], DEMO)
    assert "batch" in fails("train", "--dataset", image_folder, *weights[2:], "--weights", "none", "--batch-size", 1024)
    assert not (tmp_path / "run").exists()


def with_a_full_disk(limit: int, *arguments) -> str:
    """Runs the command with a limit on the size of files, which does what a full disk does; returns its line on stderr."""
    code = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
import keras_senet_command
keras_senet_command.main()
"""
    command = [sys.executable, "-c", code, str(limit), *map(str, arguments)]
    done = subprocess.run(command, env=WITHOUT_LOG_LEVEL, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.tflite", "saved_model"])
def test_a_full_disk_leaves_no_half_of_an_export(name, tmp_path):
    assert name in with_a_full_disk(500_000, "export", DEMO / "model.keras", tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.slow
def test_a_full_disk_in_training_leaves_no_half_of_a_network(tmp_path, recipe, digits):
    folder = tmp_path / "run"
    flags = [f"--{name.replace('_', '-')}={getattr(recipe, name)}" for name in ("model", "dataset", "data_dir", "image_size")]
    digits("train")
    errors = with_a_full_disk(1_000_000, "train", *flags, "--batch-size=600", "--epochs=1", "--output", folder)
    assert f"{folder / 'last.keras'} could not be written" in errors
    assert not {name for name in os.listdir(folder) if "partial" in name or name.endswith(".keras")}


@pytest.mark.slow
@pytest.mark.parametrize("command", [["keras-senet"], [sys.executable, "-m", "keras_senet"]], ids=["installed", "module"])
def test_the_command_puts_one_line_on_stderr(command):
    command[0] = os.path.join(os.path.dirname(sys.executable), command[0])
    done = subprocess.run(
        [*command, "predict", "a.tflite", "b"], env=WITHOUT_LOG_LEVEL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "keras-senet: error: There is no file or folder a.tflite.\n")


@pytest.mark.slow
def test_help_and_errors_in_arguments_import_no_keras(python):
    code = """
import contextlib, sys
import keras_senet_command
from keras_senet import cli
for words in ("--help", "trian", "models --help", "models --jsn"):
    with contextlib.suppress(SystemExit):
        assert cli.main(words.split()) == 2
    assert not {"keras", "tensorflow", "numpy"} & sys.modules.keys(), words
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_no_error_is_longer_than_anybody_reads(fails, tmp_path):
    (tmp_path / "network.keras").write_bytes(b"PK\x05\x06" + bytes(18))
    for arguments in (
        ("info", "Xyz"),
        ("predict", tmp_path / "network.keras", SAMPLES),
        ("train", "--model", "Q", "--dataset", "digits", "--output", "x", "--recipe", "q"),
        ("train", "--model", "SEResNet20", "--dataset", "d" * 900, "--output", "x", "--recipe", "paper"),
        ("predict", DEMO / "model.keras", "f" * 300),
    ):
        assert len(fails(*arguments)) <= 430  # 400 and the beginning of the line


def test_a_format_that_there_is_not_is_refused_before_anything_is_read(fails, tmp_path):
    for name, near in (
        ("a.tfl", "Did you mean '.tflite'"),
        ("a.h5", "Names end in .tflite, .onnx, .xml"),
        ("a.pb", "of a SavedModel"),
    ):
        error = fails("export", tmp_path / "missing.keras", tmp_path / name)
        assert "There is no format" in error
        assert near in error
    assert keras_senet.export.exporter_for("served/1") is keras_senet.export.saved_model
    assert keras_senet.export.exporter_for("net_v1.2") is keras_senet.export.saved_model


def test_what_the_encoding_of_the_output_lacks_is_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    monkeypatch.setattr(cli, "main", lambda: print("caf\udce9/猫.png"))
    previous = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            keras_senet_command.main()
    finally:
        signal.signal(signal.SIGINT, previous)
    sys.stdout.flush()
    assert written.getvalue() == b"caf\\udce9/\\u732b.png\n"


def test_json_is_valid_in_any_encoding(run, tmp_path):
    image = tmp_path / "猫.png"
    image.write_bytes((SAMPLES / "7.png").read_bytes())
    _, output, _ = run("predict", DEMO / "model.tflite", image, "--json")
    assert output.isascii()
    assert json.loads(output)[0]["image"] == str(image)


@pytest.mark.slow
def test_ctrl_c_during_an_import_ends_the_command_without_a_traceback(python, tmp_path):
    """Even if whoever imports the module takes its error for a missing package."""
    (tmp_path / "interrupted.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    code = f"""
import contextlib, sys
sys.path.insert(0, {str(tmp_path)!r})
import keras_senet_command
from keras_senet import cli

def main():
    with contextlib.suppress(BaseException):
        import interrupted

cli.main = main
keras_senet_command.main()
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (130, "keras-senet: interrupted\n")
