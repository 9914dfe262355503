"""Our networks beside timm's on one GPU: images a second, memory, share of the device's peak, and what SE adds.

    python benchmarks/gpu.py --seconds 480                     # on a GPU
    python benchmarks/gpu.py --small                           # small networks and images, on a CPU

Ours run on JAX, timm's on PyTorch; `--torch-python` names another interpreter for these. Each side is a process of its own. All
sides of a case compile at once, and then take turns, so that noise hits all alike; medians are quoted. Cases come in the order of
their worth, and each is stored as it ends, so a run that is cut short still tells something. What is not installed is left out by
name.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine

RESULTS = pathlib.Path(__file__).parent / "results"
ROUND_SECONDS = 1.0  # a round takes as many steps as fit
ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Side:
    """One network as one framework computes it."""

    framework: str  # "jax" and "tensorflow" run ours; "torch" runs timm's
    network: str  # our constructor, or timm's name
    work: str = "train"  # forward, backward and SGD with momentum; "fit", the same by Keras' `fit`; or "predict"
    precision: str = "bfloat16"  # weights and sums in float32; or "float32", in which multiplications may use TF32
    attention: str | None = "se"
    stride_in_3x3: bool = False  # as timm's later networks have it, where the authors' stride in the first 1x1 convolution
    own_grouped_conv: bool = True  # our GroupedConv2D, not the grouped convolution of Keras' backend
    own_batch_norm: bool = True  # our BatchNormalization, not that of Keras
    compiled: bool = True  # by torch.compile; ours always are

    def __str__(self) -> str:
        plain = "" if self.attention else " without SE"
        strides = ", stride in 3x3" if self.stride_in_3x3 else ""
        grouped = "" if self.own_grouped_conv else ", the backend's grouped convolution"
        norm = "" if self.own_batch_norm else ", Keras' batch normalization"
        eager = "" if self.compiled else ", eager"
        return f"{self.network}{plain}{strides}{grouped}{norm} on {self.framework}{eager}, {self.work}, {self.precision}"


@dataclasses.dataclass(frozen=True)
class Case:
    """Sides that are measured together, and the ratios of their times: what each says, and the numbers of the two sides."""

    title: str
    batch: int
    sides: tuple[Side, ...]
    ratios: tuple[tuple[str, int, int], ...]


SE_COST = "time with SE over time without"
SPEED = "speed of ours over that of timm's"


def cases(small: bool) -> list[Case]:
    """In the order of their worth. Both sides of a ratio compute the same multiply-adds, but where SE is the difference."""
    ours, legacy, theirs, theirs_plain = (
        ("SEResNet18", "legacy_seresnet18", "legacy_seresnet18", "resnet18")
        if small
        else ("SEResNet50", "legacy_seresnet50", "seresnet50", "resnet50")
    )
    grouped, theirs_grouped = (
        ("SEResNeXt26", "legacy_seresnext26_32x4d") if small else ("SEResNeXt50", "legacy_seresnext50_32x4d")
    )
    batch = 4 if small else 256
    compiled = not small  # torch.compile takes minutes on a CPU

    def with_and_without_se(work: str) -> tuple[Side, ...]:
        strides = {"stride_in_3x3": not small}
        return (
            Side("jax", ours, work, **strides),
            Side("jax", ours, work, attention=None, **strides),
            Side("torch", theirs, work, compiled=compiled),
            Side("torch", theirs_plain, work, attention=None, compiled=compiled),
        )

    four = (
        (f"{SE_COST}, ours", 0, 1),
        (f"{SE_COST}, timm's", 2, 3),
        (f"{SPEED}, with SE", 2, 0),
        (f"{SPEED}, without SE", 3, 1),
    )
    two = ((SPEED, 1, 0),)
    every = [
        Case(
            "training step",
            batch,
            (Side("jax", ours), Side("torch", legacy, compiled=compiled), Side("jax", ours, own_batch_norm=False)),
            (*two, ("time with Keras' batch normalization over that with ours", 2, 0)),
        ),
        Case("training step, timm's strides", batch, with_and_without_se("train"), four),
        Case(
            "dispatch",
            batch,
            (Side("jax", ours), Side("jax", ours, "fit"), Side("torch", legacy, compiled=False)),
            (("time in fit over time of its steps", 1, 0), ("speed of ours over that of timm's, eager", 2, 0)),
        ),
        Case("inference", batch, with_and_without_se("predict"), four),
        Case(
            "training step in float32, with TF32 where there is",
            batch,
            (Side("jax", ours, precision="float32"), Side("torch", legacy, precision="float32", compiled=compiled)),
            two,
        ),
        Case(
            "training step with grouped convolutions",
            batch,
            (
                Side("jax", grouped),
                Side("torch", theirs_grouped, compiled=compiled),
                Side("jax", grouped, own_grouped_conv=False),
            ),
            (*two, ("time with the backend's grouped convolution over that with ours", 2, 0)),
        ),
        Case(
            "training step on TensorFlow",
            batch,
            (Side("jax", ours), Side("tensorflow", ours)),
            (("time on TensorFlow over JAX", 1, 0),),
        ),
    ]
    if not small:
        every.insert(-1, Case("training step of SENet-154", 64, (Side("jax", "SENet154"), Side("torch", "legacy_senet154")), two))
    return every


# What the process of one side does.


def our_network(side: Side, size: int):
    """Without preprocessing: normalized images are what timm's networks take, too."""
    import keras

    import keras_senet
    from keras_senet.models import blocks
    from keras_senet.models.build import constructor

    keras.config.set_dtype_policy("mixed_bfloat16" if side.precision == "bfloat16" else "float32")
    if not side.own_grouped_conv:
        blocks.GroupedConv2D = keras.layers.Conv2D
    if not side.own_batch_norm:
        blocks.BatchNormalization = keras.layers.BatchNormalization
    construct = getattr(keras_senet, side.network)
    if side.stride_in_3x3:
        architecture = dataclasses.replace(construct.architecture, stride_in_3x3=True)
        construct = constructor(side.network, architecture, construct.features, side.network)
    return construct(weights=None, input_shape=(size, size, 3), attention=side.attention, include_preprocessing=False)


