"""LiteRT: `.tflite` files."""

import os
import threading

import numpy as np

from keras_senet.errors import require
from keras_senet.inference.metadata import read_metadata
from keras_senet.inference.runtimes.runtime import Runtime, cannot_open


def open_tflite(path: str | os.PathLike) -> Runtime:
    """A TFLite file, on all cores; quantized pixels and outputs become floats, and batches of any size its own."""
    litert = require("ai_edge_litert.interpreter", "mobile")
    try:
        interpreter = litert.Interpreter(model_path=os.fspath(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        (source,) = interpreter.get_input_details()
        outputs = interpreter.get_signature_runner().get_output_details() if interpreter.get_signature_list() else {}
        if "boxes" not in outputs:  # a detector has several, and others may have gates beside the one
            named = [outputs[name] for name in ("probabilities", "logits") if name in outputs]
            outputs = {"": named[0] if named else interpreter.get_output_details()[0]}
    except (RuntimeError, ValueError) as error:
        raise cannot_open(path, "a TFLite file of images", "ai-edge-litert", error) from error
    batch_size = source["shape"][0]
    one_at_a_time = threading.Lock()  # the interpreter has one input and one output for all threads

    def run_batch(images):
        batch = np.resize(images, source["shape"])  # repeats images to fill up the last batch
        with one_at_a_time:
            interpreter.set_tensor(source["index"], _quantized(batch, source))
            interpreter.invoke()
            return [_dequantized(interpreter.get_tensor(each["index"]), each)[: len(images)] for each in outputs.values()]

    def run(images):
        batches = [run_batch(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
        return unnamed({name: np.concatenate(each) for name, each in zip(outputs, zip(*batches, strict=True), strict=True)})

    def unnamed(values):
        return values.get("", values)

    return Runtime(
        run,
        source["shape"].tolist(),
        unnamed({name: each["shape"].tolist() for name, each in outputs.items()}),
        **read_metadata(path)._asdict(),
    )


def _quantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    if not np.issubdtype(tensor["dtype"], np.integer):
        return values.astype(tensor["dtype"])
    scale, zero = tensor["quantization"]
    accepted = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / (scale or 1) + zero), accepted.min, accepted.max).astype(tensor["dtype"])


def _dequantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    scale, zero = tensor["quantization"]
    return (values.astype("float32") - zero) * scale if scale else values
