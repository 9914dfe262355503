"""The average of several networks: the mean of their weights, and batch normalization with statistics of its new inputs."""

import re
import shutil

import keras
import numpy as np
import pytest
from common import DEMO
from PIL import Image

from keras_senet import data, training
from keras_senet.layers import PixelNormalization
from keras_senet.training.state import newest_state


def network(seed: int, *, normalized: bool = True, classes: int = 2, filters: int = 3, names=("dark", "light")) -> keras.Model:
    """A network for 8 x 8 images whose weights, biases and scales are all random."""
    inputs = keras.Input((8, 8, 3), name="images")
    x = PixelNormalization(class_names=names, mean=[0.0] * 3, variance=[255.0**2] * 3, name="pixels")(inputs)
    if normalized:
        x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(filters, 3, name="conv")(x)
    if normalized:
        x = keras.layers.BatchNormalization(momentum=0.5, name="last_norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.ReLU(name="relu")(x))
    model = keras.Model(inputs, keras.layers.Dense(classes, "softmax", name="head")(x), name="small")
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def folder(tmp_path):
    """A folder with twelve images of two classes, one of which is brighter than the other."""
    random = np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 128)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(6):
            pixels = random.integers(low, low + 128, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{index}.png")
    return tmp_path / "images"


def pixels_in(folder) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path), "float32") for path in sorted(folder.glob("*/*.png"))])


def test_weights_are_the_mean_that_numpy_computes(tmp_path):
    networks = [network(seed, normalized=False) for seed in range(3)]
    networks[1].save(tmp_path / "one.keras")
    soup = training.average([networks[0], tmp_path / "one.keras", networks[2]])
    for weight, *values in zip(soup.get_weights(), *(one.get_weights() for one in networks), strict=True):
        np.testing.assert_allclose(weight, np.mean(np.float64(values), axis=0), rtol=1e-7)
    for seed, one in enumerate(networks):  # which stay as they are
        for weight, value in zip(one.get_weights(), network(seed, normalized=False).get_weights(), strict=True):
            np.testing.assert_array_equal(weight, value)


def test_the_mean_of_equal_networks_is_equal_to_the_last_bit():
    """A mean of three float32 numbers that are equal would round in float32."""
    for weight, value in zip(
        training.average([network(0, normalized=False) for _ in range(3)]).get_weights(),
        network(0, normalized=False).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(weight, value)


def test_the_statistics_of_an_average_are_those_of_all_images(folder):
    """The first layer sees the same pixels in any batch, so its statistics are NumPy's; all batches fit for the second."""
    images = data.load(str(folder), "all")
    pixels = pixels_in(folder) / 255
    for batch_size in (5, 12):  # 5 + 5 + 2 images, and all of them at once
        soup = training.average([network(0), network(1)], images, batch_size=batch_size)
        first = soup.get_layer("norm")
        np.testing.assert_allclose(first.moving_mean, pixels.mean(axis=(0, 1, 2), dtype="float64"), rtol=1e-5)
        np.testing.assert_allclose(first.moving_variance, pixels.var(axis=(0, 1, 2), dtype="float64"), rtol=1e-5)
    outputs = soup.get_layer("conv")(first(soup.get_layer("pixels")(pixels_in(folder))))
    mean, variance = keras.ops.moments(outputs, axes=(0, 1, 2))
    np.testing.assert_allclose(soup.get_layer("last_norm").moving_mean, mean, rtol=1e-4)
    np.testing.assert_allclose(soup.get_layer("last_norm").moving_variance, variance, rtol=1e-4)
    for weight, *values in zip(soup.trainable_weights, *(network(seed).trainable_weights for seed in (0, 1)), strict=True):
        np.testing.assert_allclose(weight, np.mean([np.float64(value) for value in values], axis=0), rtol=1e-7)


def test_renewed_statistics_are_those_that_keras_computes_for_one_batch():
    """And nothing else changes, though a layer is frozen, or has a momentum of its own."""
    images = np.random.default_rng(1).uniform(0, 255, (9, 8, 8, 3)).astype("float32")
    ours, by_keras = network(0), network(0)
    ours.get_layer("last_norm").trainable = False
    training.renew_statistics(ours, [images])
    for layer in by_keras.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    by_keras(images, training=True)
    for variable, other in zip(ours.variables, by_keras.variables, strict=True):
        np.testing.assert_allclose(variable, other, rtol=1e-5, err_msg=variable.path)
    assert [(layer.momentum, layer.trainable) for layer in map(ours.get_layer, ("norm", "last_norm"))] == [
        (0.99, True),
        (0.5, False),
    ]


def test_statistics_cannot_be_renewed_without_images():
    model = network(0)
    with pytest.raises(ValueError, match="There are no images"):
        training.renew_statistics(model, [])
    np.testing.assert_array_equal(model.get_layer("norm").moving_mean, network(0).get_layer("norm").moving_mean)


def test_a_state_stands_for_the_network_that_its_run_saved_then(tiny_recipe, tmp_path):
    """The last state and last.keras are the same network, also where that has the moving averages of the weights."""
    run = training.train(tiny_recipe.replace(ema_decay=0.9, epochs=1), tmp_path / "run")
    images = data.load("digits", "train[:32]", tiny_recipe.data_dir)
    soup = training.average([run.last, newest_state(run.states)], images)
    saved = keras.saving.load_model(run.last)
    for weight, value in zip(soup.trainable_weights, saved.trainable_weights, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(1, filters=4), "layer conv: config filters is 3 in networks[0] and 4 in networks[1]"),
        (network(1, classes=3), "layer head: config units is 2 in networks[0] and 3 in networks[1]"),
        (network(1, normalized=False), "layer norm"),
        (network(1, names=("dark", "dim")), "config class_names[1] is light in networks[0] and dim in networks[1]"),
    ],
    ids=["filters", "classes", "layers", "class names"],
)
def test_networks_that_differ_in_more_than_weights_are_refused(other, message, folder):
    with pytest.raises(ValueError, match="cannot be averaged") as raised:
        training.average([network(0), other], data.load(str(folder), "all"))
    assert message in str(raised.value)


