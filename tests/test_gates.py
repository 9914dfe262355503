"""The gates of a network: read, summed up and drawn, against what numpy and scikit-learn make of the same numbers."""

import csv
import dataclasses
import itertools
import json
import re
import shlex
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow_datasets
from common import DEMO, ROOT
from PIL import Image
from scipy.special import expit as sigmoid
from sklearn.datasets import load_iris
from sklearn.feature_selection import f_classif

import keras_senet
from keras_senet import Preprocessing, cli, data
from keras_senet.analysis import (
    draw_gates_by_class,
    draw_gates_within_classes,
    draw_mean_gates,
    draw_separability,
    gate_statistics,
    write_gates,
)
from keras_senet.analysis.gate_reader import gate_names
from keras_senet.analysis.statistics import chosen_layers
from keras_senet.layers import FeatureGate, SqueezeExcite
from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS
from keras_senet.plots import gates as gate_plots
from keras_senet.plots.figure import save_figure


def randomized(model):
    """The model, with biases in its SE layers, which begin at zero."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "_se" in weight.path and weight.path.endswith("bias"):
            weight.assign(random.normal(size=weight.shape))
    return model


class Given(FeatureGate):
    """A layer whose gates are its input."""

    def gates(self, inputs):
        return inputs[:, 0, 0]


def statistics_of(gates, labels, batch_size=7):
    """The statistics of given gates `(N, C)` of images with given labels, read in batches."""
    images = keras.Input((1, 1, gates.shape[1]))
    model = keras.Model(images, Given(name="given")(images))
    classes = [f"kind {index}" for index in range(labels.max() + 1)]
    pixels, one_hot = gates[:, np.newaxis, np.newaxis], np.eye(len(classes))[labels]
    starts = range(0, len(gates), batch_size)
    batches = [(pixels[start : start + batch_size], one_hot[start : start + batch_size]) for start in starts]
    return gate_statistics(model, [*batches, (pixels[:0], one_hot[:0])], classes)


@pytest.mark.parametrize(
    ("name", "depths", "reduction"),
    [("SEResNet20", (3, 3, 3), 1), pytest.param("SEResNet50", (3, 4, 6, 3), 16, marks=pytest.mark.exhaustive)],
)
def test_gates_are_those_computed_by_hand(name, depths, reduction):
    keras.utils.set_random_seed(0)
    model = randomized(getattr(keras_senet, name)(weights=None, input_shape=(64, 64, 3), reduction=reduction))
    pixels = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), np.uint8)
    gates = keras_senet.gates(model, pixels, batch_size=2)
    blocks = [f"stage{stage}_block{block + 1}_se" for stage, depth in enumerate(depths, 2) for block in range(depth)]
    assert list(gates) == blocks
    maps = keras.Model(model.input, [model.get_layer(name).input for name in blocks]).predict_on_batch(pixels)
    for name, features in zip(blocks, maps, strict=True):
        reduce, reduce_bias, expand, expand_bias = model.get_layer(name).get_weights()
        hidden = np.maximum(features.mean(axis=(1, 2)) @ reduce + reduce_bias, 0)
        np.testing.assert_allclose(gates[name], sigmoid(hidden @ expand + expand_bias), rtol=1e-3, atol=1e-5)
        assert len(np.unique(gates[name], axis=0)) == 4


def test_layers_of_nested_models_and_layers_that_run_again_are_read_in_the_order_in_which_they_run():
    shared = SqueezeExcite(2, name="b_se")
    inner = keras.Sequential([keras.Input((4, 4, 6)), SqueezeExcite(2, name="z_se"), keras.layers.ReLU()], name="inner")
    features = keras.Input((4, 4, 6))
    outer = keras.Model(features, inner(shared(features)), name="outer")
    images = keras.Input((4, 4, 6))
    model = keras.Model(images, SqueezeExcite(2, name="a_se")(shared(outer(images))))
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 6)).astype("float32")
    gates = keras_senet.gates(randomized(model), x)
    assert list(gates) == ["outer/b_se", "outer/inner/z_se", "b_se", "a_se"]
    assert gate_names(model) == sorted(gates)
    assert [len(layer._inbound_nodes) for layer in model.layers] == [1, 1, 2, 1]  # asking leaves the graph as it was
    once, twice = shared(x), outer(x)
    inputs = {"outer/b_se": (shared, x), "outer/inner/z_se": (inner.layers[0], once), "b_se": (shared, twice)}
    for name, (layer, features) in inputs.items():
        np.testing.assert_allclose(gates[name], layer.gates(features), rtol=1e-5)
    np.testing.assert_allclose(gates["a_se"], model.layers[-1].gates(shared(twice)), rtol=1e-5)
    of_batches = keras_senet.gates(model, (x[index : index + 1] for index in range(3)))
    np.testing.assert_allclose(of_batches["a_se"], gates["a_se"], rtol=1e-5)
    again = keras.Model(images, shared(shared(images)))
    assert list(keras_senet.gates(again, x)) == ["b_se", "b_se:2"]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_gates_at_each_position_keep_their_place_and_are_averaged_in_statistics(data_format):
    images = keras.Input((4, 5, 6) if data_format == "channels_last" else (6, 4, 5))
    layer = SqueezeExcite(2, squeeze=None, data_format=data_format, name="se")
    model = randomized(keras.Model(images, layer(images)))
    x = np.random.default_rng(0).normal(size=(8, 4, 5, 6)).astype("float32")
    pixels = x if data_format == "channels_last" else np.moveaxis(x, -1, 1)
    reduce, reduce_bias, expand, expand_bias = layer.get_weights()
    expected = sigmoid(np.maximum(x @ reduce + reduce_bias, 0) @ expand + expand_bias)
    np.testing.assert_allclose(keras_senet.gates(model, pixels)["se"], expected, rtol=1e-4)
    (found,) = gate_statistics(model, [(pixels, np.eye(2)[[0, 1] * 4])], ["even", "odd"]).layers
    np.testing.assert_allclose(
        found.by_class, [expected[0::2].mean(axis=(0, 1, 2)), expected[1::2].mean(axis=(0, 1, 2))], rtol=1e-4
    )
    np.testing.assert_allclose(found.max, expected.mean(axis=(1, 2)).max(axis=0), rtol=1e-4)


def test_in_mixed_precision_pixels_are_not_rounded_and_gates_are_float32():
    pixels = np.array([100.3, 1 / 3], "float32").reshape(1, 1, 1, 2)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        images = keras.Input((1, 1, 2))
        exact, rounded = Given(name="exact", dtype="float32"), Given(name="rounded")
        gates = keras_senet.gates(keras.Model(images, exact(images) + rounded(images)), pixels)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(gates["exact"], pixels[:, 0, 0])
    np.testing.assert_array_equal(gates["rounded"], np.array([[100.5, 0.333984375]], "float32"))


def test_the_statistics_are_those_of_numpy():
    random = np.random.default_rng(0)
    gates = sigmoid(random.normal(0, 4, (100, 12))).astype("float32")
    gates[:, 3] = 0.004
    gates[:, 4] = 0.5 + 0.009 * random.random(100)
    gates[:, 5] = 1
    labels = random.choice([0, 1, 3], 100)  # no image of class 2
    found = statistics_of(gates, labels)
    (layer,) = found.layers
    np.testing.assert_array_equal(found.images, np.bincount(labels))
    gates = gates.astype("float64")
    for name, expected in {
        "mean": gates.mean(axis=0),
        "std": gates.std(axis=0),
        "min": gates.min(axis=0),
        "max": gates.max(axis=0),
        "by_class": [gates[labels == label].mean(axis=0) if label != 2 else np.full(12, np.nan) for label in range(4)],
        "std_by_class": [gates[labels == label].std(axis=0) if label != 2 else np.full(12, np.nan) for label in range(4)],
        "off": (gates < 0.01).mean(),
        "on": (gates > 0.99).mean(),
    }.items():
        np.testing.assert_allclose(getattr(layer, name), expected, rtol=1e-9, atol=1e-12, err_msg=name)
    within = sum(gates[labels == label].var(axis=0) * (labels == label).mean() for label in (0, 1, 3))
    assert layer.separability == pytest.approx((gates.var(axis=0) - within).sum() / within.sum())
    np.testing.assert_array_equal(np.flatnonzero(layer.never_moves), [3, 4, 5])
    np.testing.assert_array_equal(np.flatnonzero(layer.always_off), [3])
    summary = layer.summary()
    assert summary["spread"] == pytest.approx(np.sqrt(gates.var(axis=0).mean()))
    assert (summary["channels"], summary["never_move"], summary["always_off"]) == (12, 3, 1)


def test_deviations_have_their_digits_where_they_are_tiny_beside_the_mean():
    """Gates of two classes that are far apart, each of which varies by a millionth."""
    random = np.random.default_rng(0)
    labels = np.tile([0, 1], 300)
    gates = (np.array([0.1, 0.9])[labels, np.newaxis] + 1e-6 * random.normal(size=(600, 5))).astype("float32")
    (layer,) = statistics_of(gates, labels).layers
    expected = [gates[labels == label].astype("float64").std(axis=0) for label in (0, 1)]
    np.testing.assert_allclose(layer.std_by_class, expected, rtol=1e-9)
    np.testing.assert_allclose(layer.std, gates.astype("float64").std(axis=0), rtol=1e-9)
    assert (np.array(expected) < 2e-6).all()


def test_separability_is_that_of_fisher_on_his_irises():
    flowers, species = load_iris(return_X_y=True)
    for petals in flowers.T:
        (layer,) = statistics_of(petals[:, np.newaxis].astype("float32"), species).layers
        (ratio,), _ = f_classif(petals[:, np.newaxis], species)
        assert layer.separability == pytest.approx(ratio * 2 / 147, rel=1e-5)  # which is by degrees of freedom


def test_separability_is_nothing_where_gates_know_nothing_of_the_classes():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    same_in_each_class = np.tile(random.random((50, 8), "float32"), (4, 1))
    independent = random.random((200, 8), "float32")
    of_the_class = 0.2 * labels[:, np.newaxis] + 0.001 * random.random((200, 8))
    separability = [
        statistics_of(gates.astype("float32"), labels).layers[0].separability
        for gates in (same_in_each_class, independent, of_the_class, np.full((200, 8), 0.3), np.eye(4)[labels])
    ]
    assert separability[0] == pytest.approx(0, abs=1e-12)
    assert separability[1] == pytest.approx(3 / 196, abs=0.01)
    # Variances: (0.2^2 + 0.6^2) / 4 * 2 / 4 of four steps, and that of a uniform distribution.
    assert separability[2] == pytest.approx(0.2**2 * 1.25 / (0.001**2 / 12), rel=0.1)
    assert separability[3:] == [0, np.inf]


def test_memory_does_not_grow_with_the_images():
    images = keras.Input((1, 1, 2048))
    model = keras.Model(images, SqueezeExcite(256, name="se")(images))

    def peak(count: int) -> int:
        random = np.random.default_rng(0)
        batches = ((random.random((64, 1, 1, 2048), "float32"), np.eye(2)[[0, 1] * 32]) for _ in range(count))
        tracemalloc.start()
        gate_statistics(model, batches, ["even", "odd"])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(2)
    # The gates of 40 batches are 20 MiB, and so are their pixels.
    assert peak(44) - peak(4) < 4 * 2**20


def test_memory_is_two_numbers_for_each_class_and_channel():
    images = keras.Input((1, 1, 256))
    features = images
    for index in range(16):
        features = Given(name=f"gate_{index}")(features)
    model = keras.Model(images, features)
    classes = [f"{index}" for index in range(500)]
    batches = [(np.ones((2, 1, 1, 256), "float32"), np.eye(500)[[3, 4]])]
    gate_statistics(model, batches, classes)  # what TensorFlow and numpy allocate once does not count
    tracemalloc.start()
    gate_statistics(model, batches, classes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    numbers = 2 * 8 * 500 * 16 * 256
    assert numbers < peak < 1.3 * numbers


def test_what_cannot_be_read_is_refused():
    images = np.zeros((2, 8, 8, 3))
    model = keras_senet.SEResNet20(weights=None, input_shape=(8, 8, 3))
    with pytest.raises(ValueError, match="'plain' has no layer with gates.*attention='se'"):
        keras_senet.gates(keras_senet.SEResNet20(weights=None, attention=None, name="plain"), images)
    with pytest.raises(ValueError, match="functional or sequential"):
        keras_senet.gates(keras.Sequential([SqueezeExcite(1)]), images)
    for nothing in (images[:0], []):
        with pytest.raises(ValueError, match="no images"):
            keras_senet.gates(model, nothing)
    for batches, said in (
        ([], "no images"),
        ([(images, np.eye(3)[:2])], r"shape \(N, 2\)"),
        ([(images, np.array([[1, 0], [0, 0]]))], "no label"),
    ):
        with pytest.raises(ValueError, match=said):
            gate_statistics(model, batches, ["cat", "dog"])


ON_JAX = """
import sys
import keras, numpy as np, keras_senet
assert keras.backend.backend() == "jax"
folder = sys.argv[1]
model = keras.saving.load_model(f"{folder}/network.keras")
pixels = np.load(f"{folder}/pixels.npy")
gates = keras_senet.gates(model, pixels)
np.savez(f"{folder}/gates.npz", **gates)
labels = np.eye(2)[[0, 1] * 3]
statistics = keras_senet.analysis.gate_statistics(model, [(pixels, labels)], ["even", "odd"])
assert [layer.name for layer in statistics.layers] == list(gates)
from keras_senet.analysis.gate_reader import gate_names
assert gate_names(model) == sorted(gates)
keras_senet.analysis.write_gates(statistics, f"{folder}/drawn")
"""


@pytest.mark.slow
def test_on_jax_gates_are_the_same_in_the_same_order(tmp_path, python):
    images = keras.Input((8, 8, 3))
    features = SqueezeExcite(2, name="b_se")(keras.layers.Conv2D(8, 3)(images / 255))
    inner = keras.Sequential([keras.Input((6, 6, 8)), SqueezeExcite(2, squeeze=None, name="se")], name="a")
    model = randomized(keras.Model(images, inner(features)))
    model.save(tmp_path / "network.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    done = python(ON_JAX, tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "gates.npz") as on_jax:
        expected = keras_senet.gates(model, pixels)
        assert list(on_jax) == list(expected) == ["b_se", "a/se"]
        for name, values in expected.items():
            np.testing.assert_allclose(on_jax[name], values, rtol=1e-3, atol=1e-5)
    assert (tmp_path / "drawn" / "separability.png").exists()


@pytest.fixture
def two_layers():
    """The statistics of a network whose first layer is shut and says nothing, and whose second one is open and says much."""
    images = keras.Input((1, 1, 2))
    model = keras.Model(images, Given(name="second")(1 + Given(name="first")(images)))
    pixels = np.array([0.009, 0.01, -0.01, -0.009], "float32")[:, np.newaxis, np.newaxis, np.newaxis] * np.ones(2, "float32")
    return gate_statistics(model, [(pixels, np.eye(2)[[0, 0, 1, 1]])], ["cat", "dog"])


@pytest.fixture
def figure_of(monkeypatch):
    """Function that draws, and returns the figure which was written to the last `.png` file."""
    figures = []

    def save(figure, path):
        figures.append(figure)
        save_figure(figure, path)

    monkeypatch.setattr(gate_plots, "save_figure", save)

    def draw(function, *arguments):
        function(*arguments)
        return figures[-1]

    return draw


def assert_is_png(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_the_picture_of_mean_gates_has_a_row_of_sorted_shades_for_each_layer(two_layers, figure_of, tmp_path):
    means = np.array([[0.9, 0.2], [0.5, 1.5]])
    layers = [dataclasses.replace(layer, mean=mean) for layer, mean in zip(two_layers.layers, means, strict=True)]
    figure = figure_of(draw_mean_gates, dataclasses.replace(two_layers, layers=layers), tmp_path / "mean.png")
    axes, scale = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first, 2", "second, 2"]
    assert scale.get_xlabel() == "mean gate"
    for row, shades in enumerate(axes.images):
        np.testing.assert_array_equal(shades.get_array(), [np.sort(means[row])])
        assert shades.get_clim() == (0, 1.5)  # one scale for all
        assert tuple(shades.get_extent()) == (0, 100, row + 0.5, row - 0.5)
    assert len(axes.images) == 2
    assert axes.get_ylim() == (1.5, -0.5)  # the first at the top
    assert_is_png(tmp_path / "mean.png")


def test_the_picture_of_separability_has_bars_of_its_length(figure_of, tmp_path):
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    noise = random.normal(0, 0.1, (100, 4)).astype("float32")
    layers = [statistics_of(step * labels[:, np.newaxis].astype("float32") + noise, labels).layers[0] for step in (0.2, 0.4)]
    statistics = keras_senet.analysis.GateStatistics(tuple(layers), ["cat", "dog"], np.array([50, 50]))
    figure = figure_of(draw_separability, statistics, tmp_path / "separability.png")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [layer.separability for layer in layers]
    assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == pytest.approx([0, 1])
    assert axes.get_ylim() == (1.5, -0.5)
    assert_is_png(tmp_path / "separability.png")


@pytest.fixture
def ten_channels():
    """The gates of 60 images of three classes in ten channels, their labels and their statistics."""
    labels = np.repeat([0, 1, 2], 20)
    gates = sigmoid(np.random.default_rng(0).normal(size=(60, 10))).astype("float32")
    return gates, labels, statistics_of(gates, labels)


def labels_of(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("channels", [None, 4, 99])
def test_the_picture_of_gates_by_class_has_a_line_for_each_class_and_one_for_all(channels, ten_channels, figure_of, tmp_path):
    gates, labels, statistics = ten_channels
    figure = figure_of(draw_gates_by_class, statistics, tmp_path / "by_class.png", ["kind 2", "kind 0"], channels)
    (axes,) = figure.axes
    assert axes.get_title() == "given"
    order = {None: np.argsort(gates.mean(axis=0)), 4: [0, 3, 6, 9], 99: range(10)}[channels]
    expected = {"kind 2": gates[labels == 2], "kind 0": gates[labels == 0], "all": gates}
    assert labels_of(figure) == list(expected)
    assert [line.get_color() for line in axes.lines] == [line.get_color() for line in figure.legends[0].get_lines()]
    assert len({line.get_color() for line in axes.lines}) == 3
    for line, values in zip(axes.lines, expected.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), range(10) if channels is None else order)
        np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0)[order], rtol=1e-5)
    assert_is_png(tmp_path / "by_class.png")


@pytest.mark.parametrize("channels", [None, 4])
def test_the_picture_within_classes_has_a_band_of_one_deviation_around_each_mean(channels, ten_channels, figure_of, tmp_path):
    gates, labels, statistics = ten_channels
    two = dataclasses.replace(statistics, layers=statistics.layers * 2)
    figure = figure_of(draw_gates_within_classes, two, tmp_path / "within.png", ["kind 2", "kind 0"], channels)
    assert [axes.get_title() for axes in figure.axes] == ["kind 2", "kind 0", "", ""]  # one row for each layer
    assert [axes.get_ylabel() for axes in figure.axes] == ["given", "", "given", ""]
    order = np.argsort(gates.mean(axis=0)) if channels is None else np.array([0, 3, 6, 9])
    for axes, label in zip(figure.axes, (2, 0, 2, 0), strict=True):
        mean, std = (part(gates[labels == label], axis=0)[order] for part in (np.mean, np.std))
        (line,), (band,) = axes.lines, axes.collections
        np.testing.assert_allclose(line.get_ydata(), mean, rtol=1e-5)
        x = np.arange(10) if channels is None else order
        low, high = (np.column_stack([x, mean + sign * std]) for sign in (-1, 1))
        # The outline of a band runs along one edge, and back along the other.
        (outline,) = (path.vertices for path in band.get_paths())
        for corner in (*low, *high):
            assert np.isclose(outline, corner, rtol=1e-5).all(axis=1).any()
        assert {len(outline) - 1 - 2 * len(order)} <= {1, 2}
    assert figure.axes[0].lines[0].get_color() != figure.axes[1].lines[0].get_color()
    assert_is_png(tmp_path / "within.png")


def test_a_class_may_have_a_name_that_looks_like_a_formula_or_like_the_mean_of_all(ten_channels, figure_of, tmp_path):
    statistics = dataclasses.replace(ten_channels[2], class_names=["$5_x$", "all", r"_$\wrong$"])
    assert labels_of(figure_of(draw_gates_by_class, statistics, tmp_path / "x.png")) == [*statistics.class_names, "all"]
    figure = figure_of(draw_gates_within_classes, statistics, tmp_path / "y.png")
    assert [axes.get_title() for axes in figure.axes] == statistics.class_names


def test_layers_are_chosen_by_name_or_regular_expression_in_the_order_in_which_they_run():
    names = ["outer/stage2_se", "outer/stage3_se", "stage10_se", "b_se:2"]
    assert chosen_layers(["b_se:2", r"stage\d_se"], names) == ["outer/stage2_se", "outer/stage3_se", "b_se:2"]
    assert chosen_layers(["outer/.*", "outer/stage2_se"], names) == ["outer/stage2_se", "outer/stage3_se"]
    with pytest.raises(ValueError, match="matches none of the 4 layers.*'stage1_se'. Did you mean 'stage10_se'"):
        chosen_layers(["outer/.*", "stage1_se"], names)
    with pytest.raises(ValueError, match=r"must be a regular expression, in which .*Received: 'stage\[2_se'"):
        chosen_layers(["stage[2_se"], names)


def rows_of(path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_files_hold_the_classes_that_were_chosen(two_layers, tmp_path):
    write_gates(two_layers, tmp_path / "both")
    write_gates(two_layers, tmp_path / "dog", ["dog"])
    names = {"gates.csv", "gates_by_class.png", "gates_within_classes.png", "mean_gates.png", "separability.png"}
    assert {file.name for file in (tmp_path / "dog").iterdir()} == names
    rows = [rows_of(tmp_path / folder / "gates.csv") for folder in ("both", "dog")]
    assert [(row["layer"], row["channel"]) for row in rows[0]] == [(name, f"{c}") for name in ("first", "second") for c in (0, 1)]
    assert (float(rows[0][0]["cat"]), float(rows[0][0]["dog"])) == pytest.approx((0.0095, -0.0095))
    assert (float(rows[0][0]["cat std"]), float(rows[0][1]["dog std"])) == pytest.approx((0.0005, 0.0005), rel=1e-3)
    assert list(rows[0][0]) == ["layer", "channel", "mean", "std", "min", "max", "cat", "cat std", "dog", "dog std"]
    assert [{**all_classes, **row} for all_classes, row in zip(*rows, strict=True)] == rows[0]
    with pytest.raises(ValueError, match="no class 'dgo' among the 2. Did you mean 'dog'"):
        write_gates(two_layers, tmp_path / "none", ["cat", "dgo"])
    with pytest.raises(ValueError, match="`layers` matches none of the 2 layers. Received: 'thrid'"):
        write_gates(two_layers, tmp_path / "none", layers=["thrid"])
    with pytest.raises(ValueError, match="channels=0"):
        write_gates(two_layers, tmp_path / "none", channels=0)
    assert not (tmp_path / "none").exists()


def test_the_pictures_hold_the_layers_that_were_chosen_and_the_table_all(two_layers, figures, tmp_path):
    write_gates(two_layers, tmp_path, layers=["sec.*"], channels=1)
    by_class, within, mean_gates, _ = figures
    assert [axes.get_title() for axes in by_class.axes] == ["second"]
    assert [axes.get_ylabel() for axes in within.axes] == ["second", ""]
    assert [list(line.get_xdata()) for axes in within.axes for line in axes.lines] == [[0], [0]]
    assert len(mean_gates.axes[0].images) == 2
    assert {row["layer"] for row in rows_of(tmp_path / "gates.csv")} == {"first", "second"}


@pytest.mark.slow
def test_the_command_reads_what_the_network_looks_at(run, image_folder, tmp_path, shallow):
    folder = tmp_path / "run"
    folder.mkdir()
    network = randomized(shallow("SEResNet20")(weights=None, input_shape=(72, 72, 3), classes=2))
    network.save(folder / "last.keras")
    status, output, _ = run("gates", folder, "--dataset", image_folder, "--split", "all", "--batch-size", 6, "--json")
    assert status == 0
    files = sorted(image_folder.glob("*/*.jpg"))
    pixels = np.stack([data.read_image(file, Preprocessing(72, 0.875)) for file in files])
    expected = keras_senet.gates(network, pixels)
    summaries = json.loads(output)
    assert [one["layer"] for one in summaries] == list(expected)
    for one in summaries:
        assert one["mean"] == pytest.approx(expected[one["layer"]].mean(), rel=1e-4)
        assert one["spread"] == pytest.approx(np.sqrt(expected[one["layer"]].var(axis=0).mean()), rel=1e-2, abs=1e-6)
    rows = rows_of(folder / "gates" / "gates.csv")
    bright = np.concatenate([values[["bright" in str(file) for file in files]].mean(axis=0) for values in expected.values()])
    np.testing.assert_allclose([float(row["bright"]) for row in rows], bright, rtol=1e-4)


@pytest.mark.slow
def test_the_command_shows_where_the_digits_part(run, fails, data_dir, digits, tmp_path, capsys, monkeypatch):
    digits("train")
    capsys.readouterr()  # what preparing them printed
    command = ("gates", DEMO / "model.keras", "--dataset", "digits", "--data-dir", data_dir)
    status, output, _ = run(*command, "--output", tmp_path / "new" / "gates", "--classes", 3, 8)
    assert status == 0
    titles, *lines, where = output.splitlines()
    assert titles.split()[-1] == "separability"
    assert where.endswith(f"are in {tmp_path / 'new' / 'gates'}.")
    separability = {line.split()[0]: float(line.split()[-1]) for line in lines}
    assert len(separability) == 9
    # The paper's finding: early gates are much the same for all classes, late ones are not.
    assert separability["stage2_block1_se"] < 0.1 < 5 < separability["stage4_block3_se"]
    header = (tmp_path / "new" / "gates" / "gates.csv").read_text().splitlines()[0]
    assert header == "layer,channel,mean,std,min,max,3,3 std,8,8 std"

    assert "no class '33' among the 10" in fails(*command, "--classes", 3, 33)
    monkeypatch.setattr("keras_senet.analysis.gate_statistics", lambda *_: pytest.fail("It read images."))
    error = fails(*command, "--layers", "stage3_.*", "stage4_block3")
    assert "`layers` matches none of the 9 layers. Received: 'stage4_block3'. Did you mean 'stage4_block3_se'" in error
    assert "channels=0" in fails(*command, "--channels", 0)
    assert "give the .keras file" in fails("gates", DEMO / "model.tflite", *command[2:])
    assert "Did you mean 'model.keras'" in fails("gates", DEMO / "modle.keras", *command[2:])
    assert "last.keras" in fails("gates", DEMO, *command[2:])
    plain = tmp_path / "plain.keras"
    keras_senet.SEResNet20(weights=None, attention=None).save(plain)
    assert "no layer with gates" in fails("gates", plain, *command[2:])
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in "0123456ABC"))
    assert "classes that the network lacks: '7', '8', '9'" in fails("gates", plain, *command[2:])
    assert not (tmp_path / "plain_gates").exists()


@pytest.mark.slow
def test_the_command_of_the_guide_draws_the_papers_panels(run, tmp_path, figures):
    """For SE-ResNet-50 with few filters, and a stand-in for ImageNet: the four classes and a fifth one."""
    guide = (ROOT / "docs" / "guides" / "gates_and_pruning.md").read_text("utf-8")
    (command,) = re.findall(r"keras-senet (gates SEResNet50 (?:.*\\\n)*.*)", guide)
    words = shlex.split(command.replace("\\\n", ""))
    layers = ["stage2_block3_se", "stage3_block4_se", "stage4_block6_se", *(f"stage5_block{block}_se" for block in (1, 2, 3))]
    options = cli.parse(words)
    names = tensorflow_datasets.builder(options.dataset, data_dir=tmp_path / "none").info.features["label"].names
    assert set(options.classes) <= set(names)  # which are those of WordNet

    architecture = dataclasses.replace(keras_senet.SEResNet50.architecture, widths=(4, 4, 8, 16), stem_widths=(4,))
    narrow = constructor("Narrow", architecture, keras_senet.SEResNet50.features, "Narrow")
    del MODELS["Narrow"]
    randomized(narrow(weights=None, input_shape=(32, 32, 3), classes=5)).save(tmp_path / "narrow.keras")
    random = np.random.default_rng(0)
    for split, name in itertools.product(("train", "validation"), [*options.classes, "n00000000"]):
        (tmp_path / "images" / split / name).mkdir(parents=True)
        for index in range(2):
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{index}.png")
    replaced = {"SEResNet50": tmp_path / "narrow.keras", "imagenet2012": tmp_path / "images", "runs/gates": tmp_path / "gates"}
    status, _, errors = run(*(replaced.get(word, word) for word in words))
    assert status == 0, errors
    by_class, within = figures[:2]
    assert [axes.get_title() for axes in by_class.axes] == layers
    assert labels_of(by_class) == [*options.classes, "all"]
    assert [len(line.get_xdata()) for line in by_class.axes[-1].lines] == [50] * 5  # of 64 channels
    assert [axes.get_ylabel() for axes in within.axes[::4]] == layers
    assert len(within.axes) == 6 * 4
