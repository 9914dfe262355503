"""Training runs: what they keep, that they can be repeated, and how they end when something goes wrong."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
from conftest import DEMO

from keras_senet import training
from keras_senet.training.optimization import WarmUp, learning_rate, optimizer


def weights(path):
    return keras.saving.load_model(path).get_weights()


def test_a_run_folder_holds_all_of_the_run(run_folder, recipe):
    names = {file.name for file in run_folder.iterdir()}
    assert names == {
        *("config.json", "history.csv", "labels.txt", "learning_curve.png", "logs", "metrics.json", "report.md", "states"),
        *("best.keras", "last.keras", "confusion.png", "mistakes.png"),
    }
    config = json.loads((run_folder / "config.json").read_text())
    assert training.Recipe(**config["recipe"]) == recipe
    assert config["versions"]["keras"] == keras.__version__
    rows = list(csv.DictReader((run_folder / "history.csv").open()))
    measured = json.loads((run_folder / "metrics.json").read_text())
    assert len(rows) == recipe.epochs
    assert measured["last"]["top1"] == pytest.approx(float(rows[-1]["val_top1"]), abs=1e-6)
    assert measured["best"]["top1"] == pytest.approx(max(float(row["val_top1"]) for row in rows), abs=1e-6)
    assert (run_folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    logs = {file.parent.name for file in (run_folder / "logs").glob("*/events.out.tfevents*")}
    assert logs == {"train", "validation", "images", "gates"}


def test_the_same_recipe_gives_the_same_network(run_folder, recipe, tmp_path):
    # Also where the data is prepared first, which draws random numbers.
    training.train(dataclasses.replace(recipe, data_dir=str(tmp_path / "new")), tmp_path / "again")
    for one, again in zip(weights(run_folder / "last.keras"), weights(tmp_path / "again" / "last.keras"), strict=True):
        np.testing.assert_array_equal(one, again)


def test_a_recipe_takes_the_ablations_of_the_paper(recipe, tmp_path):
    ablated = {"reduction": 4, "squeeze": "max", "gate": "tanh", "attention_position": "3x3", "attention_stages": (4,)}
    training.train(dataclasses.replace(recipe, epochs=1, **ablated), tmp_path / "run")
    network = keras.saving.load_model(tmp_path / "run" / "last.keras")
    attending = [layer for layer in network.layers if layer.name.endswith("_se")]
    assert [layer.name for layer in attending] == [f"stage4_block{block}_se" for block in (1, 2, 3)]
    assert {(layer.reduction, layer.squeeze, layer.gate) for layer in attending} == {(4, "max", keras.activations.tanh)}
    again = training.Recipe(**json.loads((tmp_path / "run" / "config.json").read_text())["recipe"])
    assert {name: getattr(again, name) for name in ablated} == ablated


def test_a_network_without_se_learns_and_has_no_gates_to_show(recipe, tmp_path):
    training.train(dataclasses.replace(recipe, epochs=1, attention=None), tmp_path / "run")
    assert {folder.name for folder in (tmp_path / "run" / "logs").iterdir()} == {"train", "validation", "images"}


def test_training_can_start_from_weights(run_folder, recipe, tmp_path):
    further = dataclasses.replace(recipe, weights=str(run_folder / "last.keras"), epochs=1, learning_rate=0.0)
    measured = training.train(further, tmp_path / "further")
    first = json.loads((run_folder / "metrics.json").read_text())["last"]
    # With a learning rate of 0 only the moving statistics change.
    trained, start = (keras.saving.load_model(folder / "last.keras") for folder in (tmp_path / "further", run_folder))
    for one, other in zip(trained.trainable_weights, start.trainable_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert measured["last"]["images"] == first["images"] == 60


def test_the_step_schedule_is_the_papers():
    # 0.6, divided by 10 every 30 of 100 epochs.
    recipe = training.Recipe("SEResNet50", "imagenet2012")
    schedule = learning_rate(recipe, steps_per_epoch=10)
    rates = [float(schedule(10 * epoch + 5)) for epoch in (0, 29, 30, 59, 60, 89, 90, 99)]
    assert rates == pytest.approx([0.6, 0.6, 0.06, 0.06, 0.006, 0.006, 0.0006, 0.0006])


def test_the_cosine_schedule_warms_up_and_ends_at_zero():
    recipe = training.Recipe("SEResNet50", "digits", epochs=10, schedule="cosine", warmup_epochs=2, learning_rate=1.0)
    schedule = learning_rate(recipe, steps_per_epoch=10)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[0] == pytest.approx(1 / 20)
    assert (np.diff(rates[:18]) > 0).all()
    assert (np.diff(rates[20:]) < 0).all()
    np.testing.assert_allclose(rates[20:], (1 + np.cos(np.pi * np.arange(20, 101) / 100)) / 2, atol=1e-6)
    copy = WarmUp.from_config(schedule.get_config())
    assert float(copy(37)) == float(schedule(37))


def test_weight_decay_shrinks_kernels_only_and_as_fast_as_the_papers():
    recipe = training.Recipe("SEResNet20", "digits", epochs=10_000)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    sgd = optimizer(recipe, steps_per_epoch=1000)
    variables = network.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    paper, velocity = 1.0, 0.0
    for _ in range(500):
        sgd.apply([np.zeros(variable.shape, "float32") for variable in variables], variables)
        velocity = 0.9 * velocity - 0.6 * 1e-4 * paper
        paper += velocity
    kernel, *others = (keras.ops.convert_to_numpy(variable) for variable in variables)
    assert np.log(kernel.mean()) == pytest.approx(np.log(paper), rel=0.05)
    assert all((other == 1).all() for other in others)


@pytest.mark.slow
def test_label_smoothing_spreads_each_label(recipe, tmp_path):
    smooth = {"weights": str(DEMO / "model.keras"), "image_size": 32, "epochs": 1, "learning_rate": 0.0}
    losses = []
    for label_smoothing in (0.0, 0.5):
        folder = tmp_path / str(label_smoothing)
        training.train(dataclasses.replace(recipe, label_smoothing=label_smoothing, **smooth), folder)
        losses.append(float(next(csv.DictReader((folder / "history.csv").open()))["val_loss"]))
    # A network that is sure pays for the half of a label that is spread: at least the entropy of such a label.
    label = np.array([0.55] + [0.05] * 9)
    assert losses[0] < 0.5 < -(label * np.log(label)).sum() <= losses[1]


def test_a_folder_that_holds_a_run_is_left_alone(run_folder, recipe):
    before = {file: file.stat().st_mtime_ns for file in run_folder.rglob("*")}
    with pytest.raises(ValueError, match="not empty"):
        training.train(recipe, run_folder)
    assert {file: file.stat().st_mtime_ns for file in run_folder.rglob("*")} == before


def test_a_mistake_in_the_recipe_leaves_no_folder(recipe, tmp_path):
    for mistake in (
        {"model": "SEResNet21"},
        {"dataset": "digitz"},
        {"batch_size": 1000},
        {"weights": "none.keras"},
        {"model": "SEVGG16", "stochastic_depth": 0.1},
    ):
        with pytest.raises((ValueError, FileNotFoundError)):
            training.train(dataclasses.replace(recipe, **mistake), tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "mistake", [{"epochs": 0}, {"momentum": 1.0}, {"schedule": "linear"}, {"warmup_epochs": 101}, {"epochs": "3"}]
)
def test_a_recipe_says_what_it_accepts(mistake):
    with pytest.raises(ValueError, match=f"`{next(iter(mistake))}` (must be|has a value of the wrong type)"):
        training.Recipe("SEResNet20", "digits", **mistake)


def test_a_loss_that_is_no_number_ends_the_run(recipe, tmp_path):
    with pytest.raises(ValueError, match="lower the learning rate"):
        training.train(dataclasses.replace(recipe, learning_rate=1e30), tmp_path / "nan")
    assert not (tmp_path / "nan" / "last.keras").exists()


def test_damaged_images_are_named_in_the_report_of_a_resumed_run_too(recipe, many_images, tmp_path):
    damaged = many_images / "dark" / "3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:700])
    once = dataclasses.replace(recipe, dataset=str(many_images), train_split="train", held_out_split="held-out", epochs=1)
    whole = damaged.with_stem("4").read_bytes()
    with pytest.warns(UserWarning, match="3.jpg"):
        training.train(once, tmp_path / "run")
    for resumed in (False, True):
        if resumed:
            damaged.write_bytes(whole)
            (tmp_path / "run" / "damaged.txt").unlink()
            training.train(once, tmp_path / "run", resume=True)
        assert (tmp_path / "run" / "damaged.txt").read_text() == f"{damaged}\n"
        assert str(damaged) in (tmp_path / "run" / "report.md").read_text()
        assert "1 were left out" in (tmp_path / "run" / "report.md").read_text()