def compiled_by_keras(side: Side, batch: int, size: int):
    """The network, ready to train, and a batch on the device."""
    import keras
    import numpy as np

    network = our_network(side, size)
    network.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    network.optimizer.build(network.trainable_variables)
    random = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(random.standard_normal((batch, size, size, 3), "float32"))
    return network, images, keras.ops.convert_to_tensor(random.integers(0, 1000, batch, "int32"))


def jax_steps(side: Side, batch: int, size: int) -> tuple[Callable[[int], object], dict]:
    """Function that takes so many steps and waits for the last of them, and facts about the side."""
    import jax
    import keras

    from keras_senet.analysis import profile

    network, images, labels = compiled_by_keras(side, batch, size)
    facts = {
        "multiply_adds": profile(network).total.multiply_adds,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    facts |= {"platform": jax.devices()[0].platform, "keras": keras.__version__}
    trainable, frozen = (
        [variable.value for variable in part] for part in (network.trainable_variables, network.non_trainable_variables)
    )
    if side.work == "predict":
        predict = jax.jit(lambda images: network.stateless_call(trainable, frozen, images, training=False)[0])

        def run(steps: int) -> None:
            for _ in range(steps):
                outputs = predict(images)
            outputs.block_until_ready()

    elif side.work == "fit":

        class SameBatch(keras.utils.PyDataset):
            """One batch that stays on the device, again and again."""

            def __init__(self, steps: int):
                super().__init__()
                self.steps = steps

            def __len__(self) -> int:
                return self.steps

            def __getitem__(self, index: int):
                return images, labels

        def run(steps: int) -> None:
            network.fit(SameBatch(steps), verbose=0)

    else:
        metrics = [variable.value for variable in network.metrics_variables]
        state = [trainable, frozen, [variable.value for variable in network.optimizer.variables], metrics]
        step = jax.jit(network.train_step, donate_argnums=0)

        def run(steps: int) -> None:
            for _ in range(steps):
                logs, state[:] = step(tuple(state), (images, labels))
            logs["loss"].block_until_ready()

    return run, facts


def tensorflow_steps(side: Side, batch: int, size: int) -> tuple[Callable[[int], object], dict]:
    import tensorflow as tf

    from keras_senet.analysis import profile

    network, images, labels = compiled_by_keras(side, batch, size)
    step = tf.function(lambda: network.train_step((images, labels)), jit_compile=True)

    def run(steps: int) -> None:
        for _ in range(steps):
            logs = step()
        logs["loss"].numpy()

    gpus = tf.config.list_physical_devices("GPU")
    facts = {"multiply_adds": profile(network).total.multiply_adds, "tensorflow": tf.__version__}
    return run, facts | {"platform": "gpu" if gpus else "cpu"}


def torch_steps(side: Side, batch: int, size: int) -> tuple[Callable[[int], object], dict]:
    import timm
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    network = timm.create_model(side.network).to(device, memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,), device=device)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    forward = torch.compile(network) if side.compiled else network
    autocast = torch.autocast(device, torch.bfloat16, enabled=side.precision == "bfloat16")

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode(), autocast:
            forward(images)

    network.train(side.work == "train")
    step = predict if side.work == "predict" else train

    def run(steps: int) -> None:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    platform_name = "gpu" if device == "cuda" else "cpu"
    return run, {"device": name, "platform": platform_name, "torch": torch.__version__, "timm": timm.__version__}


