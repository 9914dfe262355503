"""Work is never lost: runs that are killed, asked to end, or meet a full disk go on as if nothing had happened."""

import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from common import ROOT, history
from observed import SignalAt

from keras_senet import cli, training
from keras_senet.errors import HungUp
from keras_senet.training.callbacks.signals import EndOnSignal
from keras_senet.training.devices import Devices
from keras_senet.training.evaluation import metrics
from keras_senet.training.network import training_model
from keras_senet.training.optimizers import optimizer
from keras_senet.training.state import named_variables, newest_state, read_state, restore, save_state


@pytest.fixture(scope="module")
def rich(tiny_recipe):
    """A recipe in which all that a state must hold takes part."""
    return tiny_recipe.replace(
        epochs=3,
        batch_size=16,
        drop_path=0.2,
        ema_decay=0.9,
        schedule="plateau",
        rand_augment_magnitude=7.0,
        mixup_alpha=0.2,
        cutmix_alpha=1.0,
    )


@pytest.fixture(scope="module")
def whole(rich, tmp_path_factory):
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    training.train(rich, folder)
    return folder


def start(*arguments) -> subprocess.Popen:
    """A new process that runs Python code."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-c", *map(str, arguments)],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell hand on that Ctrl-C is to be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def assert_equal_runs(one, other):
    """To the last bit in the final state, the networks and the history; only times may differ."""
    (progress, values), (expected_progress, expected) = (read_state(newest_state(folder / "states")) for folder in (one, other))
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, expected[name], name)
    for name in ("epoch", "step", "best", "best_epoch", "damaged", "plateau"):
        assert progress[name] == expected_progress[name]
    for name in ("last.keras", "best.keras"):
        networks = [keras.saving.load_model(folder / name).get_weights() for folder in (one, other)]
        for value, expected_value in zip(*networks, strict=True):
            np.testing.assert_array_equal(value, expected_value)
    timeless = [
        [{name: value for name, value in row.items() if name not in ("seconds", "images_per_second")} for row in history(folder)]
        for folder in (one, other)
    ]
    assert timeless[0] == timeless[1]


SLOWLY = """
import pathlib, sys, time
import keras, tiny_network
from keras_senet import training
wait = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.05))
with tiny_network.registered():
    training.train(training.read_recipe(sys.argv[1]), sys.argv[2], save_every=3, callbacks=[wait])
