"""Models and data that several tests share, built once."""

import gc
import os
import shutil
import subprocess
import sys

import keras
import matplotlib.figure
import numpy as np
import pytest
import shortened
import tiny_network
from common import ROOT

import keras_senet
from keras_senet import cli
from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS

# Networks are a great many objects that live long: looking through them less often makes the tests a tenth faster.
gc.set_threshold(100_000, 20, 100)
gc.freeze()  # and never through what the imports above made, which takes 0.2 s each time

collect_ignore = ["on_jax.py"]  # a program, not a module


LARGE = ("ConvNeXtXLarge", "ConvNeXtLarge", "SENet154", "SEResNeXtAA201D", "SEResNeXt101", "SEVGG16")


def pytest_collection_modifyitems(items):
    """Puts networks of many gigabytes first, and so into one process; the memory of two such processes would not be enough."""
    items.sort(key=lambda item: not (item.get_closest_marker("exhaustive") and any(name in item.name for name in LARGE)))


@pytest.fixture(autouse=True)
def no_child_process_in_the_inner_loop(request, monkeypatch):
    """A child process that imports the package takes six seconds of the processor."""
    if request.node.get_closest_marker("slow") or request.node.get_closest_marker("exhaustive"):
        return

    start = subprocess.Popen.__init__

    def refuse(self, command, *arguments, **options):
        if sys.executable in command:  # others are small, such as what MediaPipe starts while it is imported
            raise AssertionError("This test starts a child process: mark it `slow`, so that `make test-fast` stays fast.")
        start(self, command, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)  # that of its subclasses, too


@pytest.fixture(scope="session")
def model():
    """Function from a constructor's name to its network with random weights."""
    built = {}

    def build(name: str) -> keras.Model:
        if name not in built:
            built[name] = getattr(keras_senet, name)(weights=None)
        return built[name]

    return build


@pytest.fixture(scope="session")
def shallow():
    """Function from a constructor's name to the constructor of a network with all kinds of blocks and no more."""

    def build(name: str):
        whole = MODELS[name]
        construct = constructor(name, *shortened.description(name), name)
        MODELS[name] = whole
        return construct

    return build


@pytest.fixture
def without_weights():
    """Networks that a test builds get no values for their weights, which is much faster where only shapes matter."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tensorflow_datasets"))


@pytest.fixture(scope="session")
def digits(data_dir):
    """Function from a split to the digits."""
    return lambda split: keras_senet.data.load("digits", split, data_dir)


@pytest.fixture
def image_folder(tmp_path):
    """A folder with ten JPEG images in each of two classes: dark and bright ones."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 128)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(10):
            pixels = random.integers(low, low + 128, (40 + index, 50, 3), np.uint8)
            (tmp_path / "images" / name / f"{index}.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())
    return tmp_path / "images"


@pytest.fixture
def many_images(image_folder):
    """The folder with 150 images in each class."""
    for file in list(image_folder.glob("*/*.jpg")):
        for copy in range(14):
            shutil.copyfile(file, file.with_stem(f"{file.stem}_{copy}"))
    return image_folder


@pytest.fixture(scope="session")
def python():
    """Runs Python code in a new process."""
    # On JAX, compilation takes far longer than what is compiled.
    common = {"PYTHONPATH": str(ROOT / "tests"), "XLA_FLAGS": "--xla_backend_optimization_level=0"}

    def run(code: str, *arguments, **environment) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, **common, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def recipe(data_dir):
    """A recipe that trains in seconds: small digits, and few of them."""
    return keras_senet.training.Recipe.of(
        "SEResNet20",
        "digits",
        data_dir=data_dir,
        train_split="train[:128]",
        validation_split="test[:60]",
        image_size=8,
        crop="shift",
        flip=False,
        epochs=2,
        batch_size=32,
        learning_rate=0.1,
    )


@pytest.fixture(scope="module")
def tiny_recipe(recipe, digits):
    """That recipe for SETiny, a network which only this module then knows."""
    digits("train")
    with tiny_network.registered():
        yield recipe.replace(model="SETiny")


@pytest.fixture(scope="session")
def tiny_run(recipe, digits, tmp_path_factory):
    """The folder of a run of SETiny without a report."""
    digits("train")
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    with tiny_network.registered():
        keras_senet.training.train(recipe.replace(model="SETiny"), folder)
    return folder


@pytest.fixture(scope="session")
def run_folder(tiny_run, tmp_path_factory):
    """A copy of that folder with a report."""
    folder = shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "reported")
    keras_senet.training.report(keras_senet.training.RunFolder(folder))
    return folder


@pytest.fixture
def run(capsys):
    """Runs the command within this process; returns status, output and errors."""

    def run(*arguments) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def figures(monkeypatch):
    """The figures that a test saves, as matplotlib has them."""
    saved = []
    save = matplotlib.figure.Figure.savefig

    def savefig(figure, *arguments, **options):
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    return saved


@pytest.fixture
def fails(run):
    """Runs the command, which must end with status 2 and one line on stderr, and returns this line."""

    def fails(*arguments) -> str:
        status, output, errors = run(*arguments)
        assert (status, output) == (2, "")
        assert errors.startswith("keras-senet: error: ")
        assert errors.count("\n") == 1
        return errors

    return fails
