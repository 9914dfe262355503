"""Distillation: its losses are those of the papers, and a teacher is asked no oftener than it must be."""

import dataclasses
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from common import DEMO
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize

import keras_senet
from keras_senet import data, training
from keras_senet.inference import classifier
from keras_senet.inference.labels import keep_class_names
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.training.distillation import Teacher, distilled, open_teacher
from keras_senet.training.losses import loss
from keras_senet.training.network import normalizations
from keras_senet.training.teacher_outputs import ask_once


def recipe(**fields):
    return training.Recipe.of("SEResNet20", "digits", **{"schedule": "plateau"} | fields)


@pytest.fixture
def network():
    """A linear network of images with two logits."""
    keras.utils.set_random_seed(0)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(inputs := keras.Input((4, 4, 3))))
    return keras.Model(inputs, keras.layers.Dense(2)(x))


@pytest.fixture
def teacher(network):
    """Another network for the same images and classes, with a softmax; it also normalizes batches, and so sees if it trains."""
    x = keras.layers.BatchNormalization()(keras.layers.Flatten()(inputs := keras.Input((4, 4, 3))))
    return keras.Model(inputs, keras.layers.Dense(2, "softmax", kernel_initializer=keras.initializers.RandomNormal())(x))


@pytest.mark.parametrize(("temperature", "weight", "logits"), [(1.0, 1.0, False), (4.0, 0.3, False), (4.0, 0.3, True)])
def test_distillation_adds_hintons_loss_in_training_alone(network, teacher, temperature, weight, logits):
    fields = recipe(temperature=temperature, distill_weight=weight)
    student = keras.Model(network.inputs, keras.layers.Softmax()(network.output))
    if logits:
        teacher.layers[-1].activation = keras.activations.linear
    model = distilled(student, teacher, fields)
    model.compile(keras.optimizers.SGD(0.0), loss(fields), weighted_metrics=["accuracy"])
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(8, 4, 4, 3)), np.eye(2)[random.integers(0, 2, 8)]
    before = teacher.get_weights()
    trained = model.fit(images, labels, batch_size=8, verbose=0).history["loss"][0]
    taught = teacher.predict(images, verbose=0)
    soft = softmax((taught if logits else np.log(taught)) / temperature, axis=-1)
    own = softmax(network.predict(images, verbose=0) / temperature, axis=-1)
    measured = model.evaluate(images, labels, verbose=0)[0]
    assert measured == pytest.approx(log_loss(labels, student.predict(images, verbose=0)), rel=1e-5)
    assert trained == pytest.approx(measured + weight * temperature**2 * entropy(soft, own, axis=-1).mean(), rel=1e-4)
    assert all((one == other).all() for one, other in zip(teacher.get_weights(), before, strict=True))
    assert [variable.path for variable in model.variables] == [variable.path for variable in student.variables]


def test_maps_are_compared_where_networks_attend_as_in_the_paper():
    fields = recipe(distill_weight=0.0, distill_maps_weight=0.7)
    keras.utils.set_random_seed(0)
    student, teacher = keras_senet.SEResNet20(weights=None), keras_senet.SEResNet32(weights=None, input_shape=(32, 32, 3))
    model = distilled(student, teacher, fields)
    for layer in normalizations(model):
        layer.trainable = False  # so that a step computes what a prediction does
    model.compile(keras.optimizers.SGD(0.0), loss(fields))
    random = np.random.default_rng(0)
    images, labels = random.uniform(0, 255, (4, 32, 32, 3)), np.eye(10)[random.integers(0, 10, 4)]
    trained = model.fit(images, labels, batch_size=4, verbose=0).history["loss"][0]
    distances = 0
    for name in ("stage2_block{}_out", "stage3_block{}_out", "stage4_block{}_out"):
        attention = []
        for network, block in ((student, 3), (teacher, 5)):
            maps = keras.Model(network.inputs, network.get_layer(name.format(block)).output).predict(images, verbose=0)
            attention.append(normalize(np.float64(maps**2).sum(-1).reshape(4, -1)))
        distances += ((attention[0] - attention[1]) ** 2).sum(-1).mean()
    assert distances > 0.01
    assert trained == pytest.approx(model.evaluate(images, labels, verbose=0) + 0.7 * distances, rel=1e-4)


