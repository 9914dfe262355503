"""The benchmark of networks on this machine: latency, memory, file size, and operators that XNNPACK does not run."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from keras_senet.errors import DeadProcessError, InputError, existing_path, require

_WORKER = pathlib.Path(__file__).with_name("latency_worker.py")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The result of `benchmark` for one network with one setting.

    Attributes:
        network: path of the network.
        threads: number of threads.
        xnnpack: whether TFLite could use its delegate XNNPACK; None for TensorFlow, which has no such delegate.
        latency_ms: median time from pixels to results for one image, or for a batch of a TFLite file, milliseconds.
        latency_ms_p90: 90th percentile of the time, milliseconds.
        ratio: time relative to that of the first measurement, median over the rounds.
        memory: peak memory that loading and running the network added to a process with TFLite or TensorFlow imported, bytes;
            it is not zero even for the smallest network.
        size: size of the file, or of all files in the folder, bytes.
        operators: number of operators of each kind in a TFLite file; None for TensorFlow.
        not_delegated: kind of each operator that XNNPACK does not run, and the name of its output tensor; None for TensorFlow.

    Example:

    >>> sizes = {"memory": 3_000_000, "size": 1_200_000}  # bytes
    >>> operators = {"operators": {"CONV_2D": 21}, "not_delegated": []}
    >>> measured = keras_senet.export.Measurement("model.tflite", 1, True, 2.0, 2.5, 1.0, **sizes, **operators)
    >>> measured.latency_ms, measured.latency_ms_p90
    (2.0, 2.5)
    """

    network: str
    threads: int
    xnnpack: bool | None
    latency_ms: float
    latency_ms_p90: float
    ratio: float
    memory: int
    size: int
    operators: dict[str, int] | None
    not_delegated: list[list[str]] | None


def benchmark(
    networks: Sequence[str | os.PathLike],
    threads: Sequence[int] = (1,),
    xnnpack: Sequence[bool] = (True,),
    rounds: int = 30,
) -> list[Measurement]:
    """Measures networks side by side on the CPU of this machine, each with each setting.

    Each network has its own process, and the processes take turns. In each round, each network runs once untimed and once timed;
    every second round is in reverse order. Other load on the machine slows all networks equally, so the ratios are the most
    reliable numbers.

    Args:
        networks: `.tflite` files with float32, uint8 or int8 input, which TFLite runs; `.keras` files and folders of SavedModels
            from `saved_model`, which TensorFlow runs. They must take images of one fixed size; the images are random pixels.
        threads: numbers of threads, each at least 1.
        xnnpack: whether TFLite uses its delegate XNNPACK, which is its default: True, False or both.
        rounds: number of timed runs of each network, at least 1.

    Returns:
        A `Measurement` for each network, number of threads and, for TFLite, value of `xnnpack`, in this order.

    Raises:
        FileNotFoundError: if there is nothing at one of the paths.
        ValueError: if a network is damaged, has another format, or does not take images of one fixed size; or if a number is out
            of its range.
        ChildProcessError: if the process of a network dies.
        ImportError: if there is a `.tflite` file and ai-edge-litert is not installed.

    Example:

    >>> images = keras.Input((32, 32, 3))
    >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    >>> model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    >>> proof = keras_senet.export.tflite(model, "model.tflite")
    >>> (measured,) = keras_senet.export.benchmark(["model.tflite"])
    >>> measured.latency_ms > 0
    True
    >>> measured.operators
    {'CONV_2D': 1, 'MEAN': 1, 'FULLY_CONNECTED': 1, 'SOFTMAX': 1}
    """
    if any(number < 1 for number in (rounds, *threads)):
        raise InputError(f"`rounds` and each of `threads` must be at least 1. Received: rounds={rounds}, threads={threads}")
    sides = []
    for path in map(existing_path, networks):
        if path.endswith(".tflite"):
            require("ai_edge_litert.interpreter", "mobile")
        elif not path.endswith(".keras") and not os.path.isdir(path):
            raise InputError(f"{path} is neither a .keras file, nor a .tflite file, nor the folder of a SavedModel.")
        choices = xnnpack if path.endswith(".tflite") else (None,)
        sides += [(path, number, choice) for number in threads for choice in choices]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(*side)) for side in sides]
        descriptions = [worker.answer() for worker in workers]
        times = np.empty((len(workers), rounds))
        for turn in range(rounds):
            for index in range(len(workers))[:: -1 if turn % 2 else 1]:
                times[index, turn] = workers[index].run()
    return [
        Measurement(
            *side,
            latency_ms=float(np.median(row)),
            latency_ms_p90=float(np.percentile(row, 90)),
            ratio=float(np.median(row / times[0])),
            size=_size(pathlib.Path(side[0])),
            **description,
        )
        for side, row, description in zip(sides, times, descriptions, strict=True)
    ]


class _Worker(subprocess.Popen):
    """A process of latency_worker.py, which ends at the end of its `with` block."""

    def __init__(self, path: str, threads: int, xnnpack: bool | None):
        command = [sys.executable, "-P", str(_WORKER), path, str(threads), str(xnnpack)]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path = path

    def __exit__(self, *exception):
        self.kill()
        with contextlib.suppress(BrokenPipeError):  # it may have died before it read everything
            super().__exit__(*exception)

    def run(self) -> float:
        """Times one run, milliseconds."""
        with contextlib.suppress(BrokenPipeError):  # if it is dead, `answer` says so
            print(file=self.stdin, flush=True)
        return self.answer()

    def answer(self):
        line = self.stdout.readline()
        if not line:
            raise DeadProcessError(f"The process that ran {self.path} died; its exit code is {self.wait()}.")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise InputError(answer["error"])
        return answer


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
