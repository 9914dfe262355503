"""Several replicas and several processes on this machine train as one does."""

import json
import os
import pathlib
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from common import DEMO, ROOT, history
from observed import observe

from keras_senet import export, training
from keras_senet.training import devices, multi_worker
from keras_senet.training.state import newest_state, read_state

LOST = "has ended, or its machine cannot be reached. Start all workers again, with --resume"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def job(recipe, folder, **options) -> dict:
    return {"recipe": recipe.flat(), "output": str(folder), **options}


def start_process(jobs: list[dict], folder: pathlib.Path) -> tuple[subprocess.Popen, pathlib.Path]:
    """A process that does these jobs, see observed.py, and the file in which it writes what it saw."""
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, ROOT / "tests" / "observed.py", folder / "jobs.json", folder / "seen.pickle"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, folder / "seen.pickle"


def seen(process, file) -> list[dict]:
    """What the process saw of each job, when it has ended well."""
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return pickle.loads(file.read_bytes())


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts workers that train together, of which the last one may send itself a signal."""
    started = []

    def start(recipe, folder, workers=2, signal_of_last=None, **options):
        hosts = [f"127.0.0.1:{port}" for port in free_ports(workers)]
        for worker in range(workers):
            given = job(recipe, folder, strategy="multi_worker", hosts=hosts, worker=worker, **options)
            if signal_of_last and worker == workers - 1:
                given["signal"] = signal_of_last
            started.append(start_process([given], tmp_path_factory.mktemp("worker") / "process"))
        return started[-workers:]

    yield start
    for process, _ in started:
        process.kill()
        process.communicate()


def seen_by_each(runs) -> list[dict]:
    return [one for run in runs for one in seen(*run)]


def assert_the_same(first, *others):
    """All workers have the same weights, those of batch normalization too, and the same losses."""
    for other in others:
        assert other["losses"] == first["losses"]
        for one, another in zip(first["weights"], other["weights"], strict=True):
            np.testing.assert_array_equal(one, another)


def assert_said_that_the_other_is_lost(process, file):
    """By an exception where TensorFlow noticed, or as the last line where this process had to be ended."""
    _, errors = process.communicate(timeout=120)
    said = errors.splitlines()[-1] if process.returncode else pickle.loads(file.read_bytes())[0]["error"]
    assert LOST in said, errors[-3000:]
    assert process.returncode in (0, 2)


@pytest.fixture(scope="module")
def exact(tiny_recipe, tmp_path_factory):
    """A recipe by which the number of replicas makes no difference: no augmentation, and normalization over all of a batch.

    What fine-tuning does to gradients and rates must not make one either, nor must a teacher, who is asked once about each image.
    """
    teacher = shutil.copy(DEMO / "model.keras", tmp_path_factory.mktemp("teacher"))
    tuned = {"freeze": "1", "layer_decay": 0.8, "clip_norm": 0.3, "teacher": teacher, "distill_maps_weight": 0.5}
    return tiny_recipe.replace(crop="center", sync_bn=True, train_split="train[:240]", batch_size=24, epochs=1, **tuned)


@pytest.fixture(scope="module")
def single(exact, tmp_path_factory):
    """The losses of ten steps in one process, and the top-1 accuracy after them."""
    folder = tmp_path_factory.mktemp("single") / "run"
    alone = observe(job(exact, folder))
    assert alone["error"] is None
    assert len(alone["losses"]) == 10
    return alone["losses"], float(history(folder)[0]["val_top1"])


@pytest.fixture(scope="module")
def together(exact, start, tmp_path_factory):
    """What two workers saw each time that they were started, the steps of the states from which they went on, and their folder.

    Of ten steps the second worker is asked to end in the third, and is killed in the seventh.
    """
    folder = tmp_path_factory.mktemp("together") / "run"
    asked = seen_by_each(start(exact, folder, signal_of_last=("on_train_batch_end", 3, signal.SIGTERM)))
    steps = [read_state(newest_state(folder / "states"))[0]["step"]]
    killed = ("on_train_batch_end", 4, signal.SIGKILL)
    first, last = start(exact, folder, signal_of_last=killed, resume=True, save_every=2)
    assert_said_that_the_other_is_lost(*first)
    assert last[0].wait(timeout=120) == -signal.SIGKILL
    steps.append(read_state(newest_state(folder / "states"))[0]["step"])
    return asked, seen_by_each(start(exact, folder, resume=True)), steps, folder


@pytest.fixture(scope="module")
def two_devices(exact, tmp_path_factory):
    """What one process saw that trains on two logical devices, by the name of each job; and the folder of the whole run."""
    folder = tmp_path_factory.mktemp("devices")
    stopped = observe(job(exact, folder / "stopped", signal=("on_train_batch_end", 4)))
    assert stopped["error"].startswith("Terminated: Stopped.")
    jobs = {
        "refused": job(exact.replace(batch_size=33), folder / "refused"),
        "accumulated": job(exact.replace(gradient_accumulation=2), folder / "refused"),
        "taught": job(taught_in_each_step(exact), folder / "taught"),
        "whole": job(exact, folder / "whole", report=True),
        "resumed": job(exact, folder / "stopped", resume=True),
    }
    run = start_process([one | {"strategy": "mirrored"} for one in jobs.values()], folder / "process")
    return dict(zip(jobs, seen(*run), strict=True)), folder


def taught_in_each_step(exact):
    """Two steps with mirrored images, which a teacher must see as they are."""
    return exact.replace(flip=True, train_split="train[:48]", epochs=1)


def assert_like_a_single_process(folder, single_top1, images):
    """In its accuracy on 60 validation images, which are not a whole number of batches on each replica."""
    config = json.loads((folder / "config.json").read_text())
    assert (config["replicas"], config["batch_size_per_replica"]) == (2, 12)
    top1 = training.evaluate(export.open_classifier(folder / "last.keras"), images).top1
    assert float(history(folder)[0]["val_top1"]) == pytest.approx(top1, abs=1e-6)
    assert top1 == pytest.approx(single_top1, abs=0.05)


@pytest.mark.slow
def test_workers_agree_on_the_step_when_one_is_asked_to_end(together, single):
    asked, _, steps, _ = together
    for one in asked:
        assert one["error"].startswith("Terminated: Stopped. --resume goes on from ")
        np.testing.assert_allclose(one["losses"], single[0][:3], rtol=0.01)
    assert steps[0] == 3


@pytest.mark.slow
def test_workers_that_are_stopped_and_killed_and_started_again_train_as_a_single_process_does(together, single, digits):
    _, restarted, steps, folder = together
    assert steps[1] == 6
    for one in restarted:
        assert one["error"] is None
        np.testing.assert_allclose(one["losses"], single[0][6:], rtol=0.01)
    assert [run["writes"] for run in restarted] == [True, False]
    assert_the_same(*restarted)
    assert_like_a_single_process(folder, single[1], digits("test[:60]"))


@pytest.mark.slow
def test_two_devices_train_as_one_does(two_devices, single, digits):
    runs, folder = two_devices
    assert runs["whole"]["error"] is None
    np.testing.assert_allclose(runs["whole"]["losses"], single[0], rtol=0.01)
    assert_like_a_single_process(folder / "whole", single[1], digits("test[:60]"))
    reported = json.loads((folder / "whole" / "metrics.json").read_text())["last"]["top1"]
    assert reported == pytest.approx(float(history(folder / "whole")[0]["val_top1"]), abs=1e-6)


@pytest.mark.slow
def test_a_teacher_of_each_step_teaches_two_devices_as_it_teaches_one(exact, two_devices, tmp_path):
    alone, taught = observe(job(taught_in_each_step(exact), tmp_path / "run")), two_devices[0]["taught"]
    assert (alone["error"], taught["error"], len(alone["losses"])) == (None, None, 2)
    np.testing.assert_allclose(taught["losses"], alone["losses"], rtol=1e-4)


@pytest.mark.slow
def test_devices_that_normalize_apart_are_evaluated_with_the_statistics_that_are_saved(exact, digits, tmp_path):
    # In a process of its own: TensorFlow confuses what two networks of one process exchange between devices.
    recipe = exact.replace(sync_bn=False, validation_split="test[:48]")
    apart = job(recipe, tmp_path / "run", strategy="mirrored")
    (run,) = seen(*start_process([apart], tmp_path / "process"))
    assert run["error"] is None
    saved = training.evaluate(export.open_classifier(tmp_path / "run" / "last.keras"), digits("test[:48]"))
    assert float(history(tmp_path / "run")[0]["val_loss"]) == pytest.approx(saved.loss, rel=1e-5)


@pytest.mark.slow
def test_another_number_of_replicas_goes_on(two_devices, single):
    """With the same weights, and the next images."""
    resumed = two_devices[0]["resumed"]
    assert resumed["error"] is None
    np.testing.assert_allclose(resumed["losses"], single[0][4:], rtol=0.02)


@pytest.mark.slow
def test_a_batch_that_does_not_divide_over_the_replicas_is_refused(two_devices):
    runs, folder = two_devices
    assert runs["refused"]["error"].startswith("InputError: A batch of 33 does not divide over 2 replicas: make it 32 or 34.")
    assert runs["accumulated"]["error"].startswith("InputError: `gradient_accumulation` is for one device")
    assert not (folder / "refused").exists()


@pytest.fixture
def learns(recipe, digits):
    """A recipe by which the digits are learned in less than a minute."""
    digits("train")
    return recipe.replace(
        train_split="train",
        validation_split="validation",
        image_size=16,
        batch_size=64,
        learning_rate=0.2,
        schedule="cosine",
        warmup_epochs=1.0,
        weight_decay=5e-4,
        epochs=10,
    )


def assert_learned_together(folder, runs):
    assert_the_same(*seen_by_each(runs))
    top1 = json.loads((folder / "metrics.json").read_text())["last"]["top1"]
    assert top1 >= 0.98
    # Which needs the same statistics of batch normalization on all workers.
    rows = history(folder)
    assert float(rows[-1]["val_top1"]) == pytest.approx(top1, abs=1e-6)
    assert [int(row["epoch"]) for row in rows] == list(range(10))


@pytest.mark.exhaustive
def test_four_workers_learn_the_digits_together(learns, start, tmp_path):
    assert_learned_together(tmp_path / "run", start(learns, tmp_path / "run", workers=4, report=True))


@pytest.mark.exhaustive
@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_that_is_killed_at_any_moment_ends_the_other_and_a_restart_learns_the_digits(learns, start, tmp_path, killed):
    folder = tmp_path / "run"
    runs = start(learns, folder, save_every=4)
    until = time.monotonic() + 500
    while not newest_state(folder / "states"):
        assert time.monotonic() < until
        time.sleep(0.1)
    runs[killed][0].kill()
    began = time.monotonic()
    assert_said_that_the_other_is_lost(*runs[1 - killed])
    assert time.monotonic() - began < 60
    if killed == 1:  # what follows is the same
        assert_learned_together(folder, start(learns, folder, resume=True, report=True))


def test_a_worker_that_answers_no_more_ends_this_process(monkeypatch, capsys):
    """Here with the end of a process replaced, and looks at the others that are far less than seconds apart."""
    statuses, ended = [], threading.Event()

    def end(status):
        statuses.append(status)
        ended.set()

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(multi_worker, "SECONDS_BETWEEN_LOOKS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as this, socket.create_server(("127.0.0.1", 0)) as other:
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in (other, this)]
        with multi_worker.ending_with_the_others(hosts, 1, "Start again."):
            assert not ended.wait(0.5)
            other.close()
            assert ended.wait(60)
    assert statuses == [2]
    assert capsys.readouterr().err == (
        f"keras-senet: error: Worker 0 ({hosts[0]}) has ended, or its machine cannot be reached. Start again.\n"
    )


@pytest.mark.slow
def test_slurm_says_who_the_workers_are(tmp_path, monkeypatch):
    """In its own order of nodes and tasks, by a stand-in for its command."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[9-10],login" ] && printf "n9\\nn10\\nlogin\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    job = {"STEP_NODELIST": "n[9-10],login", "STEP_TASKS_PER_NODE": "2(x2),1", "JOB_ID": "71234", "PROCID": "3"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    hosts, worker = devices._slurm_tasks()
    assert hosts == ["n9:21234", "n9:21235", "n10:21234", "n10:21235", "login:21234"]
    assert worker == 3
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "5")
    assert devices.strategy_of("auto", None) == "multi_worker"


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