def test_maps_without_a_common_stride_are_refused(network):
    student = keras.Model(network.inputs, keras.layers.Softmax()(network.output))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 2, strides=4)(inputs := keras.Input((4, 4, 3))))
    with pytest.raises(ValueError, match="have no stride in common: set distill_maps_weight=0"):
        distilled(student, keras.Model(inputs, keras.layers.Dense(2, "softmax")(x)), recipe(distill_maps_weight=1.0))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("model.tflite", {}, "is a .keras file or a published checkpoint"),
        ("seresnet50.ra2_in1k", {}, "knows 1000 classes, but digits has 10. Fine-tune it"),
        ("best.keras", {"class_names": ["zero", *"123456789"]}, "calls class 0 '0', but digits calls it 'zero'"),
        ("best.keras", {"activation": keras.activations.sigmoid}, "must end in a softmax or in logits"),
        ("nowhere.keras", {}, "no file or folder"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(name, changes, message, tmp_path, monkeypatch):
    name = name if name.startswith("seresnet50") else str(tmp_path / name)
    if name.endswith(".tflite"):
        shutil.copy(DEMO / "model.tflite", name)
    elif name.endswith("best.keras"):
        network = keras_senet.SEResNet20(weights=None)
        keep_class_names(network, "0123456789")
        network.layers[-1].activation = changes.get("activation", keras.activations.softmax)
        network.save(name)
    else:
        monkeypatch.setattr(classifier, "find_model", lambda name: lambda **arguments: keras_senet.SEResNet20(classes=1000))
        monkeypatch.setattr(classifier, "imagenet_labels", lambda: [str(index) for index in range(1000)])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_teacher(recipe(teacher=name, image_size=32), changes.get("class_names", list("0123456789")))


def test_a_teacher_sees_images_of_the_students_size():
    fields = recipe(teacher=str(DEMO / "model.keras"), image_size=48)
    assert open_teacher(fields, list("0123456789")).input_shape == (None, 48, 48, 3)


@pytest.fixture
def asked(tmp_path, digits):
    """A teacher's file, 40 digits of which one is damaged, and the function that asks the teacher about them."""
    file = shutil.copy(DEMO / "model.keras", tmp_path / "big.keras")
    images = digits("train[:40]")
    examples = images.examples

    def damage(name, source, label):
        return name, tf.where(tf.strings.regex_full_match(name, ".*__7"), "", source), label

    # As if there were more images, since few of them may be damaged.
    images = dataclasses.replace(images, examples=lambda *arguments: examples(*arguments).map(damage), size=1000)

    def ask(**fields):
        plain = {"image_size": 32, "crop": "center", "flip": False}
        fields = recipe(teacher=str(file), distill_maps_weight=1.0, **plain | fields)
        student = keras_senet.SEResNet20(weights=None, input_shape=(32, 32, 3))
        teacher = distilled(student, open_teacher(fields, list("0123456789")), fields).teacher
        return teacher, ask_once(teacher, fields, images)

    return file, images, ask


def test_a_teacher_is_asked_once_about_each_image_for_all_students(asked, monkeypatch):
    file, images, ask = asked
    teacher, taught = ask()
    (kept,) = file.parent.glob("big.taught-*.npz")
    with pytest.warns(UserWarning, match="Left out"):
        ((pixels, _),) = data.evaluation_batches(images, Preprocessing(32, crop_ratio=1.0), 40)
    names = tf.stack([name for name, *_ in images.examples(None)])
    said = taught(names)
    assert sorted(said) == ["P0", "P1", "P2", "classes"]
    for name, values in teacher.network.predict(pixels, verbose=0).items():
        np.testing.assert_allclose(np.delete(said[name], 7, axis=0), values, rtol=1e-3, atol=1e-4)
        assert not said[name][7].numpy().any()  # in whose place another image or a black one stands
    monkeypatch.setattr(Teacher, "__call__", None)
    again = ask()[1](names)
    assert all((again[name].numpy() == said[name].numpy()).all() for name in said)
    with pytest.raises(TypeError):  # it is asked, for images of another size
        ask(image_size=16)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"another teacher"
    with pytest.raises(TypeError):
        ask()
    assert list(file.parent.glob("*.npz")) == [kept]


@pytest.mark.parametrize("changes", [{"flip": True}, {"crop": "shift"}, {"pixel_jitter": 1.0}, {"mixup_alpha": 0.2}])
def test_a_teacher_is_asked_in_each_step_where_images_look_different_each_time(asked, changes):
    assert asked[2](**changes)[1] is None


def test_batches_carry_what_was_said_of_their_images(asked):
    _, images, ask = asked
    _, taught = ask()
    augmentation = data.Augmentation(crop="center", flip=False)
    with pytest.warns(UserWarning, match="Left out"):
        pixels, labels = next(iter(data.training_batches(images, 32, 40, augmentation, taught=taught)))
    # Each image is a digit that the teacher knows, the one that stands in for the damaged one included.
    assert (labels["taught"]["classes"].numpy().argmax(-1) == labels["labels"].numpy().argmax(-1)).mean() > 0.9
    shown = {row.tobytes() for row in pixels.numpy()}
    assert len(shown) == 39
    of_image = {row.tobytes(): said.tobytes() for row, said in zip(pixels.numpy(), labels["taught"]["P0"].numpy(), strict=True)}
    assert len(set(of_image.values())) == 39
