"""What the examples in docstrings need: the names that they use, and an empty folder to write to."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

import keras_senet


@pytest.fixture(autouse=True)
def docstring_examples(request, doctest_namespace):
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace |= {"keras": keras, "keras_senet": keras_senet, "np": np}
        request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
