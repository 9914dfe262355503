"""MobileNetV3Small in integers: the file of `export.tflite` against that of TensorFlow's converter, and against SE-MobileNet's.

The networks learn scikit-learn's digits at 64 pixels, since what integers lose, and which operators XNNPACK takes, depends on the
ranges of maps. Accuracy is that on the validation images. TensorFlow's file is made as its guide to post-training quantization
says. `export.benchmark` measures, on one thread: it takes turns, and quotes the median of the ratios within a round.
"""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from comparison import Comparison, show

import keras_senet
from keras_senet import data, export

SIZE, EPOCHS, ROUNDS = 64, 15, 100


def measure() -> list[Comparison]:
    pixels, labels = images("train")
    tests, truths = images("validation")
    networks = {
        "MobileNetV3Small": keras_senet.MobileNetV3Small,
        "SE-MobileNet, half as wide": lambda **options: keras_senet.SEMobileNet(
            width_multiplier=0.5, paper_settings=True, **options
        ),
    }
    paths, accuracies, classes = {}, {}, truths.argmax(axis=1)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, build) in enumerate(networks.items()):
            keras.utils.set_random_seed(0)
            network = build(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
            network.compile(optimizer(len(pixels)), "categorical_crossentropy", jit_compile=False)
            network.fit(pixels, labels, batch_size=64, epochs=EPOCHS, verbose=0)
            paths[name] = pathlib.Path(folder) / f"{number}.tflite"
            export.tflite(network, paths[name], quantize="int8_float_io", calibration=pixels)
            if not number:
                ours, theirs = name, "tf.lite.TFLiteConverter"
                in_floats = (network.predict(tests, verbose=0).argmax(axis=1) == classes).mean()
                paths[theirs] = pathlib.Path(folder) / "converter.tflite"
                paths[theirs].write_bytes(by_converter(network, pixels))
        for name, path in paths.items():
            found = export.open_classifier(path).probabilities(tests) if name != theirs else by_interpreter(path, tests)
            accuracies[name] = (found.argmax(axis=1) == classes).mean()
        comparisons = []
        for rival, target in ((theirs, 0.5), ("SE-MobileNet, half as wide", 1)):
            first, second = export.benchmark([paths[rival], paths[ours]], rounds=ROUNDS)
            what = f"int8 file of {ours}, top-1 {accuracies[ours]:.1%} ({in_floats:.1%} in floats)"
            seconds = (second.latency_ms / 1000, first.latency_ms / 1000)
            left = f", {len(first.not_delegated)} operators outside of XNNPACK" if first.not_delegated else ""
            comparisons.append(Comparison(what, f"{rival}, top-1 {accuracies[rival]:.1%}{left}", target, *seconds, second.ratio))
            if second.not_delegated:
                raise RuntimeError(f"XNNPACK did not take {second.not_delegated}")
    return comparisons


def images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """All pixels and one-hot labels of a split."""
    batches = data.evaluation_batches(data.load("digits", split), keras_senet.Preprocessing(SIZE), 2000)
    return next(batches.as_numpy_iterator())


def optimizer(count: int) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * -(-count // 64)))


def by_converter(network: keras.Model, pixels: np.ndarray) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in pixels[:160])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def by_interpreter(path: pathlib.Path, tests: np.ndarray) -> np.ndarray:
    """The outputs of a file without metadata."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    run = interpreter.get_signature_runner()
    (source,), (result,) = run.get_input_details(), run.get_output_details()
    return np.concatenate([run(**{source: image[np.newaxis]})[result] for image in tests])


if __name__ == "__main__":
    show(measure())
