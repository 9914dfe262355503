"""Where a network looks: heat maps against class activation maps computed by hand, and objects at known places."""

import json
import re

import keras
import numpy as np
import pytest
import tiny_network
from common import DEMO, ROOT
from keras import layers, ops
from PIL import Image

import keras_senet
from keras_senet.analysis import HotRegion
from keras_senet.analysis.gate_reader import last_of_stages
from keras_senet.inference.classifier import open_classifier
from keras_senet.layers import SqueezeExcite
from keras_senet.plots.explanation import heated
from keras_senet.training import RunFolder, reporting
from keras_senet.training.evaluation import evaluate

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.uniform(0, 255, (3, 12, 12, 3)).astype("float32")
DIGIT = ROOT / "examples" / "digits" / "3.png"


def classifier(activation="softmax", classes=4, data_format="channels_last", head=None):
    """A small network whose last map is as large as its images, so that no heat is resized."""
    keras.utils.set_random_seed(0)
    form = {"data_format": data_format}
    x = images = keras.Input((12, 12, 3) if data_format == "channels_last" else (3, 12, 12))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first", **form)(x)
    x = SqueezeExcite(4, name="se", **form)(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="last", **form)(x)
    x = layers.GlobalAveragePooling2D(**form)(x)
    x = layers.Dense(classes, activation, name="classes")(x)
    return keras.Model(images, x if head is None else head(x))


def by_hand(model, class_index, pixels=PIXELS, map_of="last", head="classes"):
    """The class activation map of Zhou et al. (arXiv 1512.04150), without what is negative, up to its scale."""
    features = ops.convert_to_numpy(keras.Model(model.input, model.get_layer(map_of).output)(pixels))
    heat = np.maximum(features @ ops.convert_to_numpy(model.get_layer(head).kernel)[:, class_index], 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_before_global_pooling_grad_cam_is_the_class_activation_map(activation):
    model = classifier(activation)
    # A bias that makes the network sure: the gradients of its probabilities would vanish.
    model.get_layer("classes").bias.assign([60.0, 0, 0, 0])
    for index in range(4):
        found = keras_senet.grad_cam(model, PIXELS, index, batch_size=2)
        np.testing.assert_allclose(found, by_hand(model, index), atol=1e-5)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(keras_senet.grad_cam(model, PIXELS), keras_senet.grad_cam(model, PIXELS, 0))
    mixed = keras_senet.grad_cam(model, PIXELS, [2, 0, 1])
    np.testing.assert_allclose(mixed[[1]], by_hand(model, 0)[[1]], atol=1e-5)
    np.testing.assert_allclose(mixed[[2]], by_hand(model, 1)[[2]], atol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        layers.Softmax(),
        layers.Activation("softmax", dtype="float32"),
        ops.softmax,
        lambda logits: ops.softmax(x=logits),
        keras.activations.softmax,
        ops.log_softmax,
        ops.sigmoid,
    ],
    ids=["layer", "activation", "operation", "by keyword", "function", "log", "sigmoid"],
)
def test_a_last_step_that_makes_probabilities_is_left_out(head):
    model = classifier(None, head=head)
    model.get_layer("classes").bias.assign([60.0, 0, 0, 0])
    np.testing.assert_allclose(keras_senet.grad_cam(model, PIXELS, 0), by_hand(model, 0), atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "head"),
    [
        (lambda logits: ops.softmax(logits), None),
        ("softmax", layers.Activation("linear", dtype="float32")),
        (None, lambda logits: ops.exp(logits) / ops.sum(ops.exp(logits), axis=-1, keepdims=True)),
    ],
    ids=["of a function", "before another layer", "by hand"],
)
def test_probabilities_whose_scores_cannot_be_found_are_refused(activation, head):
    model = classifier(activation, head=head)
    with pytest.raises(ValueError, match=rf"'{model.name}', which makes .* before its last layer, '{model.operations[-1].name}'"):
        keras_senet.grad_cam(model, PIXELS, 0)


