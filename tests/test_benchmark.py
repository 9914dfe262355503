"""What `benchmark` says of networks, against what is known of them; and how it ends when one cannot be measured."""

import collections
import contextlib
import importlib
import json
import pathlib
import runpy
import signal
import statistics
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from common import DEMO, ROOT

from keras_senet.export import Measurement, benchmark
from keras_senet.plots import tradeoff

WORKER = ROOT / "keras_senet" / "export" / "latency_worker.py"
run_tflite = runpy.run_path(str(WORKER))["_tflite"]  # in this process, what `benchmark` does in one of its own
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
    with_xnnpack, without = ([run_tflite(path, 1, xnnpack)[1] for path in paths] for xnnpack in (True, False))
    assert [one["operators"] for one in with_xnnpack] == [
        {"CONV_2D": 1},
        {"CONV_2D": 1, "CUMSUM": 1, "MUL": 1},
        {"CONV_2D": 1, "MEAN": 1, "ARG_MAX": 1},
    ]
    assert [one["not_delegated"] for one in with_xnnpack] == [[], [("CUMSUM", "sum")], [("ARG_MAX", "Identity")]]
    for one in without:  # all of them
        assert collections.Counter(kind for kind, _ in one["not_delegated"]) == one["operators"]


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
    left = run_tflite(path, 1, True)[1]["not_delegated"]
    assert {name for _, name in left} == {names[tensor] for tensor, count in made.items() if count == 1}
    assert "MAX_POOL_2D" in [kind for kind, _ in left]


def test_times_are_summed_up_over_the_rounds_and_ratios_are_taken_in_each_of_them(tmp_path, monkeypatch):
    times = np.random.default_rng(0).lognormal(size=(3, 6)).tolist()
    paths = [str(tmp_path / f"{index}.tflite") for index in range(3)]
    for index, path in enumerate(paths):
        pathlib.Path(path).write_bytes(bytes(10 + index))
    turns = []

    class Worker(contextlib.nullcontext):
        def __init__(self, path, threads, xnnpack):
            super().__init__(self)
            self.index = paths.index(path)
            self.times = iter(times[self.index])

        def answer(self):
            return {"memory": self.index, "operators": {"ADD": self.index}, "not_delegated": []}

        def run(self):
            turns.append(self.index)
            return next(self.times)

    monkeypatch.setattr(importlib.import_module("keras_senet.export.latency"), "_Worker", Worker)
    measured = benchmark(paths, rounds=6)
    assert turns == 3 * [0, 1, 2, 2, 1, 0]
    for index, (one, row) in enumerate(zip(measured, times, strict=True)):
        assert one.latency_ms == statistics.median(row)
        assert one.latency_ms_p90 == pytest.approx(statistics.quantiles(row, n=10, method="inclusive")[-1])
        assert one.ratio == pytest.approx(statistics.median(time / first for time, first in zip(row, times[0], strict=True)))
        assert (one.network, one.threads, one.xnnpack, one.size) == (paths[index], 1, True, 10 + index)
        assert (one.memory, one.operators, one.not_delegated) == (index, {"ADD": index}, [])


@pytest.mark.slow
def test_each_time_is_that_of_one_run_in_milliseconds_after_another_that_is_not_timed(python):
    """By a clock on which each run takes a second more than the one before."""
    code = """
import io, runpy, sys, types
main = runpy.run_path(sys.argv[1])["main"]
runs, clock = [], [0.0]

def run():
    runs.append("run")
    clock[0] += len(runs)

main.__globals__["_tflite"] = lambda path, threads, xnnpack: (run, {})
main.__globals__["time"] = types.SimpleNamespace(perf_counter=lambda: clock[0])
sys.stdin = io.StringIO(3 * "\\n")
main("network.tflite", 1, True)
"""
    done = python(code, WORKER)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{}, 2000, 4000, 6000], done.stderr


@pytest.mark.slow
def test_more_weights_take_more_memory(tflite):
    weights = tf.random.stateless_uniform((16 * 16 * 3, 2**14), (0, 0))
    small = tflite("small.tflite", convolution)
    big = tflite("big.tflite", lambda images: tf.reshape(images, (1, -1)) @ weights)
    first, other = benchmark([small, big], rounds=1)
    assert other.size - first.size == pytest.approx(weights.shape.num_elements() * 4, rel=0.01)
    # It holds them as they are in the file and as XNNPACK has arranged them; these tests use more than both.
    assert 0.9 < (other.memory - first.memory) / other.size < 3
    assert 0 < first.memory < 50e6