STEPS = {"jax": jax_steps, "tensorflow": tensorflow_steps, "torch": torch_steps}


def peak_memory(framework: str) -> int | None:
    """Bytes of the device that were taken at most; None where the framework does not tell."""
    if framework == "jax":
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if framework == "tensorflow":
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"] if tf.config.list_physical_devices("GPU") else None
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def is_out_of_memory(error: Exception) -> bool:
    return type(error).__name__ in ("OutOfMemoryError", "ResourceExhaustedError") or "RESOURCE_EXHAUSTED" in str(error)


def serve(side: Side, batch: int, size: int) -> None:
    """Says on stdout, a line of JSON each: what it took to compile, and for each line on stdin the seconds of a step."""

    def say(**facts) -> None:
        print(json.dumps(facts), flush=True)

    try:
        started = time.perf_counter()
        run, facts = STEPS[side.framework](side, batch, size)
        built = time.perf_counter()
        run(1)
        compiled = time.perf_counter()
        run(2)
        steps = max(1, round(2 * ROUND_SECONDS / (time.perf_counter() - compiled)))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        say(out_of_memory=True)
        return
    say(build_seconds=built - started, compile_seconds=compiled - built, steps_in_a_round=steps, **facts)
    for line in sys.stdin:
        if line.startswith("kernels"):
            say(kernels=kernels(run))
            continue
        started = time.perf_counter()
        run(steps)
        say(seconds=(time.perf_counter() - started) / steps, memory=peak_memory(side.framework))


def kernels(run: Callable[[int], object], steps: int = 3) -> list[dict]:
    """What a step on JAX spends its time in: the names of kernels, with milliseconds, most first."""
    import collections
    import gzip
    import tempfile

    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            run(steps)
        (trace,) = pathlib.Path(folder).rglob("perfetto_trace.json.gz")
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    # A GPU is a process of the trace. Its streams are threads, beside others that say once more which operations these ran for.
    gpus = {event["pid"] for event in events if event.get("name") == "process_name" and "GPU" in event["args"]["name"]}
    streams = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["pid"] in gpus and "Stream" in event["args"]["name"]
    }
    seconds, counts = collections.Counter(), collections.Counter()
    for event in events:
        if event.get("ph") == "X" and (event["pid"], event["tid"]) in streams:
            seconds[event["name"]] += event["dur"] / 1000 / steps
            counts[event["name"]] += 1 / steps
    return [{"kernel": name, "milliseconds": total, "calls": counts[name]} for name, total in seconds.most_common(40)]


# What the process in charge does, which imports none of the frameworks.


PACKAGES = {"jax": ("jax", "keras"), "tensorflow": ("tensorflow", "keras"), "torch": ("torch", "timm")}

# Floating-point operations a second that the maker of a device promises for dense matrices: in bfloat16, and in TF32.
PEAKS = {"H200": (989e12, 494e12), "H100": (989e12, 494e12), "A100": (312e12, 156e12), "L40S": (362e12, 183e12)}


class SideError(Exception):
    """A side cannot be measured; the message says why."""


