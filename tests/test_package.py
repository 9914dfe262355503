"""What importing the package does, and what the table of its networks says."""

import pytest
import stubs
import tiny_network
from common import DEMO, ROOT

import keras_senet
from keras_senet.analysis.paper_comparison import network_cost
from keras_senet.errors import require


@pytest.mark.slow
def test_import_brings_no_heavy_package_but_keras(python):
    code = """
import sys, keras
before = set(sys.modules)
import keras_senet
heavy = {"tensorflow_datasets", "keras_cv", "matplotlib", "sklearn", "ai_edge_litert", "PIL", "jax"}
heavy |= {"huggingface_hub", "safetensors"}
assert not heavy & (set(sys.modules) - before)
assert keras_senet.data.load and keras_senet.export.tflite and keras_senet.training.train
assert not heavy & (set(sys.modules) - before)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


# The table of docs/networks.md: in each row the name, the size of the image, and four costs.
NETWORKS = {
    cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]]
    for line in (ROOT / "docs" / "networks.md").read_text("utf-8").splitlines()
    if len(cells := line.split("|")) == 8 and cells[1].startswith(" `")
}
# The deep ones take many seconds each.
DEEP = [name for name, cells in NETWORKS.items() if cells[2].endswith(" G") and float(cells[2][:-2]) > 10]


def test_the_table_has_all_networks():
    assert list(NETWORKS) == keras_senet.list_models()


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize(
    ("name", "plain"),
    [pytest.param(name, "less the attention", marks=[pytest.mark.exhaustive] * (name in DEEP)) for name in NETWORKS]
    + [pytest.param(name, "built", marks=pytest.mark.exhaustive) for name in NETWORKS],
)
def test_the_table_of_the_networks_is_true(name, plain):
    pixels, *numbers = NETWORKS[name]
    profile, _ = network_cost(name)
    assert profile.layers[0].output_shape == (None, int(pixels), int(pixels), 3)
    costs = [(profile.total.parameters, profile.total.multiply_adds)]
    if plain == "built":
        total = network_cost(name, attention=None)[0].total
        costs.append((total.parameters, total.multiply_adds))
    else:
        attention = profile.attention
        costs.append((costs[0][0] - attention.parameters, costs[0][1] - attention.multiply_adds))
    expected = []
    for parameters, multiply_adds in costs:
        in_g = f"{multiply_adds / 1e9:.3f} G"
        expected += [f"{parameters:,}", in_g if multiply_adds > 1e9 else f"{multiply_adds / 1e6:.2f} M"]
    assert numbers == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "load"),
    [
        ("import keras_senet", "from keras.saving import load_model"),
        ("import keras_senet_command, keras_senet", "from keras_senet.inference.runtimes import load_keras_model as load_model"),
    ],
    ids=["library", "command"],
)
def test_files_load_after_nothing_but_the_import_of_the_package(process, load, python, tmp_path):
    keras_senet.backbone(tiny_network.of_four_stages(), (2,)).save(tmp_path / "backbone.keras")
    code = f"""
import sys
{process}
assert not {{"keras_senet.models", "keras_senet.data", "keras_senet.training"}} & sys.modules.keys()
{load}
assert load_model({str(DEMO / "model.keras")!r}).get_layer("stage2_block1_se").name
assert load_model({str(tmp_path / "backbone.keras")!r}).strides == {{"P2": 4}}
import keras
assert all(map(keras.saving.get_registered_object, ("keras_senet>Backbone", "keras_senet>NonMaxSuppression")))
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_listed_and_there():
    assert set(keras_senet.list_models()) < set(keras_senet.__all__)
    assert set(keras_senet.__all__) <= set(dir(keras_senet))
    assert all(getattr(keras_senet, name) is not None for name in keras_senet.__all__)
    with pytest.raises(AttributeError, match="module 'keras_senet' has no attribute 'SENet15'"):
        keras_senet.SENet15  # noqa: B018


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(ImportError, match=r"not_there, which is not installed. .*'keras-senet\[mobile\]'"):
        require("not_there", "mobile")


def test_editors_know_the_signatures_that_the_constructors_have():
    assert stubs.PATH.read_text() == stubs.text(), "Write it again: python tests/stubs.py"
