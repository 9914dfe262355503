"""The examples: in this process on next to nothing, and as their users run them on a little more."""

import asyncio
import csv
import importlib.util
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from unittest import mock

import keras
import numpy as np
import pytest
import yaml
from common import DEMO, ROOT

from keras_senet import cli
from keras_senet.data import digit_scenes
from keras_senet.models.registry import MODELS
from keras_senet.training import RECIPES, read_recipe

EXAMPLES = ROOT / "examples"
MULTI_WORKER = EXAMPLES / "multi_worker"


def load(example: str):
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(example.partition(".")[0], EXAMPLES / example)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.exhaustive)], ids=["tiny", "whole"])
def whole(request) -> bool:
    """Whether an example runs as its users run it, in a process of its own; otherwise `main` runs here, on next to nothing."""
    return request.param


@pytest.fixture
def run_example(whole, capsys):
    """Runs an example and returns what it prints."""

    def run_example(example: str, *arguments) -> str:
        if whole:
            done = start(example, *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout
        capsys.readouterr()
        load(example).main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return run_example


def start(example: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, EXAMPLES / example, *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


NOWHERE = "/dev/null/nowhere"
MISTAKES = {
    "ablation.py": (["--model", "SEResNt20", "--output", "study"], "There is no model 'SEResNt20'. Did you mean 'SEResNet20'"),
    "add_se_to_pretrained.py": (["--data-dir", NOWHERE], "The dataset 'digits' could not be prepared"),
    "detect_digits.py": (["--data-dir", NOWHERE], "The dataset 'digit_scenes' could not be prepared"),
    "distil_digits.py": (["--data-dir", NOWHERE], "The dataset 'digits' could not be prepared"),
    "finetune_folder.py": (["--folder", "photograhs"], "There is no file or folder"),
    "prune_by_gates.py": (["--data-dir", NOWHERE], "The dataset 'digits' could not be prepared"),
    "read_the_gates.py": (["--data-dir", NOWHERE], "The dataset 'digits' could not be prepared"),
    "segment_digits.py": (["--data-dir", NOWHERE], "The dataset 'digit_scenes' could not be prepared"),
    "train_imagenet.py": (["--data-dir", "data"], "The dataset 'imagenet2012' could not be prepared"),
}


@pytest.mark.parametrize("example", MISTAKES)
def test_a_mistake_ends_an_example_in_one_line_and_leaves_nothing(example, whole, tmp_path, monkeypatch):
    arguments, message = MISTAKES[example]
    monkeypatch.chdir(tmp_path)
    if whole:
        done = start(example, *arguments)
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
    else:
        monkeypatch.setattr(sys, "argv", [example, *arguments])
        monkeypatch.syspath_prepend(EXAMPLES)  # as Python does for a script
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLES / example), run_name="__main__")
        line = ended.value.code  # text, which Python prints on stderr before it ends with status 1
        assert "\n" not in line
    assert line.startswith(f"{example}: error: {message}")
    assert not {"study", "runs"} & {file.name for file in tmp_path.iterdir()}


def test_fine_tuning_on_few_images_compares_all_ways_on_the_same_images(tmp_path, monkeypatch, capsys):
    module = load("finetune_few.py")
    trained = []

    def train(recipe, folder):
        folder.mkdir()
        trained.append(recipe)
        error = 0.5 if recipe.teacher is None else 0.25 / (1 + recipe.seed)
        (folder / "metrics.json").write_text(json.dumps({"test": {"top1": 1 - error}}))

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "report", lambda folder: None)
    arguments = ["--output", str(tmp_path), "--seeds", "2", "--images", "3"]
    module.main(arguments)
    assert "18.75 ± 8.84" in capsys.readouterr().out  # of the two distilled networks, whose errors are 25 and 12.5 %
    assert len(trained) == 1 + 2 * len(module.WAYS)
    for seed in range(2):
        folder = tmp_path / "3_images" / f"seed{seed}"
        files = [{file.name for file in folder.rglob(f"images/{part}/*/*.png")} for part in ("train", "validation", "test")]
        assert [len(names) for names in files] == [15, 50, 896 - 65]
        assert len(set.union(*files)) == 896  # none is in two parts
        assert [recipe.teacher for recipe in trained if recipe.seed == seed and recipe.teacher] == [
            str(folder / module.AUTOMATIC / "best.keras")
        ]
    assert keras.utils.load_img(tmp_path / "3_images" / "few.png").width > 500
    trained.clear()
    module.main(arguments)
    assert not trained