class Process:
    """One side, as the process in charge sees it.

    Attributes:
        facts: what it said when it was ready.
        seconds: of a step, by round.
        memory: bytes of the device that it took at most; None where that is not known.
        kernels: what a step spends its time in, where that was asked for.
    """

    def __init__(self, side: Side):
        self.side, self.facts, self.seconds, self.memory, self.kernels = side, {}, [], None, []
        self.process = None

    async def start(self, python: str, batch: int, size: int, on_gpu: bool) -> None:
        environment = os.environ | {
            "KERAS_BACKEND": self.side.framework,
            # Several sides share the device, so none may take all of its memory at the start.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [python, __file__, "--side", json.dumps(dataclasses.asdict(self.side)), str(batch), str(size)]
        self.process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)
        self.errors = asyncio.create_task(self.process.stderr.read())
        self.facts = await self._answer()
        if on_gpu and self.facts.get("platform") == "cpu":
            raise SideError(f"{self.side.framework} sees no GPU")

    async def round(self) -> None:
        measured = await self._ask("round")
        self.seconds.append(measured["seconds"])
        self.memory = measured["memory"]

    async def note_kernels(self) -> None:
        self.kernels = (await self._ask("kernels"))["kernels"]

    async def _ask(self, what: str) -> dict:
        self.process.stdin.write(f"{what}\n".encode())
        await self.process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> dict:
        if line := await self.process.stdout.readline():
            return json.loads(line)
        said = (await self.errors).decode(errors="replace").strip().splitlines()
        raise SideError(said[-1] if said else "its process ended without a word")

    async def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            await self.errors