"""


@pytest.mark.slow
def test_a_run_that_was_killed_ends_like_one_that_was_not(rich, whole, tmp_path):
    folder = tmp_path / "killed"
    run = start(SLOWLY, whole / "config.json", folder)
    until(lambda: newest_state(folder / "states"))
    time.sleep(random.uniform(0, 0.8))  # at a step that nobody chose, of those that take 1.2 s
    run.kill()
    _, errors = run.communicate()
    assert run.returncode == -signal.SIGKILL, errors
    assert read_state(newest_state(folder / "states"))[0]["epoch"] < 3
    training.train(rich, folder, resume=True)
    assert_equal_runs(folder, whole)
    assert len(list((folder / "states").iterdir())) == 3


# That a hangup has an error and a status of its own is seen without a process below.
@pytest.mark.slow
@pytest.mark.parametrize(
    "asked", [signal.SIGTERM, *(pytest.param(other, marks=pytest.mark.exhaustive) for other in (signal.SIGHUP, signal.SIGINT))]
)
def test_a_signal_saves_and_says_so(recipe, digits, tmp_path, asked):
    digits("train")
    config, folder = tmp_path / "config.json", tmp_path / "asked"
    config.write_text(json.dumps({"recipe": recipe.replace(epochs=1000).flat()}))
    run = start("import keras_senet_command as c; c.main()", "train", f"--config={config}", f"--output={folder}")
    until(lambda: newest_state(folder / "states"))
    run.send_signal(asked)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 128 + asked, errors
    assert errors.count("\n") == 1
    state = newest_state(folder / "states")
    epoch = read_state(state)[0]["epoch"]
    assert errors == (
        f"keras-senet: Stopped. The network after epoch {epoch} is {folder / 'last.keras'}. --resume goes on from {state}.\n"
    )
    assert not [name for name in os.listdir(folder) if "partial" in name]


@pytest.mark.parametrize(
    "stops",
    [
        # One after the other in one run, where the method's calls are counted anew each time that the run goes on.
        pytest.param(
            [("on_train_batch_end", 11, 1, 3), ("on_test_batch_end", 3, 1, 8), ("on_epoch_end", 1, 2, 0)],
            marks=pytest.mark.slow,
            id="each",
        ),
        *(
            pytest.param([stop], marks=pytest.mark.exhaustive, id="-".join(map(str, stop)))
            for stop in (
                ("on_train_batch_end", 1, 0, 1),
                ("on_train_batch_end", 11, 1, 3),
                ("on_train_batch_end", 16, 1, 8),
                ("on_test_batch_end", 7, 1, 8),
                ("on_test_batch_end", 12, 2, 8),
                ("on_epoch_end", 2, 2, 0),
                ("on_epoch_end", 3, 3, 0),
            )
        ),
    ],
)
def test_a_run_goes_on_from_any_place(rich, whole, tmp_path, stops):
    """In the midst of an epoch of eight steps, in the midst of its evaluation of four, and at its end."""
    folder = tmp_path / "stopped"
    for place, n, epoch, step in stops:
        with pytest.raises(training.Terminated, match="resume goes on from"):
            training.train(rich, folder, callbacks=[SignalAt(place, n)], resume=folder.exists())
        progress, _ = read_state(newest_state(folder / "states"))
        assert (progress["epoch"], progress["step"]) == (epoch, step)
    training.train(rich, folder, resume=True)
    assert_equal_runs(folder, whole)


@pytest.mark.slow
def test_a_run_in_float16_goes_on_with_the_scale_of_its_loss(tiny_recipe, tmp_path):
    recipe = tiny_recipe.replace(dtype_policy="mixed_float16")

    class Scale(keras.callbacks.Callback):
        """Lets the scale be another than at first before the run is stopped."""

        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                self.model.optimizer.dynamic_scale.assign(1024.0)

    training.train(recipe, tmp_path / "whole", callbacks=[Scale()])
    with pytest.raises(training.Terminated):
        training.train(recipe, tmp_path / "stopped", callbacks=[Scale(), SignalAt("on_train_batch_end", 2)])
    training.train(recipe, tmp_path / "stopped", resume=True)
    assert_equal_runs(tmp_path / "stopped", tmp_path / "whole")
    assert read_state(newest_state(tmp_path / "stopped" / "states"))[1]["loss_scale/dynamic_scale"] == 1024


def test_a_hangup_ends_a_run_but_for_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        one = Devices()
        with EndOnSignal(None, None, None, one) as ignoring:
            os.kill(os.getpid(), signal.SIGHUP)
        assert ignoring.received is None
        signal.signal(signal.SIGHUP, lambda *_: None)
        with pytest.raises(HungUp) as raised, EndOnSignal(None, None, None, one):
            os.kill(os.getpid(), signal.SIGHUP)
        assert raised.value.status == 128 + signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_ctrl_c_ends_a_run_with_its_own_error(tiny_recipe, tmp_path, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background has not
    try:
        with pytest.raises(KeyboardInterrupt, match="Stopped. --resume goes on from") as raised:
            training.train(tiny_recipe, tmp_path / "run", callbacks=[SignalAt("on_train_batch_end", 1, signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert raised.type is KeyboardInterrupt


class FullDisk(keras.callbacks.Callback):
    """From the end of an epoch on, no file of this process can grow larger than so many bytes."""

    def __init__(self, epoch: int, bytes_left: int):
        super().__init__()
        self.epoch, self.bytes_left = epoch, bytes_left

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epoch:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.bytes_left, hard))


@pytest.fixture
def disk():
    """Function from an epoch and a number of bytes to the callback that fills the disk; after the test it is empty again."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield FullDisk
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epoch", "network_fits", "left"),
    [
        (1, True, "The network after epoch 1 is {folder}/last.keras. No state was saved, so --resume begins the run anew."),
        pytest.param(
            *(1, False, "{folder} holds no network of this run. No state was saved, so --resume begins the run anew."),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            *(2, True, "The network after epoch 2 is {folder}/last.keras. --resume goes on from {state}."),
            marks=pytest.mark.exhaustive,
        ),
        (2, False, "The network after epoch 1 is {folder}/last.keras. --resume goes on from {state}."),
    ],
)
def test_a_full_disk_leaves_what_was_there_before_and_says_what_that_is(
    tiny_recipe, tiny_run, disk, tmp_path, epoch, network_fits, left
):
    # With the moments of its optimizer and the averages a state is larger than the network.
    recipe = tiny_recipe.replace(optimizer="adamw", ema_decay=0.9)
    folder = tmp_path / "full"
    full = disk(epoch, int((1.1 if network_fits else 0.5) * (tiny_run / "last.keras").stat().st_size))
    with pytest.raises(OSError, match="could not be written: File too large") as raised:
        training.train(recipe, folder, callbacks=[full])
    state = folder / "states" / "epoch00001-step0000000.npz"
    assert str(raised.value).endswith(left.format(folder=folder, state=state))
    assert [file for file in folder.glob("**/*") if "partial" in file.name] == []
    assert list(folder.glob("states/*")) == [state] * (epoch - 1)
    if epoch == 2:
        assert read_state(state)[0]["epoch"] == 1
    if network_fits:
        keras.saving.load_model(folder / "last.keras")


