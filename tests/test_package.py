"""What importing the package does, and what its README says."""

import pytest
from conftest import ROOT

import keras_senet
from keras_senet.analysis import profile
from keras_senet.errors import require


def test_import_brings_no_heavy_package_but_keras(python):
    code = """
import sys, keras
before = set(sys.modules)
import pytest
import keras_senet
heavy = {"tensorflow_datasets", "keras_cv", "matplotlib", "sklearn", "ai_edge_litert", "PIL", "jax"}
heavy |= {"huggingface_hub", "safetensors"}
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
import pytest
import keras_senet
assert keras_senet.SEResNet20().count_params() > 270_000
"""
    done = python(code, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("without_weights")
def test_the_table_in_the_readme_is_true():
    table = [line.split("|")[1:-1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `SE")]
    assert [row[0].strip(" `") for row in table] == keras_senet.list_models()
    for name, pixels, *numbers in table:
        name = name.strip(" `")
        expected = []
        for attention in ("se", None):
            network = getattr(keras_senet, name)(weights=None, attention=attention)
            assert network.input_shape[1] == int(pixels)
            cost = profile(network).total
            billions = cost.multiply_adds / 1e9
            multiply_adds = f"{billions:.3f} G" if billions > 1 else f"{1000 * billions:.2f} M"
            expected += [f"{cost.parameters:,}", multiply_adds]
        assert [number.strip() for number in numbers] == expected


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(ImportError, match=r"not_there, which is not installed. .*'keras-senet\[mobile\]'"):
        require("not_there", "mobile")


def test_no_architecture_needs_more_than_200_lines():
    files = set((ROOT / "keras_senet" / "models").glob("*.py")) - {ROOT / "keras_senet" / "models" / "constructor.py"}
    assert len(files) > 6
    assert max(len(file.read_text().splitlines()) for file in files) <= 200
