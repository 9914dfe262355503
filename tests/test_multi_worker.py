"""Several replicas and several processes on this machine train as one does."""

import csv
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

from keras_senet import training
from keras_senet.training import strategies
from keras_senet.training.state import newest_state, read_state


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def start(tmp_path):
    """Starts processes that train together; returns them, and the files in which they write what they saw."""
    started = []

    def start(recipe, folder, workers=1, **options):
        hosts = [f"127.0.0.1:{port}" for port in free_ports(workers)]
        runs = []
        for worker in range(workers):
            together = {"strategy": "multi_worker", "hosts": hosts, "worker": worker} if workers > 1 else {}
            given = {"recipe": dataclasses.asdict(recipe), "output": str(folder), **together, **options}
            number = len(started)
            (tmp_path / f"{number}.json").write_text(json.dumps(given))
            command = [sys.executable, ROOT / "tests" / "observed.py", tmp_path / f"{number}.npz", tmp_path / f"{number}.json"]
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            started.append(process)
            runs.append((process, tmp_path / f"{number}.npz"))
        return runs

    yield start
    for process in started:
        process.kill()


def seen(runs) -> list[dict[str, np.ndarray]]:
    """What the processes saw, when all have ended well."""
    for process, _ in runs:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-3000:]
    return [dict(np.load(file)) for _, file in runs]


def assert_equal_weights(one, other):
    for name in (name for name in one if name.startswith("weight")):
        np.testing.assert_array_equal(one[name], other[name])


@pytest.fixture(scope="module")
def exact(recipe, digits):
    """A recipe by which the number of replicas makes no difference: no augmentation, and normalization over all of a batch."""
    digits("train")
    return dataclasses.replace(recipe, augmentation="none", sync_bn=True, train_split="train[:240]", batch_size=24, epochs=1)