def ending_in(steps, size=12, data_format="channels_last"):
    """A network whose last feature map goes through some steps, such as the pooling of VGG, before it is read."""
    keras.utils.set_random_seed(0)
    form = {"data_format": data_format}
    x = images = keras.Input((size, size, 3) if data_format == "channels_last" else (3, size, size))
    # Its name is none that Keras gives, as it may have given one to a step before the names were counted anew.
    x = layers.MaxPooling2D(2, name="first_pool", **form)(layers.Conv2D(8, 3, padding="same", activation="relu", **form)(x))
    x = layers.ReLU(name="last")(layers.Conv2D(6, 3, padding="same", **form)(x))
    for step in steps:
        x = step(x)
    return keras.Model(images, layers.Dense(4, "softmax", name="classes")(layers.GlobalAveragePooling2D(**form)(x)))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([layers.MaxPooling2D(2)], "last"),
        ([layers.AveragePooling2D(3, 2)], "last"),
        ([lambda x: ops.max_pool(x, 2)], "last"),
        ([layers.Dropout(0.5, name="kept"), layers.MaxPooling2D(2), layers.BatchNormalization(), layers.Dropout(0.5)], "kept"),
        ([layers.MaxPooling2D(2), layers.Conv2D(5, 1, name="mixed")], "mixed"),
        ([layers.MaxPooling2D(3, 1, padding="same", name="as large")], "as large"),
    ],
    ids=["maximum", "mean", "operation", "normalized", "convolution after", "no smaller"],
)
def test_a_pooled_copy_of_a_map_is_not_read(steps, expected):
    for model in (ending_in(steps), ending_in(steps, size=None)):
        np.testing.assert_array_equal(keras_senet.grad_cam(model, PIXELS), keras_senet.grad_cam(model, PIXELS, layer=expected))


def test_a_pooled_copy_of_a_map_is_not_read_with_channels_first():
    model = ending_in([layers.MaxPooling2D(2, data_format="channels_first")], data_format="channels_first")
    pixels = PIXELS.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(keras_senet.grad_cam(model, pixels), keras_senet.grad_cam(model, pixels, layer="last"))


@pytest.mark.slow
def test_vgg_16_is_read_where_the_paper_reads_it():
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    model = keras.Sequential([vgg, layers.Flatten(), layers.Dense(2)])
    pixels = RANDOM.uniform(0, 255, (2, 64, 64, 3))
    conv5_3 = keras_senet.grad_cam(model, pixels, layer=f"{vgg.name}/block5_conv3")  # section 4.1 of the paper
    np.testing.assert_array_equal(keras_senet.grad_cam(model, pixels), conv5_3)


def test_one_output_speaks_for_the_second_class_and_against_the_first():
    model = classifier("sigmoid", classes=1)
    second = by_hand(model, 0)
    np.testing.assert_allclose(keras_senet.grad_cam(model, PIXELS, 1), second, atol=1e-5)
    kernel = model.get_layer("classes").kernel
    kernel.assign(-kernel)
    np.testing.assert_allclose(keras_senet.grad_cam(model, PIXELS, 0), second, atol=1e-5)


def test_an_earlier_map_is_weighted_by_gradients_as_differences_find_them():
    model = classifier()
    features = ops.convert_to_numpy(keras.Model(model.input, model.get_layer("first").output)(PIXELS[:1])).astype("float64")
    rest = keras.Model(model.get_layer("first").output, model.get_layer("classes").output)
    model.get_layer("classes").activation = keras.activations.linear
    step = 1e-2
    weights = np.zeros(8)
    for channel in range(8):
        above, below = features.copy(), features.copy()
        above[..., channel] += step
        below[..., channel] -= step
        weights[channel] = float(rest(above)[0, 1] - rest(below)[0, 1])
    expected = np.maximum(features @ weights, 0)
    found = keras_senet.grad_cam(model, PIXELS[:1], 1, layer="first")
    np.testing.assert_allclose(found, expected / expected.max(), atol=2e-3)


def test_both_data_formats_and_half_precision_look_at_the_same():
    model = classifier()
    expected = keras_senet.grad_cam(model, PIXELS, 1)
    first = classifier(data_format="channels_first")
    first.set_weights(model.get_weights())
    np.testing.assert_allclose(keras_senet.grad_cam(first, PIXELS.transpose(0, 3, 1, 2), 1), expected, atol=1e-5)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = classifier()
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(model.get_weights())
    np.testing.assert_allclose(keras_senet.grad_cam(half, PIXELS, 1), expected, atol=1e-5)


def test_a_model_within_a_model_is_read_as_by_itself():
    inner = classifier(None)
    images = keras.Input((12, 12, 3))
    outer = keras.Model(images, layers.Softmax()(inner(layers.Rescaling(1.0)(images))))
    np.testing.assert_array_equal(keras_senet.grad_cam(outer, PIXELS, 2), keras_senet.grad_cam(inner, PIXELS, 2))
    named = keras_senet.grad_cam(outer, PIXELS, 2, f"{inner.name}/first")
    np.testing.assert_array_equal(named, keras_senet.grad_cam(inner, PIXELS, 2, "first"))
    assert not np.array_equal(named, keras_senet.grad_cam(outer, PIXELS, 2))


ON_JAX = """
import keras, numpy as np, keras_senet
from test_explain import PIXELS, by_hand, classifier
assert keras.backend.backend() == "jax"
model = classifier()
model.get_layer("classes").bias.assign([60.0, 0, 0, 0])
expected = by_hand(model, 1)
np.testing.assert_allclose(keras_senet.grad_cam(model, PIXELS, 1), expected, atol=1e-5)
first = classifier(data_format="channels_first")
first.set_weights(model.get_weights())
np.testing.assert_allclose(keras_senet.grad_cam(first, PIXELS.transpose(0, 3, 1, 2), 1), expected, atol=1e-5)
"""