@pytest.mark.slow
def test_a_keras_model_a_saved_model_and_a_tflite_file_side_by_side(tmp_path):
    images = keras.Input((16, 16, 3))
    network = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
    network.save(tmp_path / "network.keras")
    network.export(tmp_path / "saved", verbose=False)
    paths = [str(path) for path in (tmp_path / "network.keras", tmp_path / "saved", DEMO / "model.tflite")]
    measured = benchmark(paths, threads=(2,), xnnpack=(False, True), rounds=3)
    settings = [(paths[0], 2, None), (paths[1], 2, None), (paths[2], 2, False), (paths[2], 2, True)]
    assert [(one.network, one.threads, one.xnnpack) for one in measured] == settings
    assert all(one.operators is one.not_delegated is None for one in measured[:2])
    assert all(one.memory > 0 < one.latency_ms <= one.latency_ms_p90 for one in measured)
    assert measured[0].ratio == 1 != measured[1].ratio
    assert measured[1].size == sum(file.stat().st_size for file in (tmp_path / "saved").rglob("*.*"))


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("dtype", [tf.uint8, tf.int8])
def test_quantized_files_get_pixels_of_their_kind(dtype, tflite):
    run, description = run_tflite(tflite("quantized.tflite", convolution, quantized=dtype), 1, True)
    run()
    assert description["operators"]["CONV_2D"] == 1


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("kind", ["keras", "tflite"])
def test_a_network_has_the_threads_that_were_asked_for(kind, python):
    code = """
import os, runpy, sys
_, worker, path, *numbers = sys.argv
load = runpy.run_path(worker)["_tflite" if path.endswith(".tflite") else "_tensorflow"]
if path.endswith(".keras"):
    import tensorflow as tf
    import keras_senet.export  # here, since it takes four seconds
for number in map(int, numbers):
    if os.fork() == 0:
        before = len(os.listdir("/proc/self/task"))
        loaded = load(path, number, True)
        print(len(os.listdir("/proc/self/task")) - before, end=" ", flush=True)
        if path.endswith(".keras"):
            print(tf.config.threading.get_inter_op_parallelism_threads(), flush=True)
        os._exit(0)
    os.wait()
"""
    done = python(code, WORKER, DEMO / f"model.{kind}", 1, 2, 4)
    if kind == "tflite":  # besides the thread that runs Python
        assert done.stdout.split() == ["0", "1", "3"], done.stderr
    else:  # TensorFlow has others for other purposes
        one, *more = ([int(number) for number in line.split()] for line in done.stdout.splitlines())
        assert more == [[one[0] + 1, 1], [one[0] + 3, 1]], done.stderr


@pytest.mark.slow
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
    names = ["network", "threads", "xnnpack", "latency_ms", "latency_ms_p90", "ratio", "memory", "size"]
    assert list(measured) == [*names, "operators", "not_delegated"]
    assert measured["size"] == path.stat().st_size


def test_the_picture_has_a_mark_for_each_measurement(monkeypatch):
    figures = []
    monkeypatch.setattr(tradeoff, "save_figure", lambda figure, path: figures.append(figure))
    settings = [(threads, xnnpack) for threads in (1, 2) for xnnpack in (True, False)]
    measured = [
        Measurement("model.tflite", threads, xnnpack, 3.0 + index, 5.0, 1.0, 10, int(1.1 * 2**20), {}, [])
        for index, (threads, xnnpack) in enumerate(settings)
    ]
    tradeoff.draw_tradeoff(measured, {"model.tflite": 0.9}, "picture.png")
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == ["1 thread", "2 threads"]
    marks = [
        [(*line.get_xydata()[0], line.get_fillstyle()) for line in axes.lines if len(line.get_xydata())] for axes in figure.axes
    ]
    assert marks == [[(3, 90, "full"), (4, 90, "none")], [(5, 90, "full"), (6, 90, "none")]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["model.tflite, 1.1 MiB", "hollow: without XNNPACK"]


def test_what_cannot_be_a_network_and_numbers_out_of_range_are_said(fails):
    good = DEMO / "model.tflite"
    assert "'model.tflite'" in fails("benchmark", good, DEMO / "modle.tflite")
    assert "is neither a .keras file, nor a .tflite file" in fails("benchmark", good, DEMO / "labels.txt")
    for flags in (("--threads", 1, 0), ("--rounds", 0)):
        assert "must be at least 1. Received" in fails("benchmark", good, *flags)


@pytest.mark.slow
def test_what_cannot_be_measured_is_said(fails, tflite, tmp_path):
    good = DEMO / "model.tflite"
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


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_process_that_dies_is_named_and_none_outlives_it(lines, tmp_path, fails, monkeypatch):
    """One dies after so many answers; the other answers once that has happened, and would live for a minute."""
    worker = tmp_path / "worker.py"
    worker.write_text(f"""
import os, sys, time
dying = "dying" in sys.argv[1]
time.sleep(0 if dying else 0.5)
for line in range({lines} if dying else 100):
    print({{}} if line == 0 else 1.0, flush=True)
if dying:
    os._exit(3)
time.sleep(60)
""")
    module = importlib.import_module("keras_senet.export.latency")
    monkeypatch.setattr(module, "_WORKER", worker)
    workers = []

    class Recorded(module._Worker):
        def __init__(self, *side):
            super().__init__(*side)
            workers.append(self)

    monkeypatch.setattr(module, "_Worker", Recorded)
    paths = [tmp_path / name for name in ("dying.tflite", "sleeping.tflite")]
    for path in paths:
        path.touch()
    assert f"The process that ran {paths[0]} died; its exit code is 3." in fails("benchmark", *paths)
    assert [worker.returncode for worker in workers] == [3, -signal.SIGKILL]
