"""What importing the package does."""


def test_import_brings_no_heavy_package_but_keras(python):
    code = """
import sys, keras
before = set(sys.modules)
import keras_senet
heavy = {"tensorflow_datasets", "keras_cv", "matplotlib", "sklearn", "huggingface_hub", "ai_edge_litert", "PIL", "jax"}
assert not heavy & (set(sys.modules) - before)
assert keras_senet.data.load and keras_senet.export.tflite and keras_senet.training.train
assert not heavy & (set(sys.modules) - before)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_on_jax_the_networks_need_no_tensorflow(python):
    code = """
import sys
sys.modules["tensorflow"] = None
import keras_senet
assert keras_senet.SEResNet20().count_params() > 270_000
"""
    done = python(code, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
