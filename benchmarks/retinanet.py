"""Training RetinaNet against the RetinaNet of keras-cv: one network, the same scenes of digits, and what each learns of them.

The network is that of examples/detect_digits.py, for keras-cv the same layers with the same initial values, in the parts that
its RetinaNet takes. What differs is all else: matching, losses, and how boxes are made of the outputs. They train in turn, epoch
by epoch, and the processor's time is quoted, so that other programs hardly count.
"""

import functools
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_cv
from comparison import Comparison, compared, show, timed

from keras_senet import backbone, detection

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

import detect_digits

SCENES, TEST_SCENES, EPOCHS = 1600, 300, 2
MOST = 30  # detections in an image


def measure() -> list[Comparison]:
    images, objects = detect_digits.scenes(f"train[:{SCENES}]", None)
    tests, truths = detect_digits.scenes(f"test[:{TEST_SCENES}]", None)
    steps = EPOCHS * (SCENES // detect_digits.BATCH_SIZE)

    ours, equal = new_network(), new_network()
    theirs = of_keras_cv(equal)
    ours.compile(detect_digits.optimizer(steps), detect_digits.LOSSES["retinanet"], jit_compile=False)
    theirs.compile(box_loss="huber", classification_loss="focal", optimizer=detect_digits.optimizer(steps), jit_compile=False)
    own_batches = detect_digits.dataset(images, objects, detection.encoder(ours))
    boxes_and_classes = {"boxes": objects["boxes"], "classes": objects["labels"].astype("float32")}
    their_batches = detect_digits.dataset(images, boxes_and_classes, lambda image, objects: (image, objects))
    sides = [
        timed(functools.partial(model.fit, batches, verbose=0, shuffle=False), clock=time.process_time)
        for model, batches in ((ours, own_batches), (theirs, their_batches))
    ]
    rounds = [tuple(epoch() for epoch in sides) for _ in range(EPOCHS)]

    own_boxes = detection.detector(ours, candidates=300, max_detections=MOST).predict(tests, batch_size=50, verbose=0)
    their_boxes = theirs.predict(tests, batch_size=50, verbose=0)
    their_boxes = {"boxes": their_boxes["boxes"], "scores": their_boxes["confidence"], "classes": their_boxes["classes"]}
    own, their = (
        detection.average_precision(detection.each_image(truths), detection.each_image(found)).ap
        for found in (own_boxes, their_boxes)
    )
    what = f"epoch of RetinaNet, processor time; average precision {own:.1%} after {EPOCHS}"
    return [compared(what, f"keras_cv.models.RetinaNet, {their:.1%}", rounds, target=1)]


def new_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return detect_digits.network("retinanet", "se")


def of_keras_cv(network: keras.Model) -> keras.Model:
    """The RetinaNet of keras-cv of the layers of ours."""
    anchors = network.get_layer("boxes").anchors
    maps = {f"P{level}": network.get_layer(f"fpn_lateral{level}").input for level in anchors.levels}
    pyramid = [network.get_layer(f"fpn_out{level}").output for level in anchors.levels]
    maps_of_any_level = keras.Input((None, None, pyramid[0].shape[-1]))
    parts = ("conv1", "conv2", "out")
    heads = {
        head: keras.Sequential([maps_of_any_level, *(network.get_layer(f"{name}_{part}") for part in parts)], name=head)
        for head, name in (("box_head", "box"), ("classification_head", "class"))
    }
    return keras_cv.models.RetinaNet(
        backbone=backbone(keras.Model(network.inputs, maps[f"P{anchors.levels[-1]}"]), anchors.levels),
        num_classes=network.output["classes"].shape[-1],
        bounding_box_format="xyxy",
        anchor_generator=keras_cv.layers.AnchorGenerator(
            "xyxy",
            sizes=[anchors.scale * stride for stride in anchors.strides],
            scales=list(anchors.octaves),
            aspect_ratios=[1 / ratio for ratio in anchors.ratios],  # width by height
            strides=list(anchors.strides),
        ),
        feature_pyramid=keras.Model(maps, pyramid, name="pyramid"),
        prediction_decoder=keras_cv.layers.NonMaxSuppression(
            "xyxy", from_logits=True, confidence_threshold=0.05, max_detections=MOST
        ),
        **heads,
    )


if __name__ == "__main__":
    show(measure())