def test_other_networks_and_images_that_cannot_be_averaged_are_refused(folder):
    one, broken = network(0), network(1)
    for networks, message in (([one], "takes two or more networks. Received: 1"), ([one, one], "are the same network")):
        with pytest.raises(ValueError, match=message):
            training.average(networks)
    with pytest.raises(ValueError, match="has batch normalization.*training images"):
        training.average([one, network(1)])
    with pytest.raises(ValueError, match="has 3 classes, but the data has 2"):
        training.average([network(0, classes=3), network(1, classes=3)], data.load(str(folder), "all"))
    broken.get_layer("conv").bias.assign([0, np.nan, 0])
    with pytest.raises(
        ValueError, match=re.escape("networks[1] has weights that are not finite numbers, the first of them in conv")
    ):
        training.average([one, broken], data.load(str(folder), "all"))


def test_averages_as_a_user_types_them(tiny_run, run, fails, tmp_path):
    """The epochs of a run are averaged, and the training images are those of that run."""
    states = sorted((tiny_run / "states").glob("*.npz"))
    soup = tmp_path / "soup.keras"
    status, output, _ = run("average", *states, "--output", soup)
    assert (status, output.strip()) == (
        0,
        f"{soup} is the mean of {len(states)} networks. Batch normalization got new statistics from 128 training images.",
    )
    assert len(states) == 2
    epochs = [np.load(state) for state in states]
    for weight in keras.saving.load_model(soup).trainable_weights:
        np.testing.assert_allclose(weight, np.mean([np.float64(epoch[weight.path]) for epoch in epochs], axis=0), rtol=1e-7)

    elsewhere = tmp_path / "elsewhere.keras"
    shutil.copy(tiny_run / "last.keras", elsewhere)
    command = ("average", tiny_run, elsewhere, "--output")
    assert "must end in .keras" in fails(*command, tmp_path / "soup.tflite")
    assert "it is a folder" in fails(*command, (tmp_path / "taken.keras").mkdir() or tmp_path / "taken.keras")
    assert "There is no folder" in fails(*command, tmp_path / "none" / "soup.keras")
    assert "is one of the networks to average" in fails(*command, elsewhere)
    assert "are the same network" in fails("average", tiny_run, tiny_run / "last.keras", "--output", soup)
    assert "two or more networks" in fails("average", tiny_run, "--output", soup)
    assert "is neither a .keras file" in fails("average", tiny_run, DEMO / "model.tflite", "--output", soup)
    assert "There is no file" in fails("average", tiny_run, tmp_path / "lost.keras", "--output", soup)
    assert "batch normalization" in fails("average", elsewhere, tiny_run, "--output", soup)
    assert "cannot be averaged" in fails("average", tiny_run, DEMO / "model.keras", "--output", soup)
