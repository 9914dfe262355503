"""TFLite files on an old runtime and in a compiler for integer hardware, each installed into an environment of its own."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from common import DEMO

import keras_senet
from keras_senet import data, export

pytestmark = pytest.mark.exhaustive

ACCURACY = """
import json, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter, OpResolverType

images = np.load(sys.argv[1])
accuracies = {}
for file in sys.argv[2:]:
    for delegates in ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
        interpreter = Interpreter(file, experimental_op_resolver_type=getattr(OpResolverType, delegates))
        interpreter.allocate_tensors()
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        right = []
        for pixels, label in zip(images["pixels"], images["labels"]):
            interpreter.set_tensor(source["index"], pixels[np.newaxis].astype(source["dtype"]))
            interpreter.invoke()
            right.append(interpreter.get_tensor(result["index"])[0].argmax() == label)
        accuracies[f"{file} {delegates}"] = float(np.mean(right))
print(json.dumps(accuracies))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Function from packages to the folder of the programs of an environment with these packages alone."""

    def make(*packages: str):
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *packages], check=True)
        return folder / "bin"

    return make


@pytest.fixture(scope="module")
def validation(data_dir):
    return data.load("digits", "validation", data_dir)


def test_all_kinds_of_files_are_as_accurate_on_the_last_tflite_runtime(environment, validation, data_dir, tmp_path):
    """Version 2.14, of 2023, is what a Raspberry Pi gets from PyPI."""
    network = export.open_classifier(DEMO / "model.keras").model
    calibration = data.load("digits", "train", data_dir)
    files = []
    for kind in export.QUANTIZATIONS:
        files.append(str(tmp_path / f"{kind}.tflite"))
        export.tflite(network, files[-1], images=validation, quantize=kind, calibration=calibration)
    batches = list(data.evaluation_batches(validation, keras_senet.preprocessing_for(network), 64).as_numpy_iterator())
    pixels, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    np.savez(tmp_path / "images.npz", pixels=pixels.round(), labels=labels.argmax(axis=1))
    python = environment("tflite-runtime==2.14.0", "numpy<2") / "python"
    command = [python, "-c", ACCURACY, tmp_path / "images.npz", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    accuracies = json.loads(done.stdout)
    assert len(accuracies) == 2 * 6
    assert min(accuracies.values()) >= 0.988, accuracies


def test_integer_hardware_runs_every_operator_of_int8(environment, validation, data_dir, tmp_path):
    """Arm's compiler for Ethos-U."""
    keras.utils.set_random_seed(0)
    digits = export.open_classifier(DEMO / "model.keras").model
    mobile = keras_senet.SEMobileNet(weights=None, input_shape=(64, 64, 3), classes=10, width_multiplier=0.25)
    noise = np.random.default_rng(0).uniform(0, 255, (40, 64, 64, 3)).astype("float32")
    loose = export.Limits(1, 1, 0, 1)
    export.tflite(digits, tmp_path / "digits.tflite", quantize="int8", calibration=data.load("digits", "train", data_dir))
    export.tflite(mobile, tmp_path / "mobile.tflite", quantize="int8", calibration=noise, limits=loose)
    vela = environment("ethos-u-vela==5.2.0") / "vela"
    for name in ("digits", "mobile"):
        command = [vela, tmp_path / f"{name}.tflite", "--output-dir", tmp_path / "compiled"]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        on_cpu, on_npu = (int(re.search(rf"{unit} operators = (\d+)", report)[1]) for unit in ("CPU", "NPU"))
        assert on_npu > 80
        assert on_cpu == 0, report