FIT = """
import json, os, sys
hosts, index = json.loads(sys.argv[1]), int(sys.argv[2])
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
import keras, numpy as np, tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer
from keras_senet.training.multi_worker import repaired_fit
original = {"build": keras.Model._maybe_symbolic_build, "reduce": keras_trainer.reduce_per_replica}
strategy = tf.distribute.MultiWorkerMirroredStrategy()
batches = tf.data.Dataset.from_tensors((np.ones((4, 2)), np.ones((4, 2)))).repeat(2)
worked = []
for repaired in ("build", "reduce", "both"):
    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse", jit_compile=False)
    with repaired_fit():
        if repaired == "reduce":
            keras.Model._maybe_symbolic_build = original["build"]
        if repaired == "build":
            keras_trainer.reduce_per_replica = original["reduce"]
        try:
            model.fit(strategy.distribute_datasets_from_function(lambda context: batches), verbose=0)
            worked.append(repaired)
        except Exception:
            pass
print(*worked)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.slow
def test_keras_still_needs_both_repairs():
    """When one of them alone works, Keras has the other one itself: remove it here."""
    hosts = json.dumps([f"127.0.0.1:{port}" for port in free_ports(2)])
    command = [sys.executable, "-c", FIT, hosts]
    runs = [
        subprocess.Popen([*command, str(index)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for index in range(2)
    ]
    try:
        for run in runs:
            worked, errors = run.communicate(timeout=120)
            assert worked.split() == ["both"], errors[-3000:]
    finally:
        for run in runs:
            run.kill()
            run.communicate()