def test_students_are_taught_by_one_teacher_with_the_same_recipe(data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    module = load("distil_digits.py")
    trained = {}

    def run(recipe, folder):
        folder.mkdir()
        trained[folder.name if recipe.seed == 0 else None] = recipe
        top1 = 0.99 if recipe.teacher is None else 0.5 + 0.25 * recipe.seed
        (folder / "metrics.json").write_text(json.dumps({"last": {"top1": top1}}))
        return folder

    monkeypatch.setattr(module, "run", run)
    with mock.patch.dict(MODELS):
        module.main(["--output", str(tmp_path), "--seeds", "2", "--data-dir", data_dir])
    assert capsys.readouterr().out.count("37.50 ± 17.68") == 3  # of the taught students, whose errors are 50 and 25 %
    alone = trained["by_itself"]
    taught = alone.replace(teacher=str(tmp_path / "teacher" / "last.keras"))
    assert trained["taught"] == taught
    assert trained["taught_with_maps"] == taught.replace(distill_maps_weight=1.0)
    assert trained["taught_unchanged_images"] == taught.replace(crop="center")
    assert trained["taught_unchanged_images"].augmentation.changes_nothing()
    assert not alone.augmentation.changes_nothing()
    assert keras.utils.load_img(tmp_path / "distil.png").width > 500


STUDY = ["--train-split", "train[:128]", "--validation-split", "test[:60]", "--image-size", "8", "--epochs", "1"]
STUDY += ["--studies", "excitation", "--batch-size", "32"]


def read_table(folder) -> list[dict[str, str]]:
    with open(folder / "table.csv") as file:
        return list(csv.DictReader(file))


def test_the_table_of_the_ablation_study_sums_up_its_runs_and_a_run_that_diverges_does_not_end_it(
    tmp_path, digits, data_dir, monkeypatch
):
    digits("train")
    module = load("ablation.py")
    accuracies = {"relu": [0.5, None, 0.75], "tanh": [None, None, None]}  # by seed; None where it diverges
    trained = []

    def train(recipe, folder):  # as a worker that does not write: without a report
        trained.append((recipe.attention.gate, recipe.seed))
        accuracy = accuracies[recipe.attention.gate][recipe.seed]
        if accuracy is None:
            raise module.DivergedError("The loss became nan")
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"recipe": recipe.flat()}))
        (folder / "metrics.json").write_text(json.dumps({"last": {"top1": accuracy}}))

    monkeypatch.setattr(module, "train", train)
    arguments = [*STUDY, "--seeds", "3", "--data-dir", data_dir, "--output", str(tmp_path)]
    module.main(arguments)
    assert trained == [(gate, seed) for gate in accuracies for seed in range(3)]
    relu, tanh = read_table(tmp_path)
    assert (relu["variant"], relu["diverged"], tanh["variant"], tanh["diverged"]) == ("ReLU", "1", "tanh", "3")
    np.testing.assert_allclose([float(relu["error"]), float(relu["deviation"])], [37.5, np.std([50, 25], ddof=1)])
    assert tanh["error"] == "nan"
    for row in (relu, tanh):
        assert int(row["parameters"]) == 271_738
        # Each layer of the network strides as at 32 pixels, and sees a sixteenth of the positions; SE and the head stay.
        assert int(row["multiply_adds"]) == (40_553_056 - 2_016 - 640) // 16 + 2_016 + 640

    trained.clear()
    module.main(arguments)
    assert ("relu", 1) in trained
    assert not {("relu", 0), ("relu", 2)} & set(trained)  # they are done
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        module.main([*arguments, "--learning-rate", "0.2"])


@pytest.mark.slow
def test_the_ablation_study_compares_variants_and_does_nothing_twice(whole, run_example, tmp_path, digits, data_dir):
    digits("train")
    seeds = 2 if whole else 1
    arguments = ("ablation.py", *STUDY, "--seeds", seeds, "--data-dir", data_dir, "--output", tmp_path)
    assert "loss" in run_example(*arguments)
    rows = read_table(tmp_path)
    assert [row["variant"] for row in rows] == ["ReLU", "tanh"]
    for row in rows:
        runs = sorted((tmp_path / "excitation" / row["variant"]).iterdir())
        errors = [100 - 100 * json.loads((folder / "metrics.json").read_text())["last"]["top1"] for folder in runs]
        assert len(errors) == seeds
        deviation = np.std(errors, ddof=1) if whole else 0
        np.testing.assert_allclose([float(row["error"]), float(row["deviation"])], [np.mean(errors), deviation])
        assert int(row["parameters"]) == json.loads((runs[0] / "config.json").read_text())["parameters"]
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
    assert "loss" not in run_example(*arguments)  # all is done already


