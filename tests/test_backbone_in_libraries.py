"""The detectors and segmentation networks of keras-cv and keras-hub train on our backbones, are saved, and are loaded."""

import keras
import numpy as np
import pytest
import tiny_network

import keras_senet
from keras_senet.rewrite.pyramid import Backbone

SIDES = (64, 96)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 255, (2, *SIDES, 3)).astype("float32")
BOXES = np.array([[[4, 8, 40, 44], [30, 2, 90, 60]]] * 2, "float32")
CLASSES = np.array([[0, 1], [2, 0]], "float32")
MASKS = RANDOM.integers(0, 3, (2, *SIDES, 1))

pytestmark = [
    pytest.mark.slow,
    # keras-cv's own RetinaNet passes images to its graph, whose input is a dictionary of them. keras-hub compiles what it loads
    # as it does by default, and has no state for that.
    pytest.mark.filterwarnings("ignore:The structure of `inputs` doesn't match:UserWarning"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning"),
]


def backbone(levels: tuple[int, ...] = (3, 4, 5), **options) -> Backbone:
    return keras_senet.backbone(tiny_network.of_four_stages(input_shape=(*SIDES, 3)), levels, **options)


def assert_trains_and_loads(model: keras.Model, targets, path, outputs=lambda model: model(IMAGES)) -> None:
    """Two steps change the backbone, and the loaded network computes the same."""
    kernel = next(weight for weight in model.trainable_weights if "stage5" in weight.path)
    before = kernel.numpy()
    model.fit(IMAGES, targets, batch_size=2, epochs=2, shuffle=False, verbose=0)
    assert not np.array_equal(kernel, before)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    model.save(path)
    loaded = keras.saving.load_model(path, compile=False)  # neither library loads how its networks were compiled
    for found, expected in zip(keras.tree.flatten(outputs(loaded)), keras.tree.flatten(outputs(model)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_retinanet_of_keras_cv(tmp_path):
    models = pytest.importorskip("keras_cv").models
    model = models.RetinaNet(backbone=backbone(freeze_norm=True), num_classes=3, bounding_box_format="xyxy")
    model.compile(optimizer="adam", box_loss="smoothl1", classification_loss="focal", jit_compile=False)
    assert_trains_and_loads(model, {"boxes": BOXES, "classes": CLASSES}, tmp_path / "model.keras")


@pytest.mark.exhaustive
def test_yolo_of_keras_cv(tmp_path):
    models = pytest.importorskip("keras_cv").models
    model = models.YOLOV8Detector(backbone=backbone(), num_classes=3, bounding_box_format="xyxy", fpn_depth=1)
    model.compile(optimizer="adam", box_loss="ciou", classification_loss="binary_crossentropy", jit_compile=False)
    assert_trains_and_loads(model, {"boxes": BOXES, "classes": CLASSES}, tmp_path / "model.keras")


def test_deeplab_of_keras_cv(tmp_path):
    models = pytest.importorskip("keras_cv").models
    model = models.DeepLabV3Plus(backbone=backbone((2, 3, 4, 5)), num_classes=3)
    model.compile("adam", "sparse_categorical_crossentropy")
    assert_trains_and_loads(model, MASKS, tmp_path / "model.keras")


def test_retinanet_of_keras_hub(tmp_path):
    hub = pytest.importorskip("keras_hub")
    levels = {"min_level": 3, "max_level": 7}
    detector = hub.models.RetinaNetObjectDetector(
        backbone=hub.models.RetinaNetBackbone(image_encoder=backbone(), use_p5=False, image_shape=(*SIDES, 3), **levels),
        num_classes=3,
        bounding_box_format="xyxy",
        anchor_generator=hub.layers.AnchorGenerator("xyxy", num_scales=3, aspect_ratios=[0.5, 1.0, 2.0], anchor_size=4, **levels),
    )
    detector.compile(optimizer="adam", box_loss="auto", classification_loss="auto", jit_compile=False)
    assert_trains_and_loads(detector, {"boxes": BOXES, "labels": CLASSES}, tmp_path / "model.keras")


def test_deeplab_of_keras_hub(tmp_path):
    hub = pytest.importorskip("keras_hub")
    encoder = hub.models.DeepLabV3Backbone(
        image_encoder=backbone((2, 3, 4, 5)),
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        low_level_feature_key="P2",
        image_shape=(*SIDES, 3),
    )
    segmenter = hub.models.DeepLabV3ImageSegmenter(encoder, num_classes=3, activation="softmax")
    segmenter.compile("adam", "sparse_categorical_crossentropy")
    assert_trains_and_loads(segmenter, MASKS, tmp_path / "model.keras")
