"""Small detectors and what they learn from, for tests and their child processes."""

import keras
import numpy as np
from keras import layers

import keras_senet
from keras_senet import detection
from keras_senet.layers.data_format import channel_axis

SIDES = (64, 96)
CLASSES = 3


def backbone(levels: tuple[int, ...] = (3, 4, 5), data_format: str = "channels_last", **options):
    """A network with SE and normalization, and maps of strides 8, 16 and 32."""
    shape = (*SIDES, 3) if data_format == "channels_last" else (3, *SIDES)
    x = inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 255, name="rescaling")(x)
    for level in range(1, 6):
        x = layers.Conv2D(4 * level, 3, 2, padding="same", data_format=data_format, name=f"conv{level}")(x)
        x = layers.BatchNormalization(channel_axis(data_format), name=f"norm{level}")(x)
        x = layers.ReLU(name=f"relu{level}")(x)
        x = keras_senet.layers.SqueezeExcite(4, data_format=data_format, name=f"se{level}")(x)
    return keras_senet.backbone(keras.Model(inputs, x, name="small"), levels, **options)


def anchors(**options) -> detection.Anchors:
    return detection.Anchors(**{"image_size": SIDES, "levels": (3, 4, 5, 6), "scale": 2.0} | options)


def retinanet(**options):
    """Compiled, as the paper's."""
    keras.utils.set_random_seed(0)
    model = detection.retinanet(backbone(**options), CLASSES, anchors(), width=8, depth=1)
    model.compile(keras.optimizers.SGD(0.05, 0.9), {"boxes": detection.BoxLoss(), "classes": detection.FocalLoss()})
    return model


def faster_rcnn(**options):
    """Compiled, as the paper's."""
    keras.utils.set_random_seed(0)
    small = {"width": 8, "units": 16, "proposals": 40, "max_objects": 3, "canonical_size": 56.0}
    places = anchors(levels=(2, 3, 4, 5, 6), scale=4.0, octaves=(1.0,))
    model = detection.faster_rcnn(backbone((2, 3, 4, 5), **options), CLASSES, places, **small)
    losses = {
        "rpn_boxes": detection.BoxLoss(),
        "rpn_classes": detection.ProposalLoss(),
        "roi_boxes": detection.RegionBoxLoss(),
        "roi_classes": detection.RegionClassLoss(),
    }
    model.compile(keras.optimizers.SGD(0.05, 0.9), losses)
    return model


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (count, *SIDES, 3)).astype("float32")


def random_boxes(count: int, seed: int, least: float = 8.0) -> np.ndarray:
    """Boxes within the image, of at least so many pixels on each side."""
    random = np.random.default_rng(seed)
    height, width = SIDES
    first = random.uniform(0, [width - least, height - least], (count, 2))
    last = random.uniform(first + least, [width, height])
    return np.concatenate([first, last], axis=1).astype("float32")


def scenes(count: int):
    """A dataset of images with none to three objects; rows of the label -1 are none."""
    import tensorflow as tf

    boxes = np.stack([random_boxes(3, seed) for seed in range(count)])
    labels = np.array([[(number + row) % CLASSES if row < number % 4 else -1 for row in range(3)] for number in range(count)])
    return tf.data.Dataset.from_tensor_slices((images(count), {"boxes": boxes, "labels": labels}))