@pytest.mark.exhaustive
def test_a_run_that_diverges_does_not_end_the_study(tmp_path, digits, data_dir):
    digits("train")
    done = start("ablation.py", *STUDY, "--seeds", 1, "--learning-rate", "1e30", "--data-dir", data_dir, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(row["error"], row["diverged"]) for row in read_table(tmp_path)] == [("nan", "1")] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The weights .* have 10 classes")  # and here they are two
def test_fine_tuning_ends_in_a_tflite_file_that_names_held_out_photographs(run_example, tmp_path):
    output = run_example("finetune_folder.py", "--epochs", 2, "--output", tmp_path)
    recipe = read_recipe(tmp_path / "run" / "config.json")
    assert recipe == RECIPES["finetune"](
        "SEResNet20", str(tmp_path / "photographs"), weights=str(DEMO / "model.keras"), epochs=2, batch_size=16, image_size=32
    )
    *predictions, where = output.splitlines()[-6:]
    parts = [line.replace(":", "").replace(",", "").split() for line in predictions]  # NAME of CLASS PREDICTED PERCENT
    assert all((tmp_path / "photographs" / truth / name).exists() for name, _, truth, _, _ in parts)
    assert sum(truth == predicted for _, _, truth, predicted, _ in parts) >= 4
    assert all(50 <= float(percent.strip("%")) <= 100 for *_, percent in parts)
    assert str(tmp_path / "run" / "report.md") in where
    assert (tmp_path / "run" / "report.md").exists()


def test_the_pieces_of_the_photographs_make_up_the_photographs(tmp_path):
    from sklearn.datasets import load_sample_image

    load("finetune_folder.py").cut_photographs(tmp_path)
    for name in ("china", "flower"):
        whole = load_sample_image(f"{name}.jpg")
        seen = np.zeros(whole.shape[:2])
        for file in (tmp_path / name).iterdir():
            top, left = map(int, file.stem.split("-"))
            piece = keras.utils.img_to_array(keras.utils.load_img(file))
            window = (slice(top, top + piece.shape[0]), slice(left, left + piece.shape[1]))
            assert np.abs(piece - whole[window]).mean() < 12  # JPEG loses something
            seen[window] += 1
        assert seen.max() == 1
        assert seen.mean() > 0.85


@pytest.mark.slow
def test_the_paper_s_training_runs_on_made_up_photographs(whole, run_example, tmp_path):
    model, size = ("SEResNet18", 32) if whole else ("SEResNet20", 16)
    flags = ("--limit", 32, "--image-size", size, "--model", model, "--output", tmp_path / "run")
    output = run_example("train_imagenet.py", *flags)
    recipe = read_recipe(tmp_path / "run" / "config.json")
    assert (recipe.model, recipe.image_size, recipe.epochs, recipe.batch_size) == (model, size, 1, 16)
    assert (recipe.learning_rate, recipe.base_batch_size, recipe.schedule, recipe.augmentation.crop) == (
        0.6,
        1024,
        "step",
        "random",
    )
    assert len(list((tmp_path / "run-photographs" / "train").glob("*/*.jpg"))) == 32
    error = 100 - 100 * json.loads((tmp_path / "run" / "metrics.json").read_text())["last"]["top1"]
    assert f"top-1 error {error:.2f} %. The report is {tmp_path / 'run' / 'report.md'}" in output


@pytest.mark.slow
def test_the_example_reads_gates_that_part_digits_late(run_example, tmp_path, digits, data_dir):
    digits("train")
    output = run_example("read_the_gates.py", "--data-dir", data_dir, "--output", tmp_path / "gates")
    layers = [line for line in output.splitlines() if "two classes differ" in line]
    differences = [float(line.split(" differ by ")[1].split()[0]) for line in layers]
    assert len(differences) == 9
    assert differences[0] < 0.01 < 0.9 < differences[-1] <= 1
    pictures = {"gates_by_class.png", "gates_within_classes.png", "mean_gates.png", "separability.png"}
    assert pictures < {file.name for file in (tmp_path / "gates").iterdir()}