@pytest.mark.slow
def test_a_run_without_a_state_begins_anew(tiny_recipe, tiny_run, tmp_path):
    """As a disk that is full after the first epoch leaves it."""
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(folder / "states")
    (folder / "history.csv").unlink()
    training.train(tiny_recipe, folder, resume=True)
    assert_equal_runs(folder, tiny_run)


def test_another_run_is_not_resumed(tiny_recipe, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"recipe": tiny_recipe.flat()}))
    for change in ({"model": "SEResNet32"}, {"seed": 5}, {"epochs": 1}):
        name = next(iter(change))
        with pytest.raises(ValueError, match=f"has {name}={getattr(tiny_recipe, name)!r}, so it cannot go on with {name}="):
            training.train(tiny_recipe.replace(**change), folder, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        training.train(tiny_recipe, tmp_path, resume=True)


@pytest.fixture
def begun(tiny_recipe, tmp_path):
    """Function from a recipe to a folder with the config.json and the beginning of a state of its run."""

    def begin(recipe) -> pathlib.Path:
        folder = tmp_path / "begun"
        (folder / "states").mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"recipe": recipe.flat()}))
        progress = {"epoch": 1, "step": 0, "recipe": recipe.flat()}
        save_state(folder / "states", {"x": keras.Variable(np.zeros(1))}, progress, keep=1)
        return folder

    return begin


def test_a_config_edited_by_hand_does_not_change_a_run_in_silence(tiny_recipe, begun):
    folder = begun(tiny_recipe)
    edited = tiny_recipe.replace(learning_rate=0.7)
    (folder / "config.json").write_text(json.dumps({"recipe": edited.flat()}))
    with pytest.raises(ValueError, match="has learning_rate=0.1, so it cannot go on with learning_rate=0.7"):
        training.train(edited, folder, resume=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not the config.json of a run"),
        (b"\xff\xfe\xfa", "is not the config.json of a run"),
        ('{"recipe": [1]}', "is not the config.json of a run"),
        ('{"recipe": {"model": "SETiny"}}', "lacks settings: dataset"),
        (
            '{"recipe": {"model": "SEResNet20", "dataset": "digits", "epochs": "ten"}}',
            "config.json: `epochs` has a value of the wrong",
        ),
        ('{"recipe": {"model": "SETiny", "dataset": "digits", "epoch": 10}}', "settings that this version does not know: epoch"),
        ('{"recipe": {"model": "SEResNet20", "dataset": "digits"}, "saving": {"save_every": "1"}}', "must be numbers"),
    ],
)
def test_a_config_edited_by_hand_is_one_line(fails, tmp_path, content, said):
    (tmp_path / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in fails("train", "--resume", "--output", tmp_path)


def test_resume_needs_no_flag_but_the_folder(tiny_recipe, begun, tmp_path, fails, monkeypatch):
    folder, calls = begun(tiny_recipe), []
    config = json.loads((folder / "config.json").read_text()) | {"saving": {"save_every": 100, "keep_states": 7}}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(training, "train", lambda *arguments, **options: calls.append((*arguments, options)))
    cli.main(["train", "--resume", "--output", str(folder)])
    cli.main(["train", "--resume", "--output", str(folder), "--save-every", "5", "--epochs", "40"])
    options = {"resume": True, "strategy": "auto", "save_every": 100, "keep_states": 7}
    assert calls[0] == (tiny_recipe, str(folder), options)
    assert calls[1] == (tiny_recipe.replace(epochs=40), str(folder), options | {"save_every": 5})
    assert "give --model and --dataset" in fails("train", "--resume", "--output", tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schedule": "cosine"}, "schedule='cosine'"),
        ({}, "schedule='step' without decay_boundaries"),
        ({"schedule": "plateau", "freeze_bn_epochs": 1}, "freeze_bn_epochs=1"),
    ],
)
def test_more_epochs_than_a_schedule_is_for_are_refused_with_the_command_that_does(tiny_recipe, begun, change, reason):
    recipe = tiny_recipe.replace(**change)
    folder = begun(recipe)
    command = f"train --config {folder}/config.json --weights {folder}/last.keras --epochs 3 --output {folder}-longer"
    with pytest.raises(ValueError, match=re.escape(f"has epochs=2, on which {reason} depends. ")) as raised:
        training.train(recipe.replace(epochs=5), folder, resume=True)
    assert str(raised.value).endswith(f"keras-senet {command}")


