"""Training runs: what they keep, that they can be repeated, and how they end when something goes wrong."""

import json

import keras
import numpy as np
import pytest
from common import history

from keras_senet import data, training
from keras_senet.inference.preprocessing import preprocessing_for
from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS
from keras_senet.models.vgg import VGG, features
from keras_senet.training.callbacks.divergence import EndOnDivergence
from keras_senet.training.losses import loss
from keras_senet.training.network import build, training_model
from keras_senet.training.optimizers import WarmUp, learning_rate, optimizer


def weights(path):
    return keras.saving.load_model(path).get_weights()


@pytest.mark.slow
def test_a_run_folder_holds_all_of_the_run(run_folder, tiny_recipe):
    names = {file.name for file in run_folder.iterdir()}
    assert names == {
        *("config.json", "history.csv", "labels.txt", "learning_curve.png", "logs", "metrics.json", "report.md", "states"),
        *("best.keras", "last.keras", "confusion.png", "mistakes.png"),
    }
    config = json.loads((run_folder / "config.json").read_text())
    assert training.Recipe.of(**config["recipe"]) == tiny_recipe
    assert config["versions"]["keras"] == keras.__version__
    rows = history(run_folder)
    measured = json.loads((run_folder / "metrics.json").read_text())
    assert len(rows) == tiny_recipe.epochs
    assert measured["last"]["top1"] == pytest.approx(float(rows[-1]["val_top1"]), abs=1e-6)
    assert measured["best"]["top1"] == pytest.approx(max(float(row["val_top1"]) for row in rows), abs=1e-6)
    assert measured["last"]["images"] == measured["best"]["images"] == 60
    assert (run_folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    logs = {file.parent.name for file in (run_folder / "logs").glob("*/events.out.tfevents*")}
    assert logs == {"train", "validation", "images", "gates"}


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_and_is_the_first_such(tmp_path):
    folder = training.RunFolder(tmp_path)
    assert folder.epochs() == []
    rows = ("0.9,0.2", "0.95,0.4", "0.95,0.3", "0.95,0.3", "0.9,0.1")
    folder.history.write_text("epoch,val_top1,val_loss\n" + "".join(f"{epoch},{row}\n" for epoch, row in enumerate(rows)))
    assert (folder.best_epoch(), folder.last_epoch()) == (3, 5)


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_network(tiny_run, tiny_recipe, tmp_path):
    # Also where the data is prepared first, which draws random numbers.
    training.train(tiny_recipe.replace(data_dir=str(tmp_path / "new")), tmp_path / "again")
    for one, again in zip(weights(tiny_run / "last.keras"), weights(tmp_path / "again" / "last.keras"), strict=True):
        np.testing.assert_array_equal(one, again)


@pytest.mark.slow
def test_without_a_report_a_run_ends_with_its_networks(tiny_run):
    names = {file.name for file in tiny_run.iterdir()}
    assert names == {
        *("config.json", "history.csv", "labels.txt", "learning_curve.png", "logs", "states", "best.keras", "last.keras"),
    }


def smoothed_cross_entropy(label_smoothing, labels, probabilities):
    """Of each image: the label is spread over all classes to that share."""
    spread = labels * (1 - label_smoothing) + label_smoothing / labels.shape[1]
    return -(spread * np.log(probabilities)).sum(axis=1)


@pytest.mark.slow
def test_a_recipe_takes_the_ablations_of_the_paper_and_label_smoothing(tiny_recipe, digits, tmp_path):
    ablated = {"reduction": 4, "squeeze": "max", "gate": "tanh", "attention_position": "3x3", "attention_stages": (3,)}
    recipe = tiny_recipe.replace(epochs=1, label_smoothing=0.5, **ablated)
    training.train(recipe, tmp_path / "run")
    network = keras.saving.load_model(tmp_path / "run" / "last.keras")
    attending = [layer for layer in network.layers if layer.name.endswith("_se")]
    assert [layer.name for layer in attending] == ["stage3_block1_se"]
    assert {(layer.reduction, layer.squeeze, layer.gate) for layer in attending} == {(4, "max", keras.activations.tanh)}
    again = training.Recipe.of(**json.loads((tmp_path / "run" / "config.json").read_text())["recipe"])
    assert {name: again.flat()[name] for name in ablated} == ablated

    ((pixels, labels),) = data.evaluation_batches(digits("test[:60]"), preprocessing_for(network), 60)
    expected = smoothed_cross_entropy(0.5, labels.numpy(), network(pixels).numpy()).mean()
    assert float(history(tmp_path / "run")[0]["val_loss"]) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_spreads_each_label():
    random = np.random.default_rng(0)
    labels, probabilities = np.eye(10)[random.integers(0, 10, 8)], random.dirichlet(np.ones(10), 8)
    for label_smoothing in (0.0, 0.1, 0.5):
        measured = loss(training.Recipe.of("SEResNet20", "digits", label_smoothing=label_smoothing))(labels, probabilities)
        expected = smoothed_cross_entropy(label_smoothing, labels, probabilities).mean()
        assert float(measured) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_network_without_se_learns_and_has_no_gates_to_show(tiny_recipe, tmp_path):
    training.train(tiny_recipe.replace(epochs=1, attention=None), tmp_path / "run")
    assert {folder.name for folder in (tmp_path / "run" / "logs").iterdir()} == {"train", "validation", "images"}


@pytest.mark.slow
def test_training_can_start_from_weights(tiny_run, tiny_recipe, tmp_path):
    further = tiny_recipe.replace(weights=str(tiny_run / "last.keras"), epochs=1, learning_rate=0.0)
    training.train(further, tmp_path / "further")
    # With a learning rate of 0 only the moving statistics change.
    trained, start = (keras.saving.load_model(folder / "last.keras") for folder in (tmp_path / "further", tiny_run))
    for one, other in zip(trained.trainable_weights, start.trainable_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_step_schedule_is_the_papers():
    # 0.6, divided by 10 every 30 of 100 epochs.
    recipe = training.Recipe.of("SEResNet50", "imagenet2012")
    schedule = learning_rate(recipe, steps_per_epoch=10)
    rates = [float(schedule(10 * epoch + 5)) for epoch in (0, 29, 30, 59, 60, 89, 90, 99)]
    assert rates == pytest.approx([0.6, 0.6, 0.06, 0.06, 0.006, 0.006, 0.0006, 0.0006])


def test_the_cosine_schedule_warms_up_and_ends_at_zero():
    recipe = training.Recipe.of("SEResNet50", "digits", epochs=10, schedule="cosine", warmup_epochs=2, learning_rate=1.0)
    schedule = learning_rate(recipe, steps_per_epoch=10)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[0] == pytest.approx(1 / 20)
    assert (np.diff(rates[:18]) > 0).all()
    assert (np.diff(rates[20:]) < 0).all()
    np.testing.assert_allclose(rates[20:], (1 + np.cos(np.pi * np.arange(20, 101) / 100)) / 2, atol=1e-6)
    copy = WarmUp.from_config(schedule.get_config())
    assert float(copy(37)) == float(schedule(37))


def test_float16_keeps_the_gradients_of_a_small_loss(tiny_recipe):
    """A loss of 1e-4 times the usual stands for that of a network that has learned: without a scale two thirds of the gradient
    are lost."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (32, 8, 8, 3)), np.eye(10)[random.integers(0, 10, 32)]
    first_steps = []
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        recipe = tiny_recipe.replace(dtype_policy=policy, weight_decay=0.0)
        model = training_model(build(recipe, 10), recipe)
        model.compile(optimizer(recipe, 8, model), "categorical_crossentropy", jit_compile=False)
        model.train_on_batch(images, labels, sample_weight=np.full(32, 1e-4))
        velocities = [np.ravel(variable) for variable in model.optimizer.variables if variable.path.endswith("_momentum")]
        first_steps.append(np.concatenate(velocities))
    exact, half = first_steps
    assert np.linalg.norm(half - exact) < 0.05 * np.linalg.norm(exact)


def test_a_scale_of_the_loss_that_keeps_falling_ends_the_run():
    """Because every step is skipped: the network would not learn, and its loss would look healthy."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(optimizer(training.Recipe.of("SEResNet20", "digits", dtype_policy="mixed_float16"), 8, model))
    model.optimizer.build(model.trainable_variables)
    end = EndOnDivergence(state=None)
    end.set_model(model)
    end.on_epoch_end(0)
    model.optimizer.dynamic_scale.assign(0.5)
    with pytest.raises(training.DivergedError, match="gradients of most steps were not finite at the end of epoch 2"):
        end.on_epoch_end(1)


def test_weight_decay_shrinks_kernels_only_and_as_fast_as_the_papers():
    recipe = training.Recipe.of("SEResNet20", "digits", epochs=10_000)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    sgd = optimizer(recipe, steps_per_epoch=1000, model=network)
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


def test_a_folder_that_holds_a_run_is_left_alone(recipe, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"recipe": recipe.flat()}))
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    with pytest.raises(ValueError, match="not empty"):
        training.train(recipe, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"model": "SEResNet21"}, "There is no model 'SEResNet21'"),
        ({"dataset": "digitz"}, "digitz"),
        ({"batch_size": 1000}, "A batch of 1000 needs more images than the 128 there are"),
        ({"weights": "none.keras"}, "none.keras"),
        ({"model": "SEVGG16", "drop_path": 0.1}, "networks of residual branches"),
    ],
)
def test_a_mistake_in_the_recipe_leaves_no_folder(tiny_recipe, tmp_path, monkeypatch, mistake, said):
    monkeypatch.setitem(MODELS, "SEVGG16", None)  # which puts it back after the test
    constructor("SEVGG16", VGG(depths=(1,), widths=(16,), stages=(1,), fully_connected=(8,), min_size=8), features, "Small.")
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        training.train(tiny_recipe.replace(**mistake), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "mistake", [{"epochs": 0}, {"momentum": 1.0}, {"schedule": "linear"}, {"warmup_epochs": 101}, {"epochs": "3"}]
)
def test_a_recipe_says_what_it_accepts(mistake):
    with pytest.raises(ValueError, match=f"`{next(iter(mistake))}` (must be|has a value of the wrong type)"):
        training.Recipe.of("SEResNet20", "digits", **mistake)


@pytest.mark.slow
def test_damaged_images_are_named_in_the_report_of_a_resumed_run_too(tiny_recipe, many_images, tmp_path):
    damaged = many_images / "dark" / "3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:700])
    splits = {"train_split": "train", "validation_split": "validation"}
    once = tiny_recipe.replace(dataset=str(many_images), epochs=1, **splits)
    whole = damaged.with_stem("4").read_bytes()
    with pytest.warns(UserWarning, match="3.jpg"):
        training.report(training.train(once, tmp_path / "run"))
    for resumed in (False, True):
        if resumed:
            damaged.write_bytes(whole)
            (tmp_path / "run" / "damaged.txt").unlink()
            training.report(training.train(once, tmp_path / "run", resume=True))
        assert (tmp_path / "run" / "damaged.txt").read_text() == f"{damaged}\n"
        assert str(damaged) in (tmp_path / "run" / "report.md").read_text()
        assert "1 were left out" in (tmp_path / "run" / "report.md").read_text()
