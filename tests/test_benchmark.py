"""What `benchmark` says of networks, against what is known of them; and how it ends when one cannot be measured."""

import collections
import importlib
import json
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import DEMO, ROOT

from keras_senet.export import benchmark
from keras_senet.training import pictures

WORKER = ROOT / "keras_senet" / "export" / "benchmark_worker.py"
KERNEL = np.ones((3, 3, 3, 8), "float32")


@pytest.fixture
def tflite(tmp_path):
    """Writes a function of one array, or of several, as a TFLite file."""

    def write(name: str, function, *inputs, quantized=None) -> str:
        inputs = inputs or (tf.TensorSpec((1, 16, 16, 3)),)
        concrete = tf.function(function).get_concrete_function(*inputs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        if quantized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: [[255 * np.random.default_rng(0).random((1, 16, 16, 3), "float32")]]
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = quantized
        (tmp_path / name).write_bytes(converter.convert())
        return str(tmp_path / name)

    return write


def convolution(images):
    return tf.nn.relu(tf.nn.conv2d(images, KERNEL, 1, "SAME"))


def test_the_operators_that_xnnpack_does_not_take_are_named(tflite):
    paths = [
        tflite("all.tflite", convolution),
        tflite("sum.tflite", lambda images: 2 * tf.cumsum(convolution(images), axis=1, name="sum")),
        tflite("class.tflite", lambda images: tf.argmax(tf.reduce_mean(convolution(images), (1, 2)), axis=-1)),
    ]
    measured = benchmark(paths, xnnpack=(True, False), rounds=1)
    assert [one.operators for one in measured[::2]] == [
        {"CONV_2D": 1},
        {"CONV_2D": 1, "CUMSUM": 1, "MUL": 1},
        {"CONV_2D": 1, "MEAN": 1, "ARG_MAX": 1},
    ]
    assert [one.not_delegated for one in measured[::2]] == [[], [["CUMSUM", "sum"]], [["ARG_MAX", "Identity"]]]
    for one in measured[1::2]:  # without XNNPACK, all of them
        assert collections.Counter(kind for kind, _ in one.not_delegated) == one.operators


def test_what_is_delegated_is_what_has_a_delegate_of_its_own(tflite):
    """Against a delegate for each operator, which makes the same tensor."""
    path = tflite(
        "pool.tflite",
        lambda images: convolution(tf.nn.max_pool2d(tf.pad(convolution(images), 4 * [(0, 1)])[:1, :, :, :3], 1, 2, "VALID")),
    )
    interpreter = Interpreter(path, experimental_disable_delegate_node_fusion=True)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    made = collections.Counter(int(tensor) for node in nodes for tensor in node["outputs"])
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    (measured,) = benchmark([path], rounds=1)
    assert {name for _, name in measured.not_delegated} == {names[tensor] for tensor, count in made.items() if count == 1}
    assert "MAX_POOL_2D" in [kind for kind, _ in measured.not_delegated]


def test_more_work_takes_longer_and_more_weights_take_more_memory(tflite):
    weights = tf.random.stateless_uniform((16 * 16 * 3, 2**14), (0, 0))
    small = tflite("small.tflite", convolution)
    big = tflite("big.tflite", lambda images: tf.reshape(images, (1, -1)) @ weights)
    first, other = benchmark([small, big])
    assert other.ratio > 5
    assert other.milliseconds > 5 * first.milliseconds
    assert other.size - first.size == pytest.approx(weights.shape.num_elements() * 4, rel=0.01)
    # It holds them as they are in the file and as XNNPACK has arranged them; these tests use more than both.
    assert 0.9 < (other.memory - first.memory) / other.size < 3
    assert 0 < first.memory < 50e6


def test_a_network_takes_as_long_as_itself_and_as_the_interpreter_says():
    path = str(DEMO / "model.tflite")
    first, again = benchmark([path, path])
    assert first.ratio == 1
    assert 0.5 < again.ratio < 2
    assert 0 < first.milliseconds <= first.milliseconds_90
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    times = []
    for _ in range(60):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(1000 * (time.perf_counter() - start))
    assert 0.2 < first.milliseconds / np.median(times) < 5


def test_a_keras_model_a_saved_model_and_a_tflite_file_side_by_side(tmp_path):
    keras.saving.load_model(DEMO / "model.keras").export(tmp_path / "saved", verbose=False)
    paths = [str(path) for path in (DEMO / "model.keras", tmp_path / "saved", DEMO / "model.tflite")]
    measured = benchmark(paths, threads=(2,), xnnpack=(False, True), rounds=3)
    settings = [(paths[0], 2, None), (paths[1], 2, None), (paths[2], 2, False), (paths[2], 2, True)]
    assert [(one.network, one.threads, one.xnnpack) for one in measured] == settings
    assert all(one.operators is one.not_delegated is None for one in measured[:2])
    assert all(one.memory > 0 < one.milliseconds for one in measured)
    assert measured[1].size == sum(file.stat().st_size for file in (tmp_path / "saved").rglob("*.*"))


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("dtype", [tf.uint8, tf.int8])
def test_quantized_files_get_pixels_of_their_kind(dtype, tflite):
    (measured,) = benchmark([tflite("quantized.tflite", convolution, quantized=dtype)], rounds=2)
    assert measured.operators["CONV_2D"] == 1


def test_a_tflite_file_is_measured_without_tensorflow(python):
    code = """
import io, runpy, sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["keras_senet"] = None
worker, *sys.argv[1:] = sys.argv[1:]
sys.stdin = io.StringIO("\\n\\n")
runpy.run_path(worker, run_name="__main__")
"""
    done = python(code, WORKER, DEMO / "model.tflite", 1, True)
    description, *times = map(json.loads, done.stdout.splitlines())
    assert description["operators"]["CONV_2D"] == 19
    assert len(times) == 2


@pytest.mark.parametrize("kind", ["keras", "tflite"])
def test_a_network_keeps_to_its_thread(kind, python, tmp_path):
    """Seconds of the processor against those of the clock; each runs on all cores by itself."""
    images = keras.Input((128, 128, 3))
    network = keras.Model(images, keras.layers.Conv2D(64, 3)(keras.layers.Conv2D(64, 3)(images)))
    path = tmp_path / f"network.{kind}"
    if kind == "keras":
        network.save(path)
    else:
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
    code = """
import runpy, sys, time
load = runpy.run_path(sys.argv[1])["_tflite" if sys.argv[2].endswith("tflite") else "_tensorflow"]
run, _ = load(sys.argv[2], 1, True)
wall, processor = time.perf_counter(), time.process_time()
for _ in range(20):
    run()
print((time.process_time() - processor) / (time.perf_counter() - wall))
"""
    done = python(code, WORKER, path)
    assert float(done.stdout) < 1.2, done.stderr


def test_the_command_prints_what_it_measured(run, fails, digits, data_dir, tmp_path, capsys):
    digits("train")
    capsys.readouterr()  # what preparing them printed
    path, picture = DEMO / "model.tflite", tmp_path / "picture.png"
    command = ("benchmark", path, "--xnnpack", "on", "off", "--rounds", 2, "--data-dir", data_dir, "--picture", picture)
    assert "say with --dataset" in fails(*command)
    status, output, _ = run(*command, "--dataset", "digits")
    assert status == 0
    title, on, off = (line.split() for line in output.splitlines())
    assert title[:5] == ["network", "threads", "XNNPACK", "median", "ms"]
    assert [on[:3], off[:3]] == [[str(path), "1", "on"], [str(path), "1", "off"]]
    card = (DEMO / "README.md").read_text()
    assert on[7:10] == ["1.1", "84", "none"]
    assert off[9:] == ["all", on[10]]
    assert on[10] in card
    assert picture.read_bytes().startswith(b"\x89PNG")
    (measured,) = json.loads(run("benchmark", path, "--rounds", 2, "--json")[1])
    names = ["network", "threads", "xnnpack", "milliseconds", "milliseconds_90", "ratio", "memory", "size"]
    assert list(measured) == [*names, "operators", "not_delegated"]
    assert measured["size"] == path.stat().st_size


def test_the_picture_has_a_mark_for_each_measurement(monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "save_figure", lambda figure, path: figures.append(figure))
    path = str(DEMO / "model.tflite")
    measured = benchmark([path], threads=(1, 2), xnnpack=(True, False), rounds=2)
    pictures.draw_tradeoff(measured, {path: 0.9}, "picture.png")
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == ["1 thread", "2 threads"]
    for number, axes in enumerate(figure.axes, start=1):
        marks = [(*line.get_xydata()[0], line.get_fillstyle()) for line in axes.lines if len(line.get_xydata())]
        expected = [one for one in measured if one.threads == number]
        assert marks == [(one.milliseconds, 90, "full" if one.xnnpack else "none") for one in expected]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [f"{path}, 1.1 MiB", "hollow: without XNNPACK"]


def test_what_cannot_be_measured_is_said(fails, tflite, tmp_path):
    good = DEMO / "model.tflite"
    assert "'model.tflite'" in fails("benchmark", good, DEMO / "modle.tflite")
    assert "is neither a .keras file, nor a .tflite file" in fails("benchmark", good, DEMO / "labels.txt")
    for source in (good, DEMO / "model.keras"):
        damaged = tmp_path / f"damaged{source.suffix}"
        damaged.write_bytes(source.read_bytes()[:5000])
        assert f"{damaged} cannot be measured: " in fails("benchmark", good, damaged)
    assert f"{tmp_path} cannot be measured: " in fails("benchmark", tmp_path)
    for message, *inputs in (
        ("it must take one array, a batch of images, and takes 2.", *2 * [tf.TensorSpec((1, 8))]),
        ("and takes shape (1, -1, 8, 3) of float32.", tf.TensorSpec((1, None, 8, 3))),
        ("and takes shape (1, 8) of int32.", tf.TensorSpec((1, 8), tf.int32)),
    ):
        path = tflite("odd.tflite", lambda *arrays: sum(array + array for array in arrays), *inputs)
        assert f"{path} cannot be measured: it must take" in (line := fails("benchmark", good, path))
        assert message in line
    for flags in (("--threads", 1, 0), ("--rounds", 0)):
        assert "must be at least 1. Received" in fails("benchmark", good, *flags)


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_process_that_dies_is_named_and_none_outlives_it(lines, tmp_path, fails, monkeypatch):
    """One dies after so many answers; the other answers once that has happened, and never ends by itself."""
    worker = tmp_path / "worker.py"
    worker.write_text(f"""
import os, sys, time
dying = "dying" in sys.argv[1]
time.sleep(0 if dying else 0.5)
for line in range({lines} if dying else 100):
    print({{}} if line == 0 else 1.0, flush=True)
if dying:
    os._exit(3)
time.sleep(3600)
""")
    module = importlib.import_module("keras_senet.export.benchmark")
    monkeypatch.setattr(module, "_WORKER", worker)
    paths = [tmp_path / name for name in ("dying.tflite", "sleeping.tflite")]
    for path in paths:
        path.touch()
    start = time.perf_counter()
    assert f"The process that ran {paths[0]} died; its exit code is 3." in fails("benchmark", *paths)
    assert time.perf_counter() - start < 60