@pytest.mark.slow
def test_a_finished_run_goes_on_to_more_epochs_as_if_it_had_been_asked_for_them_at_first(rich, whole, tmp_path):
    folder = tmp_path / "longer"
    training.train(rich.replace(epochs=2), folder)
    training.train(rich, folder, resume=True)
    assert_equal_runs(folder, whole)
    assert training.read_recipe(folder / "config.json").epochs == 3


def compiled(recipe):
    """The model of a run as it is when its variables get their names, and its metrics."""
    model = training_model(training.build(recipe, 10), recipe)
    model.compile(optimizer(recipe, 8, model), "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model, metrics(10)


@pytest.mark.slow
def test_a_state_that_does_not_fit_is_refused(tiny_recipe, tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    state = newest_state(folder / "states")
    whole = state.read_bytes()
    progress, values = read_state(state)

    def refused(said):
        with pytest.raises(ValueError, match=said):
            training.train(tiny_recipe, folder, resume=True)

    np.savez(state, progress=json.dumps(progress), **{name: value for name, value in values.items() if "_se" not in name})
    refused(
        f"{state} is the state of another network or optimizer: 16 of its variables do not fit this run. The first one, "
        r"sgd/.*stage2_block1_se_expand_bias_momentum, has the shape none there and \(16,\) here."
    )
    np.savez(state, progress=json.dumps(progress), **{str(index): value for index, value in enumerate(values.values())})
    refused(f"{state} was saved by an older version of keras-senet, which numbered the variables.")
    state.write_bytes(whole[:5000])
    refused(f"{state} is damaged: remove it")


def test_a_state_is_restored_by_the_names_of_variables_not_by_their_order(tmp_path):
    def variables(*names):
        return {name: keras.Variable(np.zeros(3), name=name.replace("/", "_")) for name in names}

    saved = variables("stem/gamma", "stem/beta")
    saved["stem/gamma"].assign([1, 2, 3])
    save_state(tmp_path, saved, {"epoch": 1, "step": 0}, keep=1)
    _, values = read_state(newest_state(tmp_path))
    swapped = variables("stem/beta", "stem/gamma")
    restore(swapped, values, tmp_path)
    np.testing.assert_array_equal(swapped["stem/gamma"], [1, 2, 3])
    np.testing.assert_array_equal(swapped["stem/beta"], [0, 0, 0])
    with pytest.raises(ValueError, match="2 of its variables do not fit this run. The first one, head/beta, has the shape none"):
        restore(variables("stem/gamma", "head/beta"), values, tmp_path)


def test_every_variable_has_a_name_of_its_own_whatever_was_built_before(rich):
    first, again = (named_variables(*compiled(rich)) for _ in range(2))
    assert list(first) == list(again)
    assert {"stage3_block1_drop_path/seed_generator_state", "sgd/iteration", "top1/total", "stem_conv/kernel"} <= first.keys()
    assert len({id(variable) for variable in first.values()}) == len(first)


def test_two_variables_of_one_name_are_refused(tiny_recipe):
    model, measured = compiled(tiny_recipe)
    with pytest.raises(ValueError, match="Two variables are named top1/total"):
        named_variables(model, [*measured, *metrics(10)])


class Poison(keras.callbacks.Callback):
    """Makes the weights infinite after the second step, when its loss is still a number."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            variable = self.model.trainable_variables[0]
            variable.assign(np.full(variable.shape, np.inf))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learning_rate", "callbacks", "said"),
    [(1e20, [], r"The loss became (nan|inf) at step \d"), (0.1, [Poison()], "stem_conv/kernel became infinite .* at step 2")],
)
def test_a_number_that_is_none_ends_the_run_and_keeps_the_last_good_state(tiny_recipe, tmp_path, learning_rate, callbacks, said):
    recipe = tiny_recipe.replace(learning_rate=learning_rate)
    with pytest.raises(training.DivergedError, match=rf"{said} of epoch 1: lower the learning rate.* --resume goes on from"):
        training.train(recipe, tmp_path / "nan", save_every=1, callbacks=callbacks)
    for state in (tmp_path / "nan" / "states").iterdir():
        assert all(np.isfinite(value).all() for value in read_state(state)[1].values())
    assert not (tmp_path / "nan" / "last.keras").exists()
