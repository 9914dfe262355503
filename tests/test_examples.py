"""The examples, run as their users run them, on less data."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT


@pytest.mark.slow
def test_the_ablation_study_compares_variants_and_does_nothing_twice(tmp_path, digits, data_dir):
    digits("train")
    command = [sys.executable, ROOT / "examples" / "ablation.py", "--output", tmp_path, "--data-dir", data_dir]
    command += ["--train-split", "train[:128]", "--held-out-split", "test[:60]", "--image-size", "8", "--epochs", "1"]
    command += ["--studies", "excitation", "--seeds", "2", "--batch-size", "32"]

    def run(*arguments):
        return subprocess.run([*map(str, command), *arguments], capture_output=True, text=True, check=False, env=os.environ)

    done = run()
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "table.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["ReLU", "tanh"]
    for row in rows:
        runs = sorted((tmp_path / "excitation" / row["variant"]).iterdir())
        errors = [100 - 100 * json.loads((folder / "metrics.json").read_text())["last"]["top1"] for folder in runs]
        assert len(errors) == 2
        np.testing.assert_allclose([float(row["error"]), float(row["deviation"])], [np.mean(errors), np.std(errors, ddof=1)])
        assert int(row["parameters"]) == json.loads((runs[0] / "config.json").read_text())["parameters"] == 272_095
        # Each layer of the network strides as at 32 pixels, and sees a sixteenth of the positions; SE and the head stay.
        assert int(row["multiply_adds"]) == (40_553_056 - 2_016 - 640) // 16 + 2_016 + 640
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")

    assert "loss" in done.stdout
    assert "loss" not in run().stdout  # all is done already
    other = run("--learning-rate", "0.2")
    assert other.returncode == 1
    assert "holds a run of another recipe" in other.stderr


@pytest.mark.slow
def test_a_run_that_diverges_does_not_end_the_study(tmp_path, digits, data_dir):
    digits("train")
    command = [sys.executable, ROOT / "examples" / "ablation.py", "--output", tmp_path, "--data-dir", data_dir, "--seeds", "1"]
    command += ["--train-split", "train[:128]", "--held-out-split", "test[:60]", "--image-size", "8", "--epochs", "1"]
    command += ["--studies", "excitation", "--batch-size", "32", "--learning-rate", "1e30"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "table.csv") as file:
        assert [(row["error"], row["diverged"]) for row in csv.DictReader(file)] == [("nan", "1")] * 2


def test_a_mistake_in_the_ablation_study_is_one_line(tmp_path, digits, data_dir):
    digits("train")
    command = [sys.executable, ROOT / "examples" / "ablation.py", "--output", tmp_path / "study", "--data-dir", data_dir]
    done = subprocess.run([*map(str, command), "--model", "SEResNt20"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ablation.py: error: There is no model 'SEResNt20'. Did you mean 'SEResNet20'")
    assert not (tmp_path / "study").exists()