@pytest.mark.slow
def test_the_example_adds_se_without_a_change_and_its_gates_move(run_example, tmp_path, digits, data_dir):
    digits("train")
    output = run_example("add_se_to_pretrained.py", "--epochs", 1, "--data-dir", data_dir, "--output", tmp_path / "out")
    assert "With 9 SE layers: all 360 outputs are the same to the last bit." in output
    ranges = [line.split(" lie now between ")[1].split(" and ") for line in output.splitlines() if "gates were" in line]
    assert len(ranges) == 9
    assert any(float(low) < 0.49 or float(high) > 0.51 for low, high in ranges)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"add_se.png", "with_se.keras"}


@pytest.mark.slow
def test_the_example_prunes_by_gates_and_at_random_alike(whole, run_example, tmp_path, digits, data_dir):
    digits("train")
    tiny = () if whole else ("--keep", 0.6, "--draws", 2)
    output = run_example("prune_by_gates.py", "--data-dir", data_dir, "--output", tmp_path / "prune", *tiny)
    rows = [line.replace("(", "").replace("to", "").replace(")", "").split() for line in output.splitlines()]
    rows = [[float(word) for word in row] for row in rows if row and row[0].isdecimal()]
    as_pruned, with_statistics = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    kept = [row[0] for row in as_pruned]
    assert kept == [row[0] for row in with_statistics] == ([100, 90, 75, 60, 45] if whole else [100, 60])
    _, multiply_adds, parameters, by_gates, *_ = zip(*with_statistics, strict=True)
    assert by_gates[0] == as_pruned[0][3] == 99.2  # as the network's own report says
    for numbers in (multiply_adds, parameters):
        assert sorted(numbers, reverse=True) == [*numbers]
    assert by_gates[kept.index(60)] > as_pruned[kept.index(60)][3] + 10
    for *_, mean, low, high, _ in rows:
        assert low <= mean <= high
    assert (tmp_path / "prune" / "pruning.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def few_scenes(tmp_path, monkeypatch):
    """A folder of tensorflow-datasets in which this process prepares few of the scenes of digits."""
    monkeypatch.setattr(digit_scenes, "SCENES", {"train": 32, "test": 8})
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.parametrize("network", ["retinanet", pytest.param("faster-rcnn", marks=pytest.mark.exhaustive)])
def test_the_example_detects_digits_and_draws_them(run_example, network, few_scenes, tmp_path):
    tiny = ("--scenes", 16, "--test-scenes", 4, "--epochs", 1, "--data-dir", few_scenes)
    with mock.patch.dict(MODELS):  # to which the example adds its backbone
        output = run_example("detect_digits.py", *tiny, "--network", network, "--output", tmp_path / "detect")
    assert "Average precision on 4 scenes: " in output
    assert (tmp_path / "detect" / "detections.png").read_bytes().startswith(b"\x89PNG")
    detector = keras.saving.load_model(tmp_path / "detect" / "detector.keras")
    assert detector(np.zeros((1, 96, 96, 3)))["boxes"].shape == (1, 30, 4)


def test_the_boxes_of_the_scenes_are_where_the_ink_is(few_scenes):
    images, objects = load("detect_digits.py").scenes("train[:20]", few_scenes)
    for box, image in zip(objects["boxes"][:, 0].astype(int), images, strict=True):  # the ink is brighter than what is around it
        window = image[box[1] : box[3], box[0] : box[2]]
        assert window.max() > 150 > np.median(image)


@pytest.mark.slow
def test_two_processes_are_told_to_train_one_network(tmp_path, monkeypatch, capsys):
    module = load("multi_worker/two_processes.py")
    command, *arguments = module.TRAIN
    assert os.access(command, os.X_OK)
    monkeypatch.setattr(module, "TRAIN", [sys.executable, "-c", "import sys; print(*sys.argv[1:])", *arguments])
    asyncio.run(module.main(["--epochs", "1", "--output", str(tmp_path / "run")]))
    lines = sorted(capsys.readouterr().out.splitlines())
    workers = [cli.parse(line.removeprefix(f"worker {index}: ").split()) for index, line in enumerate(lines)]
    assert [worker.worker for worker in workers] == [0, 1]
    assert vars(workers[0]) == vars(workers[1]) | {"worker": 0}
    assert (workers[0].strategy, workers[0].resume, workers[0].model) == ("multi_worker", True, "SEResNet20")
    assert (workers[0].epochs, workers[0].output) == (1, str(tmp_path / "run"))
    hosts, ports = zip(*(host.split(":") for host in workers[0].hosts), strict=True)
    assert hosts == ("127.0.0.1", "127.0.0.1")
    assert ports[0] != ports[1]


@pytest.mark.exhaustive
def test_two_processes_train_one_network(tmp_path, digits, data_dir):
    digits("train")
    flags = ["--train-split", "train[:128]", "--validation-split", "test[:60]", "--image-size", "8", "--epochs", "1"]
    done = start("multi_worker/two_processes.py", *flags, "--data-dir", data_dir, "--output", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"worker 0: {tmp_path / 'run' / 'last.keras'}: top-1 accuracy" in done.stdout
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["replicas"], config["batch_size_per_replica"]) == (2, 32)


@pytest.mark.slow
def test_when_one_of_two_processes_fails_both_end(tmp_path, monkeypatch, capfd):
    module = load("multi_worker/two_processes.py")
    # The first one ignores SIGTERM, as one that waits for the other does.
    workers = """
import os, pathlib, signal, sys, time
if sys.argv[-1] == "0":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path("pid").write_text(str(os.getpid()))
    time.sleep(1000)
while not pathlib.Path("pid").exists() or not pathlib.Path("pid").read_text():
    time.sleep(0.1)
print("here I end")
sys.exit(3)
"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "TRAIN", [sys.executable, "-c", workers])
    monkeypatch.setattr(module, "SECONDS", 0.5)
    with pytest.raises(ExceptionGroup) as errors:
        asyncio.run(module.main([]))
    assert [str(error) for error in errors.value.exceptions] == ["worker 1 ended with status 3"]
    assert "worker 1: here I end\n" in capfd.readouterr().out
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_kubernetes_job_gives_the_command_what_it_takes():
    volume, service, job = yaml.safe_load_all((MULTI_WORKER / "kubernetes.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    program, *command = container["command"]
    assert program == "keras-senet"
    for index in range(spec["completions"]):
        arguments = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["args"]]
        options = cli.parse([*command, *arguments])
        assert (options.strategy, options.resume, options.worker) == ("multi_worker", True, index)
        assert options.recipe == "paper"
    # https://kubernetes.io/docs/tasks/job/job-with-pod-to-pod-communication/
    name, port = job["metadata"]["name"], container["ports"][0]["containerPort"]
    pods = [f"{name}-{index}.{pod['subdomain']}:{port}" for index in range(spec["parallelism"])]
    assert options.hosts == pods
    assert spec["completionMode"] == "Indexed"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    # All pods see the folder of the run.
    (mount,), (shared,) = container["volumeMounts"], pod["volumes"]
    assert mount["name"] == shared["name"]
    assert shared["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert options.output.startswith(f"{mount['mountPath']}/")
    assert options.data_dir.startswith(f"{mount['mountPath']}/")


@pytest.mark.slow
@pytest.mark.parametrize(("status", "again"), [(0, False), (2, False), (143, True)])
def test_the_slurm_job_gives_the_command_what_it_takes_and_starts_again_when_it_was_stopped(tmp_path, status, again):
    for name, end in (("srun", status), ("scontrol", 0)):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(tmp_path))}/{name}.txt\nexit {end}\n')
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/home/someone", "SLURM_JOB_ID": "17"}
    done = subprocess.run(["bash", MULTI_WORKER / "slurm.sh"], env=environment, check=False)
    assert done.returncode == status
    words = (tmp_path / "srun.txt").read_text().splitlines()
    options = cli.parse(words[words.index("keras-senet") + 1 :])
    assert (options.strategy, options.resume, options.recipe) == ("multi_worker", True, "paper")
    assert options.output.startswith("/home/someone/")
    scontrol = tmp_path / "scontrol.txt"
    assert (scontrol.read_text() if scontrol.exists() else None) == ("requeue\n17\n" if again else None)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["unet", pytest.param("deeplab", marks=pytest.mark.exhaustive)])
def test_the_segmentation_of_digits_trains_measures_and_draws(network, few_scenes, tmp_path, capsys):
    arguments = ["--data-dir", few_scenes, "--output", tmp_path / "out", "--network", network, "--epochs", 1]
    load("segment_digits.py").main([str(argument) for argument in arguments])
    assert re.search(rf"^seresnet18_backbone_{network}: mean IoU \d+\.\d% on 8 scenes", capsys.readouterr().out, re.MULTILINE)
    assert keras.utils.load_img(tmp_path / "out" / "segmentation.png").width > 500
    trained = keras.saving.load_model(tmp_path / "out" / "network.keras")
    assert trained.output_shape == (None, 96, 96, 11)
    assert trained.optimizer.iterations == 2
