"""Detectors and segmentation networks train as classifiers do: resumed to the last bit, and on several devices as on one."""

import pathlib
import signal

import keras
import numpy as np
import painted
import pytest
import tiny_network
from common import history
from observed import SignalAt, observe
from sklearn.metrics import jaccard_score
from test_multi_worker import job, seen, start_process
from test_resume import assert_equal_runs, start, until

from keras_senet import data, detection, training
from keras_senet.analysis import gates
from keras_senet.inference.preprocessing import preprocessing_for
from keras_senet.models.registry import find_model
from keras_senet.training.freezing import frozen_layers
from keras_senet.training.network import training_model
from keras_senet.training.state import newest_state, read_state
from keras_senet.training.tasks import task_of

HEADS = {
    "retinanet": ("detect", {"width": 8, "depth": 1}),
    "faster_rcnn": ("detect", {"width": 8, "units": 16, "proposals": 10, "max_objects": 6}),
    "unet": ("segment", {"width": 4}),
    "deeplab": ("segment", {"width": 8, "low_width": 8}),
}
# One of each task; the others are slower, and share all but the head.
EACH_TASK = ["retinanet", "unet", *(pytest.param(head, marks=pytest.mark.exhaustive) for head in ("faster_rcnn", "deeplab"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return painted.write(tmp_path_factory.mktemp("painted") / "scenes", 40)


@pytest.fixture(scope="module")
def recipe(folder):
    """Function from a head, and changes, to a recipe for a narrow network."""

    def of(head: str, **changes) -> training.Recipe:
        task, options = HEADS[head]
        fields = {
            "head_kwargs": options,
            "image_size": 64,
            "epochs": 2,
            "batch_size": 8,
            "optimizer": "adamw",
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "area_min": 0.5,
            "ema_decay": 0.5,
        }
        return training.Recipe.of("SENarrow", str(folder), task=task, head=head, **fields | changes)

    with tiny_network.narrow_registered():
        yield of


@pytest.mark.slow
@pytest.mark.parametrize("head", EACH_TASK)
def test_a_run_that_was_stopped_ends_like_one_that_was_not(recipe, head, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    one_epoch = recipe(head, epochs=1, image_size=32)
    training.train(one_epoch, whole)
    with pytest.raises(KeyboardInterrupt):
        training.train(one_epoch, stopped, callbacks=[SignalAt("on_train_batch_end", 2)])
    training.train(one_epoch, stopped, resume=True)
    assert_equal_runs(stopped, whole)
    names = history(whole)[0].keys()
    if head == "faster_rcnn":  # the losses of each output are resumed, too
        assert {"loss", "rpn_boxes_loss", "rpn_classes_loss", "roi_boxes_loss", "val_roi_classes_loss", "val_ap"} <= names
    network = keras.saving.load_model(whole / "last.keras")
    assert preprocessing_for(network).image_size == 32
    assert gates(task_of_images(network), np.zeros((1, 32, 32, 3)))


TO_THE_LAST_STEP_OF_AN_EPOCH = """
import sys, time
import keras, tiny_network
from keras_senet import training
wait = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch == 3 and time.sleep(600))
with tiny_network.narrow_registered():
    training.train(training.read_recipe(sys.argv[1]), sys.argv[2], save_every=3, callbacks=[wait])
"""


@pytest.mark.exhaustive
def test_a_detector_that_was_killed_ends_like_one_that_was_not(recipe, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    training.train(recipe("retinanet"), whole)
    run = start(TO_THE_LAST_STEP_OF_AN_EPOCH, whole / "config.json", killed)
    until(lambda: newest_state(killed / "states"))
    run.kill()
    _, errors = run.communicate()
    assert run.returncode == -signal.SIGKILL, errors
    progress, _ = read_state(newest_state(killed / "states"))
    assert (progress["epoch"], progress["step"]) == (0, 3)
    training.train(recipe("retinanet"), killed, resume=True)
    assert_equal_runs(killed, whole)


def task_of_images(network: keras.Model) -> keras.Model:
    return detection.detector(network) if isinstance(network.output, dict) else network


@pytest.mark.slow
def test_the_average_precision_of_an_epoch_is_that_of_its_network(recipe, tmp_path):
    """By pycocotools, on the image files themselves."""
    run = recipe("retinanet", epochs=12, learning_rate=4e-3, crop="center", ema_decay=0.0)
    training.train(run, tmp_path / "run")
    logged = [float(row["val_ap"]) for row in history(tmp_path / "run")]
    assert logged[-1] > 0.02
    network = keras.saving.load_model(tmp_path / "run" / "last.keras")
    images = data.load(run.dataset, "validation", task="detect")
    truths, found = [], []
    for name, *_ in images.examples(None).as_numpy_iterator():
        path = pathlib.Path(run.dataset, "images", pathlib.Path(name.decode()).name)
        pixels = np.asarray(keras.utils.load_img(path), "float32")
        scale = 64 / max(pixels.shape[:2])
        batch = np.full((1, 64, 64, 3), 128, "float32")
        small = keras.ops.image.resize(pixels, [round(side * scale) for side in pixels.shape[:2]], antialias=True)
        batch[0, : small.shape[0], : small.shape[1]] = small
        boxes = painted.boxes(np.asarray(keras.utils.load_img(path.parent.parent / "masks" / path.name, color_mode="grayscale")))
        truths.append({"boxes": boxes * scale, "labels": np.arange(5)})
        (one,) = detection.each_image(detection.detector(network).predict_on_batch(batch))
        found.append(one)
    assert detection.average_precision(truths, found).ap == pytest.approx(logged[-1], abs=0.01)


@pytest.mark.slow
def test_the_overlap_of_an_epoch_is_that_of_its_network(recipe, tmp_path):
    run = recipe("unet", ema_decay=0.0)
    training.train(run, tmp_path / "run")
    network = keras.saving.load_model(tmp_path / "run" / "last.keras")
    batches = data.evaluation_batches(data.load(run.dataset, "validation", task="segment"), preprocessing_for(network), 8)
    truth, predicted = [], []
    for pixels, masks in batches:
        counts = masks.numpy() != 255
        truth.append(masks.numpy()[counts])
        predicted.append(network.predict(pixels, verbose=0).argmax(-1)[counts])
    expected = jaccard_score(np.concatenate(truth), np.concatenate(predicted), average="macro")
    assert float(history(tmp_path / "run")[-1]["val_mean_iou"]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", ["retinanet", *(pytest.param(head, marks=pytest.mark.exhaustive) for head in ("faster_rcnn", "unet"))]
)
def test_two_devices_train_as_one_does(recipe, head, tmp_path):
    """The second process is new: TensorFlow confuses what two networks of one process exchange between devices."""
    exact = {"crop": "center", "epochs": 1, "ema_decay": 0.0, "optimizer": "sgd", "learning_rate": 1e-3, "sync_bn": True}
    one = observe(job(recipe(head, **exact), tmp_path / "one", strategy="single"))
    two_devices = job(recipe(head, **exact), tmp_path / "two", strategy="mirrored")
    (two,) = seen(*start_process([two_devices], tmp_path / "process"))
    assert (one["error"], two["error"], len(one["losses"])) == (None, None, 4)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-3)
    first, second = (history(tmp_path / folder)[0] for folder in ("one", "two"))
    for name in {"val_loss", "val_ap", "val_mean_iou"} & first.keys():  # of 8 images, the last batch filled up
        assert float(second[name]) == pytest.approx(float(first[name]), rel=1e-2, abs=1e-4), name


def task_and_model(fields: training.Recipe) -> tuple:
    """The task of a recipe, and the model that `fit` trains."""
    task = task_of(fields, data.load(fields.dataset, "train", task=fields.task))
    return task, training_model(task.network(), fields, task.exact_layers)


@pytest.mark.parametrize("head", HEADS)
def test_boxes_and_masks_stay_float32_under_a_dtype_policy(recipe, head):
    task, model = task_and_model(recipe(head, dtype_policy="mixed_bfloat16"))
    assert all(output.dtype == "float32" for output in model.outputs)
    assert model.get_layer("stage4_block1_conv1").compute_dtype == "bfloat16"
    policies = {layer.name: layer.compute_dtype for layer in model.layers}
    of_regions = {"rpn_decode_boxes", "rpn_scores", "proposals", "match_regions", "roi_align"}
    assert (of_regions <= policies.keys()) == (head == "faster_rcnn")
    assert {policies[name] for name in policies.keys() & {*of_regions, *task.exact_layers}} <= {"float32"}


@pytest.mark.parametrize("head", HEADS)
def test_freezing_the_backbone_trains_the_head_alone(recipe, head):
    fields = recipe(head, freeze="backbone")
    _, model = task_and_model(fields)
    frozen = {layer.name for layer in frozen_layers(model, fields)}
    backbone = {layer.name for layer in tiny_network.of_four_stages().layers if layer.weights}
    with_weights = {layer.name for layer in model.layers if layer.weights}
    assert frozen & with_weights == backbone & with_weights
    assert with_weights - frozen


@pytest.mark.parametrize("scale", [1, 2])
def test_anchors_follow_the_objects(recipe, folder, tmp_path, scale):
    size = {"width": 120 * scale, "height": 80 * scale}
    fields = recipe("retinanet").replace(dataset=str(painted.write(tmp_path / "scenes", 12, **size)))
    images = data.load(fields.dataset, "train", task="detect")
    anchors = task_of(fields, images).network().get_layer("boxes").anchors
    assert anchors.levels == (3, 4, 5)
    assert 1 <= anchors.scale < 2  # boxes of about 9 of 64 pixels, and a stride of 8, whatever the files' size is


def test_a_network_for_small_images_has_the_levels_that_it_has(recipe):
    fields = recipe("unet").replace(model="SEResNet20", image_size=32)
    network = task_of(fields, data.load(fields.dataset, "train", task="segment")).network()
    assert network.output_shape == (None, 32, 32, 6)
    assert [layer.name for layer in network.layers if layer.name.endswith("_concat")] == ["decoder1_concat"]
    with pytest.raises(ValueError, match="has no map of a stride of 8"):
        task_of(recipe("retinanet").replace(model="SEResNet20", image_size=8), data.load(fields.dataset, task="detect")).network()


MISTAKES = [
    ({"head": "unet"}, r"With task='detect', `head` must be one of \('retinanet', 'faster_rcnn'\)"),
    ({"task": "classify"}, "`head` must be None: it is for the tasks detect and segment"),
    ({"task": "classify", "head": None}, "`head_kwargs` is for the tasks detect and segment"),
    ({"task": "detekt"}, "`task` must be one of"),
    ({"label_smoothing": 0.1}, "`label_smoothing` is for the task classify"),
    ({"teacher": "best.keras"}, "`teacher` is for the task classify"),
    ({"mixup_alpha": 0.2}, "boxes and masks move with the image"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_recipe_that_does_not_suit_its_task_is_refused(recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        recipe("retinanet").replace(**changes)


@pytest.mark.parametrize(
    ("head", "changes", "message"),
    [
        (
            "retinanet",
            {"head_kwargs": {"widht": 8}},
            "retinanet has no option 'widht' in `head_kwargs`. Its options: depth, levels",
        ),
        ("retinanet", {"image_size": 72}, "multiples of 32 pixels"),
        ("unet", {"head_kwargs": {"width": 0}}, "`width` must be an integer of at least 1"),
        ("retinanet", {"train_split": "tests"}, "There is no part .tests."),
        ("retinanet", {"gradient_accumulation": 2, "batch_size": 64}, "more images than"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_it_begins(recipe, head, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        training.train(recipe(head, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_published_weights_start_a_detector(recipe, tmp_path):
    """Or those of a classifier that was trained here; its classes do not matter."""
    classifier = find_model("SENarrow")(classes=7, input_shape=(96, 96, 3))
    classifier.save(tmp_path / "classifier.keras")
    fields = recipe("retinanet", weights=str(tmp_path / "classifier.keras"))
    network = task_of(fields, data.load(fields.dataset, "train", task="detect")).network()
    for name in ("stem_conv", "stage5_block1_conv2", "stage3_block1_se"):
        for value, expected in zip(network.get_layer(name).get_weights(), classifier.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
