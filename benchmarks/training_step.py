"""A training step of SE-ResNet-50 against ResNet-50's, and of ours against timm's in PyTorch, on the CPU.

Batch 16, 224 px, float32, forward, backward and SGD with momentum. Each side is a process of its own; the two sides of a ratio
take turns, and the median of each is quoted, on the clock and of processor time, which a machine with other work disturbs less.
PyTorch is no dependency of ours: `--torch-python` names an interpreter that has `torch` and `timm`, and without it these ratios
are skipped.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from subprocess import PIPE

BATCH = 16
THREADS = 2
# timm's `legacy_` networks are those of the SE authors, as ours are: the same layers, strides and numbers of multiply-adds.
RIVALS = {"SEResNet50": "legacy_seresnet50", "SEResNeXt50": "legacy_seresnext50_32x4d"}


def keras_step(name: str) -> Callable[[], object]:
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_senet

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    attention = "se" if name.startswith("SE") else None
    build = getattr(keras_senet, name if attention else f"SE{name}")
    network = build(weights=None, attention=attention, include_preprocessing=False)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    network.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    random = np.random.default_rng(0)
    images, labels = random.standard_normal((BATCH, 224, 224, 3), "float32"), random.integers(0, 1000, BATCH)
    return lambda: network.train_on_batch(images, labels)


def timm_step(name: str) -> Callable[[], object]:
    import timm
    import torch

    torch.set_num_threads(THREADS)
    network = timm.create_model(name)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    images, labels = torch.randn(BATCH, 3, 224, 224), torch.randint(1000, (BATCH,))

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def serve(side: str) -> None:
    """Takes a step for each line on stdin and answers with its seconds, on the clock and of the processor."""
    framework, name = side.split()
    step = {"keras_senet": keras_step, "timm": timm_step}[framework](name)
    step()  # traces, and allocates
    print("ready", flush=True)
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        step()
        print(time.perf_counter() - clock, time.process_time() - processor, flush=True)


def seconds(side: subprocess.Popen) -> list[float]:
    side.stdin.write("\n")
    side.stdin.flush()
    return [float(value) for value in side.stdout.readline().split()]


def compare(sides: tuple[str, str], steps: int, torch_python: str | None) -> None:
    with contextlib.ExitStack() as stack:
        processes = []
        for side in sides:
            python = torch_python if side.startswith("timm") else sys.executable
            process = subprocess.Popen([python, __file__, "--side", side], stdin=PIPE, stdout=PIPE, text=True)
            processes.append(stack.enter_context(process))
            process.stdout.readline()  # until it is ready, the other would be disturbed
        rounds = [[seconds(process) for process in processes] for _ in range(steps)]
    for index, kind in enumerate(("on the clock", "of the processor")):
        first, second = (statistics.median(taken[index] for taken in side) for side in zip(*rounds, strict=True))
        print(f"{sides[0]}: {first:.2f} s {kind}, {sides[1]}: {second:.2f} s; ratio {first / second:.3f}", flush=True)


def why_without(torch_python: str | None) -> str | None:
    """Why the ratios to timm cannot be taken, or None."""
    if torch_python is None:
        return "no --torch-python was given"
    try:
        command = [torch_python, __file__, "--side", "timm legacy_seresnet50"]
        subprocess.run(command, input="", check=True, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return error.stderr.strip().splitlines()[-1]
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-python", help="an interpreter that has torch and timm")
    parser.add_argument("--steps", type=int, default=9, help="counted steps of each side")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side)
        return
    compare(("keras_senet SEResNet50", "keras_senet ResNet50"), options.steps, None)
    if reason := why_without(options.torch_python):
        print(f"The ratios to timm are skipped: {reason}")
        return
    for ours, theirs in RIVALS.items():
        compare((f"keras_senet {ours}", f"timm {theirs}"), options.steps, options.torch_python)


if __name__ == "__main__":
    main()
