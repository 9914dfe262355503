"""Work is never lost: runs that are killed, asked to end, or meet a full disk go on as if nothing had happened."""

import csv
import dataclasses
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_senet import training
from keras_senet.training.state import newest_state, read_state

train_module = sys.modules["keras_senet.training.train"]


@pytest.fixture(scope="module")
def rich(recipe, digits):
    """A recipe in which all that a state must hold takes part."""
    digits("train")
    return dataclasses.replace(
        recipe,
        epochs=3,
        batch_size=16,
        stochastic_depth=0.2,
        ema=0.9,
        schedule="plateau",
        rand_augment=7.0,
        mixup=0.2,
        cutmix=1.0,
    )


@pytest.fixture(scope="module")
def whole(rich, tmp_path_factory):
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    training.train(rich, folder)
    return folder


def start(recipe, folder, *flags, code="") -> subprocess.Popen:
    """The run as a process of its own, as from the command line."""
    config = folder.with_suffix(".json")
    config.write_text(json.dumps({"recipe": dataclasses.asdict(recipe)}))
    code += "import keras_senet_command as c; c.main()"
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", f"--config={config}", f"--output={folder}", *flags],
        env=environment,
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
    states = [read_state(newest_state(folder / "states")) for folder in (one, other)]
    for values, expected in zip(*(values for _, values in states), strict=True):
        np.testing.assert_array_equal(values, expected)
    for name in ("last.keras", "best.keras"):
        networks = [keras.saving.load_model(folder / name).get_weights() for folder in (one, other)]
        for values, expected in zip(*networks, strict=True):
            np.testing.assert_array_equal(values, expected)
    histories = [list(csv.DictReader((folder / "history.csv").open())) for folder in (one, other)]
    for row in itertools.chain(*histories):
        del row["seconds"], row["images_per_second"]
    assert histories[0] == histories[1]
    assert (one / "metrics.json").read_text() == (other / "metrics.json").read_text()


@pytest.mark.slow
def test_a_run_that_was_killed_ends_like_one_that_was_not(rich, whole, tmp_path):
    folder = tmp_path / "killed"
    run = start(rich, folder, "--save-every=3")
    until(lambda: newest_state(folder / "states"))
    time.sleep(random.uniform(0, 2))  # at a step that nobody chose
    run.kill()
    run.communicate()
    assert not (folder / "metrics.json").exists()
    training.train(rich, folder, resume=True)
    assert_equal_runs(folder, whole)
    assert len(list((folder / "states").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_so(rich, whole, tmp_path, asked):
    folder = tmp_path / "asked"
    run = start(rich, folder)
    until(lambda: newest_state(folder / "states"))
    run.send_signal(asked)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 128 + asked, errors
    assert errors.count("\n") == 1
    assert f"keras-senet: Stopped. The network after epoch 1 is {folder / 'last.keras'}. --resume goes on from" in errors
    assert str(newest_state(folder / "states")) in errors
    assert not [name for name in os.listdir(folder) if "partial" in name]
    if asked == signal.SIGTERM:  # what follows is the same
        training.train(rich, folder, resume=True)
        assert_equal_runs(folder, whole)


@pytest.mark.parametrize("batch", ["on_train_batch_end", "on_test_batch_end"])
def test_a_run_goes_on_from_any_place(rich, whole, tmp_path, monkeypatch, batch):
    """In the midst of an epoch, and in the midst of its evaluation."""
    folder = tmp_path / "stopped"
    real = getattr(train_module._Run, batch)

    def ask(self, number, logs=None):
        if self.epoch == 1 and number == 2:
            self.asked = training.Terminated
        real(self, number, logs)

    monkeypatch.setattr(train_module._Run, batch, ask)
    with pytest.raises(training.Terminated, match="resume goes on from"):
        training.train(rich, folder)
    monkeypatch.undo()
    progress, _ = read_state(newest_state(folder / "states"))
    assert (progress["epoch"], progress["step"]) == (1, {"on_train_batch_end": 3, "on_test_batch_end": 8}[batch])
    training.train(rich, folder, resume=True)
    assert_equal_runs(folder, whole)


def test_a_full_disk_leaves_the_state_before(recipe, tmp_path):
    folder = tmp_path / "full"
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from keras_senet.training import state; save = state.np.savez\n"
        "def fill(*a, **k):\n"
        "    if list(state.pathlib.Path(sys.argv[-1].split('=')[1]).glob('states/epoch*')):\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    save(*a, **k)\n"
        "state.np.savez = fill\n"
    )
    run = start(recipe, folder, code=code)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 2, errors
    last = errors.splitlines()[-1]
    assert "could not be written: File too large" in last
    assert "--resume goes on from" in last
    assert [file.name for file in (folder / "states").iterdir()] == ["epoch00001-step0000000.npz"]
    read_state(newest_state(folder / "states"))


def test_another_run_is_not_resumed(run_folder, recipe, tmp_path):
    for change in ({"model": "SEResNet32"}, {"seed": 5}, {"epochs": 7}):
        name = next(iter(change))
        with pytest.raises(ValueError, match=f"has {name}={getattr(recipe, name)!r}, so it cannot go on with {name}="):
            training.train(dataclasses.replace(recipe, **change), run_folder, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        training.train(recipe, tmp_path, resume=True)


def test_a_state_of_another_network_is_refused(run_folder, recipe, tmp_path):
    folder = tmp_path / "run"
    training.train(dataclasses.replace(recipe, epochs=1, attention=None), folder)
    state = newest_state(folder / "states")
    state.write_bytes(newest_state(run_folder / "states").read_bytes())
    with pytest.raises(ValueError, match=f"{state} is the state of another network or optimizer: it has .* and this run "):
        training.train(dataclasses.replace(recipe, epochs=1, attention=None), folder, resume=True)
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(ValueError, match=f"{state} is damaged: remove it"):
        training.train(dataclasses.replace(recipe, epochs=1, attention=None), folder, resume=True)


def test_a_loss_that_is_no_number_keeps_the_last_good_state(recipe, tmp_path):
    with pytest.raises(training.DivergedError, match=r"at step \d of epoch 1: lower the learning rate.* --resume goes on from"):
        training.train(dataclasses.replace(recipe, learning_rate=1e20), tmp_path / "nan", save_every=1)
    for state in (tmp_path / "nan" / "states").iterdir():
        assert all(np.isfinite(value).all() for value in read_state(state)[1])