@pytest.mark.slow
def test_on_jax_grad_cam_is_the_class_activation_map_in_both_data_formats(python):
    done = python(ON_JAX, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


def objects(count):
    """Images of noise with a red or a blue square, the class of each, and the quadrant of its square."""
    pixels = RANDOM.uniform(60, 120, (count, 16, 16, 3)).astype("float32")
    classes, quadrants = RANDOM.integers(0, 2, count), RANDOM.integers(0, 4, count)
    for image, kind, quadrant in zip(pixels, classes, quadrants, strict=True):
        top, left = 8 * (quadrant // 2) + RANDOM.integers(1, 4), 8 * (quadrant % 2) + RANDOM.integers(1, 4)
        image[top : top + 4, left : left + 4] = (230, 30, 30) if kind else (30, 30, 230)
    return pixels, classes, quadrants


@pytest.mark.slow
def test_a_trained_network_points_at_the_object():
    keras.utils.set_random_seed(0)
    pixels, classes, _ = objects(256)
    with tiny_network.registered() as build:
        model = build(weights=None, classes=2, input_shape=(16, 16, 3))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.optimizer.learning_rate = 0.01
    model.fit(pixels, classes, epochs=4, batch_size=32, verbose=0)
    pixels, classes, quadrants = objects(64)
    assert (model.predict(pixels, verbose=0).argmax(axis=1) == classes).mean() > 0.95
    heat = keras_senet.grad_cam(model, pixels, classes).reshape(64, -1)
    top, left = np.unravel_index(heat.argmax(axis=1), (16, 16))
    # By chance it would be a quarter.
    assert (2 * (top >= 8) + (left >= 8) == quadrants).mean() > 0.9


def test_the_hottest_region_is_in_shares_of_the_image():
    heat = np.zeros((8, 4), "float32")
    heat[6:, 1] = 1, 0.5
    heat[0, 0] = 0.4  # less than half
    region = HotRegion.of(heat)
    assert region.box == (0.25, 0.75, 0.5, 1.0)
    assert region.heat == pytest.approx(1.5 / 1.9)
    assert region.center == pytest.approx(((1.5 * 1.5 + 0.4 * 0.5) / 1.9 / 4, (6.5 + 0.5 * 7.5 + 0.4 * 0.5) / 1.9 / 8))
    assert HotRegion.of(np.zeros((8, 4))) is None


def test_a_stage_ends_where_the_number_of_channels_changes():
    channels = {"a": 16, "b": 16, "all at once": 1, "c": 16, "d": 32, "e": 16}
    assert list(last_of_stages({name: np.zeros((1, count)) for name, count in channels.items()})) == ["c", "d", "e"]


def test_what_has_no_heat_is_refused():
    model = classifier()
    with pytest.raises(ValueError, match="has no layer 'lst' with a feature map. Did you mean 'last'"):
        keras_senet.grad_cam(model, PIXELS, layer="lst")
    with pytest.raises(ValueError, match=r"no layer 'classes' with a feature map. Such layers are 'last', 'se', 'first'\."):
        keras_senet.grad_cam(model, PIXELS, layer="classes")
    for index in (4, -1, [0, 1, 4], [0, 1]):
        with pytest.raises(ValueError, match="`class_index` must be a class from 0 to 3, or one for each of 3 images"):
            keras_senet.grad_cam(model, PIXELS, index)
    with pytest.raises(ValueError, match="`images` is empty"):
        keras_senet.grad_cam(model, PIXELS[:0])
    with pytest.raises(ValueError, match=r"put out `\(N, classes\)`. Received: .*\(None, 12, 12, 6\)"):
        keras_senet.grad_cam(keras.Model(model.input, model.get_layer("last").output), PIXELS)
    flat = keras.Sequential([keras.Input((12, 12, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="has no feature map to read"):
        keras_senet.grad_cam(flat, PIXELS)


def test_the_command_says_and_draws_where_a_network_looks(run, tmp_path, figures):
    network = DEMO / "model.keras"
    status, output, _ = run("explain", network, DIGIT, "--json", "--picture", tmp_path / "looks.png")
    assert status == 0
    (found,) = json.loads(output)
    assert found["image"] == str(DIGIT)
    model = keras.saving.load_model(network)
    pixels = keras_senet.data.read_image(DIGIT, keras_senet.preprocessing_for(model)).numpy()[np.newaxis]
    probabilities = model.predict(pixels, verbose=0)[0]
    best = np.argsort(-probabilities)[:3]
    assert [each["class"] for each in found["classes"]] == [str(index) for index in best]
    heat = [keras_senet.grad_cam(model, pixels, int(index))[0] for index in best]
    for each, index, expected in zip(found["classes"], best, heat, strict=True):
        assert each["probability"] == pytest.approx(float(probabilities[index]), abs=1e-5)
        assert each["region"]["box"] == list(HotRegion.of(expected).box)
    gates = keras_senet.gates(model, pixels)
    assert [each["layer"] for each in found["gates"]] == [f"stage{stage}_block3_se" for stage in (2, 3, 4)]
    for each in found["gates"]:
        (values,) = gates[each["layer"]]
        for one, expected in zip(each["widest"], np.sort(values)[::-1][:4], strict=True):
            assert one["gate"] == pytest.approx(float(expected), abs=1e-5) == pytest.approx(float(values[one["channel"]]))
    (figure,) = figures
    shown = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes if axes.images}
    # A cold place looks as in the photograph, and a hot one does not.
    photograph, seen = shown["3.png"], shown[f"3 {probabilities[3]:.1%}"]
    changed = np.abs(seen - photograph).max(axis=-1)
    assert changed[heat[0] == 1].min() > 0.2
    assert not changed[heat[0] == 0].any()
    with Image.open(tmp_path / "looks.png") as picture:
        assert picture.format == "PNG"


def test_the_command_takes_one_class_a_layer_and_many_images(run, tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    (tmp_path / "digit.png").write_bytes(DIGIT.read_bytes())
    status, output, errors = run("explain", DEMO / "model.keras", tmp_path, "--class", "8", "--layer", "stage3_block3_se")
    assert status == 1
    assert "notes.png is damaged" in errors
    assert "1 of 2 images could not be read" in errors
    assert output.count("% from the top") == 1
    model = keras.saving.load_model(DEMO / "model.keras")
    pixels = keras_senet.data.read_image(DIGIT, keras_senet.preprocessing_for(model)).numpy()[np.newaxis]
    left, top, right, bottom = HotRegion.of(keras_senet.grad_cam(model, pixels, 8, "stage3_block3_se")[0]).box
    assert re.search(rf"\n8 .* {left:.0%} to {right:.0%} from the left, {top:.0%} to {bottom:.0%} from the top ", output)
    assert "stage4_block3_se" in output


def test_a_network_without_gates_is_explained_without_them(run, tmp_path):
    with tiny_network.registered() as build:
        build(weights=None, attention=None).save(tmp_path / "plain.keras")
    status, output, _ = run("explain", tmp_path / "plain.keras", DIGIT, "--picture", tmp_path / "looks.png")
    assert status == 0
    assert "hottest region" in output
    assert "gates" not in output
    assert (tmp_path / "looks.png").exists()


def test_the_command_refuses_in_one_line(fails, tmp_path):
    network = DEMO / "model.keras"
    assert "was exported: give the .keras file that it was made from" in fails("explain", DEMO / "model.tflite", DIGIT)
    assert "There is no class 'cat' among the 10. They are '0', '1', '2' and 7 more." in fails(
        "explain", network, DIGIT, "--class", "cat"
    )
    assert "What follows --class is empty" in fails("explain", network, DIGIT, "--class", "")
    message = fails("explain", network, DIGIT, "--layer", "stage4_block3_so")
    assert "no layer 'stage4_block3_so' with a feature map. Did you mean 'stage4_block3_se'" in message
    (tmp_path / "notes.png").write_text("no image")
    assert "notes.png is damaged, or not a" in fails("explain", network, tmp_path / "notes.png")
    assert "no folder" in fails("explain", network, DIGIT, "--picture", tmp_path / "none" / "looks.png").lower()


def test_the_reports_mistakes_are_shown_with_where_the_wrong_class_is_seen(digits, tmp_path, figures):
    keras.utils.set_random_seed(0)
    with tiny_network.registered() as build:
        build(weights=None, name="untrained").save(tmp_path / "last.keras")
    trained = open_classifier(tmp_path / "last.keras")
    images = digits("test[:20]")
    reporting._draw(evaluate(trained, images), trained, images, RunFolder(tmp_path))
    panels = [axes for axes in figures[-1].axes if axes.images]
    assert len(panels) == 16
    for axes in panels:
        photograph, seen = np.split(255 * np.asarray(axes.images[0].get_array()), 2, axis=1)
        wrong, right = int(axes.get_title()[0]), int(axes.get_title()[-1])
        assert wrong != right
        heat = by_hand(trained.model, wrong, photograph[np.newaxis], trained.model.layers[-3].name, "predictions")
        resized = np.array(Image.fromarray(heat[0]).resize((8, 8), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(seen, heated(photograph, resized / resized.max()), atol=2)
