"""A training step of SE-ResNet-50 against ResNet-50's, on the CPU.

Batch 16, 224 px, float32, forward, backward and SGD with momentum. Each side is a process of its own. A machine with other work
disturbs the processor's time less than the clock.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from subprocess import PIPE

from comparison import Comparison, compared, show

BATCH = 16
THREADS = 2
STEPS = 9


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


def seconds(side: subprocess.Popen) -> tuple[float, float]:
    side.stdin.write("\n")
    side.stdin.flush()
    clock, processor = side.stdout.readline().split()
    return float(clock), float(processor)


def steps_in_turn(ours: str, theirs: str, target: float, python: str = sys.executable) -> list[Comparison]:
    """Compares "FRAMEWORK NETWORK" with another that `python` can run, on the clock and by the processor's time."""
    with contextlib.ExitStack() as stack:
        processes = []
        for interpreter, side in ((sys.executable, ours), (python, theirs)):
            # PyTorch's threads would spin while they wait, which counts as processor time.
            environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
            process = subprocess.Popen([interpreter, __file__, side], stdin=PIPE, stdout=PIPE, text=True, env=environment)
            processes.append(stack.enter_context(process))
            if not process.stdout.readline():  # until it is ready, the other would be disturbed
                raise OSError(f"{interpreter} cannot run {side}")
        rounds = [[seconds(process) for process in processes] for _ in range(STEPS)]
    return [
        compared(f"training step of {ours.split()[1]}, {kind}", theirs, [(a[index], b[index]) for a, b in rounds], target=target)
        for index, kind in enumerate(("on the clock", "processor time"))
    ]


def measure() -> list[Comparison]:
    return steps_in_turn("keras_senet SEResNet50", "keras_senet ResNet50", target=1.06)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1])
    else:
        show(measure())