@pytest.fixture(scope="module")
def single(exact, tmp_path_factory):
    """The losses of ten steps in one process."""
    folder = tmp_path_factory.mktemp("single")
    (folder / "given.json").write_text(json.dumps({"recipe": dataclasses.asdict(exact), "output": str(folder / "run")}))
    command = [sys.executable, ROOT / "tests" / "observed.py", folder / "seen.npz", folder / "given.json"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return np.load(folder / "seen.npz")["losses"], json.loads((folder / "run" / "metrics.json").read_text())


@pytest.mark.parametrize("kind", ["two workers", "two logical devices"])
def test_the_loss_is_that_of_a_single_process(exact, single, start, tmp_path, kind):
    losses, measured = single
    options = {"workers": 2} if kind == "two workers" else {"strategy": "mirrored", "logical_devices": 2}
    first, *others = seen(start(exact, tmp_path / "run", **options))
    assert len(losses) == len(first["losses"]) == 10
    np.testing.assert_allclose(first["losses"], losses, rtol=0.01)
    for other in others:
        assert_equal_weights(first, other)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["replicas"], config["batch_size_per_replica"]) == (2, 12)
    # The 60 held-out images are not a whole number of batches on each replica.
    row = next(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert float(row["val_top1"]) == pytest.approx(metrics["last"]["top1"], abs=1e-6)
    assert metrics["last"]["top1"] == pytest.approx(measured["last"]["top1"], abs=0.05)


@pytest.fixture
def learns(recipe, digits):
    """A recipe by which the digits are learned in less than a minute."""
    digits("train")
    return dataclasses.replace(
        recipe,
        train_split="train",
        held_out_split="held-out",
        image_size=16,
        batch_size=64,
        learning_rate=0.2,
        schedule="cosine",
        warmup_epochs=1.0,
        weight_decay=5e-4,
        epochs=10,
    )


def assert_learned_together(folder, runs):
    first, *others = seen(runs)
    for other in others:
        assert_equal_weights(first, other)
        np.testing.assert_array_equal(other["losses"], first["losses"])
    top1 = json.loads((folder / "metrics.json").read_text())["last"]["top1"]
    assert top1 >= 0.98
    # Which needs the same statistics of batch normalization on all workers.
    history = list(csv.DictReader((folder / "history.csv").open()))
    assert float(history[-1]["val_top1"]) == pytest.approx(top1, abs=1e-6)
    assert [int(row["epoch"]) for row in history] == list(range(10))


@pytest.mark.slow
def test_four_workers_learn_the_digits_together(learns, start, tmp_path):
    assert_learned_together(tmp_path / "run", start(learns, tmp_path / "run", workers=4))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_that_is_killed_ends_the_other_and_a_restart_learns_the_digits(learns, start, tmp_path, killed):
    folder = tmp_path / "run"
    runs = start(learns, folder, workers=2, save_every=4)
    until = time.monotonic() + 500
    while not newest_state(folder / "states"):
        assert time.monotonic() < until
        time.sleep(0.1)
    runs[killed][0].kill()
    began = time.monotonic()
    other = runs[1 - killed][0]
    _, errors = other.communicate(timeout=120)
    assert time.monotonic() - began < 60
    assert other.returncode in (1, 2)
    said = "has ended, or its machine cannot be reached. Start all workers again, with --resume"
    assert said in errors.splitlines()[-1]
    if killed == 1:  # what follows is the same
        assert_learned_together(folder, start(learns, folder, workers=2, resume=True))


@pytest.mark.slow
def test_workers_that_are_asked_to_end_agree_on_the_step(exact, start, tmp_path):
    folder = tmp_path / "run"
    runs = start(dataclasses.replace(exact, epochs=200), folder, workers=2)
    until = time.monotonic() + 500
    while not newest_state(folder / "states"):
        assert time.monotonic() < until
        time.sleep(0.1)
    runs[1][0].send_signal(signal.SIGTERM)  # one of them, as where its machine is taken away
    for process, _ in runs:
        process.communicate(timeout=120)
        assert process.returncode != 0
    progress = read_state(newest_state(folder / "states"))[0]
    assert progress["epoch"] * 10 + progress["step"] > 10


def test_another_number_of_replicas_goes_on(exact, single, start, tmp_path, monkeypatch):
    """With the same weights, and the next images."""
    module = sys.modules["keras_senet.training.train"]
    before = module._Run.on_train_batch_end

    def stop(self, number, logs=None):
        if self.step == 3:
            self.asked = training.Terminated
        before(self, number, logs)

    monkeypatch.setattr(module._Run, "on_train_batch_end", stop)
    with pytest.raises(training.Terminated):
        training.train(exact, tmp_path / "run")
    (after,) = seen(start(exact, tmp_path / "run", strategy="mirrored", logical_devices=2, resume=True))
    np.testing.assert_allclose(after["losses"], single[0][4:], rtol=0.02)


def test_slurm_says_who_the_workers_are(tmp_path, monkeypatch):
    """In its own order of nodes and tasks, by a stand-in for its command."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[9-10],login" ] && printf "n9\\nn10\\nlogin\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    job = {"STEP_NODELIST": "n[9-10],login", "STEP_TASKS_PER_NODE": "2(x2),1", "JOB_ID": "71234", "PROCID": "3"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    hosts, worker = strategies._slurm_tasks()
    assert hosts == ["n9:21234", "n9:21235", "n10:21234", "n10:21235", "login:21234"]
    assert worker == 3
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "5")
    assert strategies._offered(None) == "multi_worker"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "best"}, "`strategy` must be one of"),
        ({"strategy": "multi_worker"}, "give --hosts and --worker, set TF_CONFIG, or start this with SLURM"),
        ({"hosts": ["a:1", "b:1"], "worker": 2}, "`hosts` and `worker` go together"),
        ({"hosts": ["a:1", "b:1"]}, "`hosts` and `worker` go together"),
        ({"strategy": "single", "hosts": ["a:1", "b:1"], "worker": 0}, "`hosts` are for the strategy"),
    ],
)
def test_a_mistake_in_the_devices_is_named(options, said, recipe, tmp_path):
    with pytest.raises(ValueError, match=said):
        training.train(recipe, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_tf_config_that_names_no_worker_is_shown(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}')
    with pytest.raises(ValueError, match='TF_CONFIG must be like .*Received: .*"index": 1'):
        training.train(recipe, tmp_path / "run")


def test_a_batch_that_does_not_divide_over_the_replicas_is_refused(start, recipe, tmp_path):
    ((process, _),) = start(dataclasses.replace(recipe, batch_size=33), tmp_path / "run", strategy="mirrored", logical_devices=2)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "A batch of 33 does not divide over 2 replicas: make it 32 or 34." in errors
    assert not (tmp_path / "run").exists()


FIT = """
import json, os, sys
hosts, index, repaired = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
import keras, numpy as np, tensorflow as tf
from keras_senet.training.multi_worker import keras_trainer, repaired_fit
trainer = keras_trainer.TensorFlowTrainer
original = {"build": trainer._maybe_symbolic_build, "reduce": keras_trainer.reduce_per_replica}
strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", jit_compile=False)
batches = tf.data.Dataset.from_tensors((np.ones((4, 2)), np.ones((4, 2)))).repeat(2)
with repaired_fit():
    if repaired == "reduce":
        trainer._maybe_symbolic_build = original["build"]
    if repaired == "build":
        keras_trainer.reduce_per_replica = original["reduce"]
    try:
        model.fit(strategy.distribute_datasets_from_function(lambda context: batches), verbose=0)
    except Exception:
        os._exit(3)
os._exit(0)
"""


@pytest.mark.parametrize(("repaired", "status"), [("both", 0), ("build", 3), ("reduce", 3)])
def test_keras_still_needs_both_repairs(repaired, status):
    """With both it works. When one of the others fails with status 0, Keras has that one itself: remove it here."""
    hosts = json.dumps([f"127.0.0.1:{port}" for port in free_ports(2)])
    command = [sys.executable, "-c", FIT, hosts]
    runs = [subprocess.Popen([*command, str(index), repaired], stderr=subprocess.DEVNULL) for index in range(2)]
    try:
        assert [run.wait(timeout=120) for run in runs] == [status, status]
    finally:
        for run in runs:
            run.kill()