async def measure(case: Case, batch: int, size: int, pythons: dict[str, str], deadline: float, on_gpu: bool) -> dict:
    """What the JSON file holds of a case. A batch that does not fit into the memory is halved, for all sides."""
    left_out, processes = {}, []
    for side in case.sides:
        if missing := missing_packages(side.framework, pythons[side.framework]):
            left_out[side] = f"not installed: {', '.join(missing)}"
        else:
            processes.append(Process(side))

    async def attempt(process: Process, doing: Coroutine) -> None:
        try:
            await doing
        except SideError as error:
            left_out[process.side] = str(error)

    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.gather(
                *(attempt(one, one.start(pythons[one.side.framework], batch, size, on_gpu)) for one in processes)
            )
            if batch > 1 and any("out_of_memory" in process.facts for process in processes):
                await asyncio.gather(*(process.end() for process in processes))
                print(f"A batch of {batch} does not fit into the memory, so it is halved.", flush=True)
                return await measure(case, batch // 2, size, pythons, deadline, on_gpu)
            for _ in range(ROUNDS):
                for process in processes:
                    if process.side not in left_out:
                        await attempt(process, process.round())
            first = processes[0] if processes else None
            if on_gpu and first and first.seconds and first.side.framework == "jax":
                await attempt(first, first.note_kernels())
    except TimeoutError:
        for process in processes:
            if not process.seconds:
                left_out.setdefault(process.side, "there was no time left for it")
    finally:
        await asyncio.gather(*(process.end() for process in processes))
    measured = [process for process in processes if process.seconds]
    # Networks that are compared compute the same, but where one of them has SE and the other does not.
    products = {process.side.attention: process.facts["multiply_adds"] for process in measured if process.side.framework == "jax"}
    return {
        "case": case.title,
        "image_size": size,
        "batch": batch,
        "sides": [described(process, batch, products.get(process.side.attention)) for process in measured],
        "ratios": ratios(case, measured),
        "left_out": [{"side": str(side), "why": why} for side, why in left_out.items()],
    }


def missing_packages(framework: str, python: str) -> list[str]:
    code = "import importlib.util, sys; print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))"
    done = subprocess.run([python, "-c", code, *PACKAGES[framework]], capture_output=True, text=True, check=True)
    return done.stdout.split()


def described(process: Process, batch: int, products: int | None) -> dict:
    seconds, side = statistics.median(process.seconds), process.side
    row = {"side": str(side), **dataclasses.asdict(side), **process.facts, "seconds_by_round": process.seconds}
    row |= {"images_a_second": batch / seconds, "peak_memory_bytes": process.memory, "share_of_peak": None}
    row |= {"kernels": process.kernels} if process.kernels else {}
    if products and (promised := peak(process.facts.get("device", ""), side.precision)):
        # A backward pass costs two forward ones: the gradients of the weights, and those of the inputs.
        passes = 1 if side.work == "predict" else 3
        row["share_of_peak"] = 2 * products * passes * batch / seconds / promised
    return row


def peak(device: str, precision: str) -> float | None:
    for name, (bfloat16, tf32) in PEAKS.items():
        if name in device:
            return bfloat16 if precision == "bfloat16" else tf32
    return None


def ratios(case: Case, measured: list[Process]) -> list[dict]:
    """The median over the rounds, since in one round noise hits all sides alike."""
    seconds = {process.side: process.seconds for process in measured}
    found = []
    for what, over, under in case.ratios:
        if (first := seconds.get(case.sides[over])) and (second := seconds.get(case.sides[under])):
            found.append({"what": what, "ratio": statistics.median(a / b for a, b in zip(first, second, strict=False))})
    return found


def show(result: dict) -> None:
    print(f"\n{result['case']}: batch {result['batch']}, {result['image_size']} px")
    for side in result["sides"]:
        cells = [f"{side['images_a_second']:10,.1f} images/s", f"compiled in {side['compile_seconds']:5.1f} s"]
        if side["peak_memory_bytes"] is not None:
            cells.append(f"{side['peak_memory_bytes'] / 2**30:5.1f} GiB")
        if side["share_of_peak"] is not None:
            cells.append(f"{side['share_of_peak']:5.1%} of the peak")
        print("  " + "  ".join(cells), f" {side['side']}")
    for ratio in result["ratios"]:
        print(f"  {ratio['ratio']:10.3f} {ratio['what']}")
    for one in result["left_out"]:
        print(f"  left out: {one['side']}: {one['why']}")
    for kernel in [kernel for side in result["sides"] for kernel in side.get("kernels", ())[:12]]:
        print(f"  {kernel['milliseconds']:10.3f} ms in {kernel['calls']:4.0f} calls of {kernel['kernel'][:90]}")
    sys.stdout.flush()


def gpu() -> dict | None:
    """Name, driver and memory of the GPU; None without one of NVIDIA's."""
    if shutil.which("nvidia-smi") is None:
        return None
    fields = ("name", "driver_version", "memory.total")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return None
    return dict(zip(fields, (value.strip() for value in done.stdout.splitlines()[0].split(",")), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small networks and images, also without a GPU")
    parser.add_argument("--seconds", type=float, default=480, help="time for all of it (default: 480)")
    parser.add_argument(
        "--torch-python", default=sys.executable, help="an interpreter that has torch and timm (default: this one)"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file (default: results/gpu-DEVICE-DATE.json beside this script)"
    )
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side, batch, size = options.side
        serve(Side(**json.loads(side)), int(batch), int(size))
        return
    device = gpu()
    if device is None and not options.small:
        parser.error("there is no GPU here; --small measures small networks on the CPU")
    if shutil.which(options.torch_python) is None:
        parser.error(f"--torch-python must name an interpreter. Received: {options.torch_python}")
    if options.seconds < 60:
        parser.error(f"--seconds must be at least 60, for the first case. Received: {options.seconds:g}")
    now = datetime.datetime.now(datetime.UTC)
    name = "cpu" if device is None else device["name"].replace(" ", "-").lower()
    output = options.output or RESULTS / f"gpu-{name}{'-small' if options.small else ''}-{now:%Y-%m-%d}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    pythons = {"jax": sys.executable, "tensorflow": sys.executable, "torch": options.torch_python}
    report = {"date": now.isoformat(timespec="seconds"), "gpu": device, "cpu": platform.processor() or platform.machine()}
    report |= {"cpus": os.cpu_count(), "python": platform.python_version(), "cases": []}

    async def run() -> None:
        deadline = asyncio.get_running_loop().time() + options.seconds
        for number, case in enumerate(cases(options.small)):
            result = await measure(case, case.batch, 64 if options.small else 224, pythons, deadline, device is not None)
            show(result)
            report["cases"].append(result)
            output.write_text(json.dumps(report, indent=1) + "\n")
            if asyncio.get_running_loop().time() > deadline:
                left = [case.title for case in cases(options.small)[number + 1 :]]
                print(f"\nThe time is over{'; not measured: ' + ', '.join(left) if left else ''}.")
                return

    asyncio.run(run())
    print(f"\nAll of it is in {output}.")
    if not any(result["sides"] for result in report["cases"]):
        sys.exit("gpu.py: error: no side could be measured.")


if __name__ == "__main__":
    main()
