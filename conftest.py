"""What the examples in docstrings need: the names that they use, the saved models, and a folder to write to."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

import keras_senet

# doctest sees what has been imported already.
for name in keras_senet.__all__:
    getattr(keras_senet, name)


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(items):
    for item in items:
        if not isinstance(item, pytest.DoctestItem):
            continue
        if item.name in ("keras_senet.training.run.train", "keras_senet.training.reporting.report"):
            item.add_marker("slow")
        # The constructors' examples are one text; that of a small network shows that it is true.
        if item.path.name == "__init__.py" and item.name != "keras_senet.SEResNet20":
            item.add_marker("exhaustive")


@pytest.fixture(autouse=True)
def docstring_examples(request, doctest_namespace):
    if not isinstance(request.node, pytest.DoctestItem):
        return
    doctest_namespace |= {"keras": keras, "keras_senet": keras_senet, "np": np}
    folder, monkeypatch = request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch")
    (folder / "saved_models").symlink_to(pathlib.Path(__file__).parent / "saved_models")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KERAS_HOME", str(folder / "keras"))  # no example reads published weights that happen to be there
