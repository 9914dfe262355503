"""Networks whose outputs are no probabilities: what is made of them, in each kind of file."""

import concurrent.futures

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

import keras_senet
from keras_senet import data, export
from keras_senet.export.proof import compare
from keras_senet.inference.outputs import LOGITS, ONE_LOGIT, outputs_like
from keras_senet.layers import PixelNormalization

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.uniform(0, 255, (6, 8, 8, 3)).astype("float32")


def network(activation, units: int, nested: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu")(images / 100)
    x = layers.Dense(units, activation, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0))(
        layers.GlobalAveragePooling2D()(x)
    )
    model = keras.Model(images, x, name="small")
    return keras.Sequential([keras.Input((8, 8, 3)), model]) if nested else model


def expected(model: keras.Model, activation) -> np.ndarray:
    """By Keras."""
    outputs = model(PIXELS)
    if activation is None:
        outputs = ops.softmax(outputs) if outputs.shape[-1] > 1 else ops.sigmoid(outputs)
    outputs = ops.convert_to_numpy(outputs)
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[-1] == 1 else outputs


NOTES = {
    (None, 3): "It puts out logits: the probabilities are their softmax.",
    ("softmax", 3): "",
    ("sigmoid", 3): "Its probabilities are of each class by itself",
    ("sigmoid", 1): "It puts out one probability, which is that of the second of two classes.",
    (None, 1): "It puts out one logit: its sigmoid is the probability of the second",
}


CHEAP = ((True, None, 3), (False, None, 1))
# A SavedModel takes seconds: two kinds, one of them nested, show that it goes the way of the others.
CASES = [
    pytest.param(
        suffix, nested, *kind, marks=pytest.mark.exhaustive if suffix == "" and (nested, *kind) not in CHEAP else pytest.mark.slow
    )
    if suffix in ("", ".onnx")
    else (suffix, nested, *kind)
    for suffix in (".keras", ".tflite", "", ".onnx")
    for nested in (False, True)
    for kind in NOTES
]


@pytest.mark.parametrize(("suffix", "nested", "activation", "units"), CASES)
def test_each_kind_of_outputs_becomes_probabilities(activation, units, nested, suffix, tmp_path):
    model = network(activation, units, nested)
    path = tmp_path / f"network{suffix}"
    if suffix == ".keras":
        model.save(path)
    else:
        names = ["cat", "dog", "fox"][: max(2, units)]
        export.exporter_for(path)(model, path, names)
    classifier = export.open_classifier(path)
    np.testing.assert_allclose(classifier.probabilities(PIXELS), expected(model, activation), atol=1e-4)
    assert classifier.note.startswith(NOTES[activation, units])
    assert bool(classifier.note) == bool(NOTES[activation, units])
    assert classifier.classes == max(2, units)
    assert len(classifier.class_names) == classifier.classes


def test_integers_are_seen_for_what_they_are(tmp_path):
    photographs = RANDOM.uniform(0, 255, (60, 8, 8, 3)).astype("float32")
    model = network(None, 3)
    proof = export.tflite(model, tmp_path / "logits.tflite", quantize="int8", calibration=photographs)
    assert proof.outputs == "relative logit"
    found = export.open_classifier(tmp_path / "logits.tflite")
    assert found.note == LOGITS.note
    np.testing.assert_allclose(found.probabilities(PIXELS), expected(model, None), atol=0.1)


def test_logits_are_compared_relatively():
    """The same relative error is the same, however large the logits are."""

    def error(scale: float) -> float:
        logits = scale * RANDOM.standard_normal((4, 3))
        proof = compare(lambda pixels: logits, lambda pixels: 1.01 * logits, [(PIXELS[:4], None)], LOGITS)
        assert f"relative logits differ by at most {proof.largest:.2g}" in str(proof)
        return proof.largest

    assert error(10) == pytest.approx(0.01)
    assert error(1000) == pytest.approx(0.01)


def test_one_number_for_two_classes_is_evaluated(run, tmp_path):
    """A network that calls an image "light" by its brightness."""
    images = keras.Input((8, 8, 3))
    x = layers.Dense(1)(layers.GlobalAveragePooling2D()(images))
    model = keras.Model(images, x)
    model.layers[-1].set_weights([np.full((3, 1), 0.1), np.array([-38.0])])
    model.save(tmp_path / "light.keras")
    (tmp_path / "labels.txt").write_text("dark\nlight\n")
    for name, low in (("dark", 0), ("light", 200)):
        for part in ("train", "validation"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for index in range(3):
                pixels = RANDOM.integers(low, low + 55, (8, 8, 3)).astype("uint8")
                Image.fromarray(pixels).save(tmp_path / "images" / part / name / f"{index}.png")
    export.tflite(model, tmp_path / "light.tflite", ["dark", "light"], data.load(str(tmp_path / "images"), "validation"))
    for file in ("light.keras", "light.tflite"):
        status, output, errors = run("evaluate", tmp_path / file, "--dataset", tmp_path / "images")
        assert status == 0
        assert "100.00%" in output
        assert f"keras-senet: note: {ONE_LOGIT.note}" in errors
        output = run("predict", tmp_path / file, tmp_path / "images" / "validation" / "light", "--top", 1)[1]
        assert output.count("light 9") + output.count("light 100") == 3


def test_what_noise_tells():
    logits = np.array([[3.0, -1.0, 0.5]])
    assert outputs_like(logits) is LOGITS
    assert outputs_like(logits[:, :1]) is ONE_LOGIT
    # 1,000 probabilities in 1/256: most are 0.
    probabilities = RANDOM.dirichlet(np.ones(1000), 2)
    assert outputs_like(np.round(256 * probabilities) / 256).note == ""
    assert outputs_like(np.array([[0.9, 0.8, 0.1]])).note != ""


@pytest.mark.parametrize("suffix", [".keras", ".tflite"])
def test_a_network_within_another_keeps_its_preprocessing(suffix, tmp_path):
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            PixelNormalization(crop_ratio=0.8, interpolation="bicubic", mean=[100.0] * 3, variance=[2500.0] * 3),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, layers.Dense(3, "softmax")(inner(images)))
    path = tmp_path / f"network{suffix}"
    model.save(path) if suffix == ".keras" else export.tflite(model, path)
    opened = export.open_classifier(path)
    assert opened.preprocessing == keras_senet.Preprocessing(8, 0.8, "bicubic") == keras_senet.preprocessing_for(model)
    np.testing.assert_allclose(opened.probabilities(PIXELS), model(PIXELS), atol=1e-5)


@pytest.mark.parametrize(
    "suffix", [".keras", ".tflite", "", *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in (".onnx", ".xml"))]
)
def test_threads_get_the_answers_to_their_own_images(suffix, tmp_path):
    model = network("softmax", 3)
    path = tmp_path / f"network{suffix}"
    model.save(path) if suffix == ".keras" else export.exporter_for(path)(model, path)
    opened = export.open_classifier(path)
    batches = RANDOM.uniform(0, 255, (200, 3, 8, 8, 3)).astype("float32")
    alone = [opened.probabilities(images) for images in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        together = list(threads.map(opened.probabilities, batches))
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
