"""The process in which `benchmark` runs one network: it describes the network, then times one run for each line on stdin.

It is a script and is never imported: importing anything from keras_senet imports TensorFlow, which takes far more time and memory
than the TFLite files that are measured here.
"""

import collections
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable

import numpy as np


def main(path: str, threads: int, xnnpack: bool) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that nothing that a library prints looks like an answer

    def answer(value) -> None:
        print(json.dumps(value), file=answers, flush=True)

    try:
        run, description = (_tflite if path.endswith(".tflite") else _tensorflow)(path, threads, xnnpack)
    except Exception as error:  # whatever it is, it concerns this network only
        answer({"error": f"{path} cannot be measured: {' '.join(str(error).split())}"})
        return
    answer(description)
    for _ in sys.stdin:
        run()  # refills the caches that other networks have used
        start = time.perf_counter()
        run()
        answer(1000 * (time.perf_counter() - start))


def _tflite(path: str, threads: int, xnnpack: bool) -> tuple[Callable, dict]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    before = _peak_memory()
    resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(path, num_threads=threads, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    sources, results = interpreter.get_input_details(), interpreter.get_output_details()
    images = _random_images([(source["shape_signature"].tolist(), source["dtype"]) for source in sources])

    def run() -> None:
        interpreter.set_tensor(sources[0]["index"], images)
        interpreter.invoke()
        for result in results:
            interpreter.get_tensor(result["index"])

    run()
    memory = _peak_memory() - before
    nodes = interpreter._get_ops_details()
    operators = [node for node in nodes if node["op_name"] != "DELEGATE"]
    left = _not_delegated(operators, [node for node in nodes if node["op_name"] == "DELEGATE"])
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    return run, {
        "memory": memory,
        "operators": collections.Counter(node["op_name"] for node in operators),
        "not_delegated": [(node["op_name"], names[node["outputs"][0]]) for node in left],
    }


def _not_delegated(operators: list[dict], delegates: list[dict]) -> list[dict]:
    """The operators that no delegate runs. The interpreter still lists those between the inputs and outputs of a delegate."""
    makers = {output: node for node in operators for output in node["outputs"]}
    delegated = set()
    for delegate in delegates:
        seen, waiting = set(delegate["inputs"]), set(delegate["outputs"])
        while waiting:
            seen.add(tensor := waiting.pop())
            if tensor in makers:
                delegated.add(makers[tensor]["index"])
                waiting |= set(makers[tensor]["inputs"]) - seen
    return [node for node in operators if node["index"] not in delegated]


def _tensorflow(path: str, threads: int, xnnpack: bool) -> tuple[Callable, dict]:
    """A .keras file or a SavedModel on the CPU, which does not use XNNPACK."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
    import tensorflow as tf

    from keras_senet.inference.runtimes import load_keras_model, open_saved_model, run_keras

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)  # these threads would add to the others
    before = _peak_memory()
    if path.endswith(".keras"):
        model = load_keras_model(path)
        forward, shapes = run_keras(model), [tensor.shape for tensor in model.inputs]
    else:
        runtime = open_saved_model(path)
        forward, shapes = runtime.run, [runtime.input_shape]
    images = _random_images([(shape, np.float32) for shape in shapes])

    def run() -> None:
        forward(images)

    run()
    return run, {"memory": _peak_memory() - before, "operators": None, "not_delegated": None}


def _random_images(inputs: list[tuple]) -> np.ndarray:
    """Pixels for the only input, given as a shape and a dtype; one image if the network takes any number."""
    if len(inputs) != 1:
        raise ValueError(f"it must take one array, a batch of images, and takes {len(inputs)}.")
    ((batch, *shape), dtype) = inputs[0]
    if any(size in (None, -1) for size in shape) or dtype not in (np.float32, np.uint8, np.int8):
        received = f"shape {(batch, *shape)} of {np.dtype(dtype)}"
        raise ValueError(f"it must take images of one fixed size, float32, uint8 or int8, and takes {received}.")
    batch = 1 if batch in (None, -1) else batch
    return np.random.default_rng(0).integers(0, 256, (batch, *shape)).astype(dtype)  # for int8 the upper half becomes negative


def _peak_memory() -> int:
    """The peak memory of this process, bytes."""
    if sys.platform == "linux":
        # On Linux, `ru_maxrss` starts at the value of the parent process.
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True")
