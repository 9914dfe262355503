"""What networks cost where they run: time, memory, file size, and the operators that XNNPACK leaves to others."""

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
    """What `benchmark` found of one network with one setting.

    Attributes:
        network: the path of the network.
        threads: number of threads that it ran on.
        xnnpack: whether TFLite could use its delegate XNNPACK; None for TensorFlow, which does not.
        latency_ms: median time from pixels to results, for one image, or for as many as a TFLite file takes at once.
        latency_ms_p90: the 90th percentile of it.
        ratio: how many times as long as the first one it took, the median over the rounds.
        memory: the most that loading and running it added to the memory of a process that had imported TFLite or TensorFlow,
            bytes; that of the smallest network is not zero.
        size: size of the file, or of all files in the folder, bytes.
        operators: number of operators of each kind in a TFLite file; None for TensorFlow.
        not_delegated: kind of each operator that XNNPACK did not take, and the name of the tensor that it makes; None for
            TensorFlow.
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

    Each has a process of its own, and all take turns: in each round each runs once untimed and once timed, in every second
    round in reverse order. Whatever else slows the machine down slows all of them alike, so trust the ratios most.

    Args:
        networks: `.tflite` files with float32, uint8 or int8 input, which TFLite runs; `.keras` files, and folders of
            SavedModels that `saved_model` wrote, which TensorFlow runs. They must take images of one fixed size, and are shown
            random pixels.
        threads: numbers of threads, each at least 1.
        xnnpack: whether TFLite uses its delegate XNNPACK, as it does by itself: True, False or both.
        rounds: how often each is timed, at least 1.

    Returns:
        A `Measurement` for each network, number of threads, and for TFLite each of `xnnpack`, in this order.

    Raises:
        FileNotFoundError: if there is nothing at one of the paths.
        ValueError: if a network is damaged, of another kind, or takes anything else than images of one fixed size; or if a
            number is out of its range.
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
    """A process of latency_worker.py, which ends with the `with` block that it is opened in."""

    def __init__(self, path: str, threads: int, xnnpack: bool | None):
        command = [sys.executable, "-P", str(_WORKER), path, str(threads), str(xnnpack)]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path = path

    def __exit__(self, *exception):
        self.kill()
        with contextlib.suppress(BrokenPipeError):  # it may have died before it read all
            super().__exit__(*exception)

    def run(self) -> float:
        """Milliseconds of one run."""
        with contextlib.suppress(BrokenPipeError):  # if it is dead, it does not answer either
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
