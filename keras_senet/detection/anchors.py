"""Anchors: the boxes at each position of a feature pyramid from which detectors predict, and what to predict from each.

True boxes are matched with the anchors in the input pipeline, image by image. So a detector is a functional model with plain
losses, and `fit`, saving and `tf.distribute` are Keras' own.
"""

import dataclasses
import math
import typing
from collections.abc import Callable

import keras
import numpy as np

from keras_senet.errors import InputError

# Deltas are divided by these: center and size, as in Girshick et al.'s implementation of Faster R-CNN.
VARIANCE = (0.1, 0.1, 0.2, 0.2)

# Labels of anchors and regions that have no class.
BACKGROUND, IGNORED = -1, -2


class Boxes(typing.TypedDict):
    """The objects of an image.

    Attributes:
        boxes: `(M, 4)`, left, top, right and bottom in pixels.
        labels: `(M,)`, class of each, from 0; rows of a negative label are padding.
    """

    boxes: typing.Any
    labels: typing.Any


@dataclasses.dataclass(frozen=True)
class Anchors:
    """The anchors of a detector for images of one size, the finest level first, then row by row.

    Attributes:
        image_size: height and width of the images, pixels.
        levels: levels of the feature pyramid, from fine to coarse: level n has a stride of 2 ** n pixels.
        scale: side of the smallest square anchor of a level, in strides.
        octaves: sides of the anchors at a position, as multiples of the smallest.
        ratios: heights of the anchors at a position, as multiples of their widths. They are of the same area.

    Raises:
        ValueError: if the image is smaller than the stride of a level, or anything else is out of its range.

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, section 4, for the default values.

    Example:

    >>> anchors = keras_senet.detection.Anchors(image_size=(128, 256), levels=(5, 6), octaves=(1,))
    >>> anchors.map_sizes, anchors.per_position, anchors.boxes().shape
    (((4, 8), (2, 4)), 3, (120, 4))
    >>> anchors.boxes()[1]  # the square one around the first position
    array([-48., -48.,  80.,  80.], dtype=float32)
    """

    image_size: tuple[int, int]
    levels: tuple[int, ...] = (3, 4, 5, 6, 7)
    scale: float = 4.0
    octaves: tuple[float, ...] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __post_init__(self):
        for name in ("image_size", "levels", "octaves", "ratios"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or not value:
                raise InputError(f"`{name}` must be a tuple of numbers. Received: {name}={value!r}")
            object.__setattr__(self, name, tuple(value))  # a list comes from a saved configuration
        if len(self.image_size) != 2 or not all(type(side) is int and side > 0 for side in self.image_size):
            raise InputError(f"`image_size` must be height and width in pixels. Received: image_size={self.image_size}")
        if not all(type(level) is int and level >= 0 for level in self.levels) or sorted({*self.levels}) != [*self.levels]:
            raise InputError(f"`levels` must be ascending numbers, such as (3, 4, 5). Received: levels={self.levels}")
        if not all(size > 0 for size in (self.scale, *self.octaves, *self.ratios)):
            raise InputError(
                "`scale`, `octaves` and `ratios` must be positive. Received: "
                f"scale={self.scale}, octaves={self.octaves}, ratios={self.ratios}"
            )
        if min(self.image_size) < self.strides[-1]:
            raise InputError(
                f"An image must be at least as large as the stride of level {self.levels[-1]}, {self.strides[-1]} pixels: leave "
                f"out coarse levels, or take larger images. Received: image_size={self.image_size}, levels={self.levels}"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each level, pixels."""
        return tuple(2**level for level in self.levels)

    @property
    def map_sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of the map of each level."""
        height, width = self.image_size
        return tuple((math.ceil(height / stride), math.ceil(width / stride)) for stride in self.strides)

    @property
    def per_position(self) -> int:
        """Number of anchors at a position."""
        return len(self.octaves) * len(self.ratios)

    def boxes(self) -> np.ndarray:
        """All anchors, float32 of shape `(A, 4)`: left, top, right and bottom in pixels. They may reach out of the image."""
        levels = []
        for stride, (rows, columns) in zip(self.strides, self.map_sizes, strict=True):
            sides = np.array([octave * self.scale * stride for octave in self.octaves for _ in self.ratios])
            roots = np.sqrt([ratio for _ in self.octaves for ratio in self.ratios])
            half = np.stack([sides / roots, sides * roots], axis=-1) / 2
            y, x = np.meshgrid((np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, indexing="ij")
            center = np.stack([x, y], axis=-1)[:, :, np.newaxis]
            levels.append(np.concatenate([center - half, center + half], axis=-1).reshape(-1, 4))
        return np.concatenate(levels).astype("float32")

    def matcher(self, classes: int, positive: float = 0.5, negative: float = 0.4) -> Callable[[Boxes], dict]:
        """Makes the function from the objects of an image to what a detector should say of each anchor.

        An anchor belongs to the object that it overlaps most, if their intersection over union is at least `positive`. It is
        background below `negative`, and ignored in between. So that small objects count, too, the anchor that overlaps an object
        most belongs to it, however little that is; between two such objects, to the one that it overlaps more.

        Boxes are clipped to the image, and what then has no area is left out. An image without objects is all background.

        Args:
            classes: number of classes.
            positive: least intersection over union of an anchor that belongs to an object.
            negative: the same, of one that is not background.

        Returns:
            A function for `tf.data` that takes `Boxes`, and returns a dictionary: "boxes" `(A, 5)`, the deltas of each anchor's
            object, and 1 for an anchor that belongs to one, else 0; and "classes" `(A, 1)`, its class, `BACKGROUND` or `IGNORED`.
            It raises an `InvalidArgumentError` for labels beyond the classes, and for boxes whose right or lower end comes first.
        """
        import tensorflow as tf  # in the pipeline on every backend

        anchors = self.boxes()

        def match(objects):
            boxes, labels = objects_within(objects, classes, self.image_size)
            # One object that overlaps nothing, so that there always is one.
            boxes = tf.concat([boxes, tf.fill((1, 4), -1e4)], axis=0)
            labels = tf.concat([labels, [BACKGROUND]], axis=0)
            overlap = _overlap(anchors, boxes)
            nearest = tf.equal(tf.range(len(anchors))[:, tf.newaxis], tf.argmax(overlap, axis=0, output_type=tf.int32))
            # The nearest ones first.
            rank = overlap + 2 * tf.cast(nearest & (overlap > 0), tf.float32)
            best, of_best = tf.reduce_max(rank, axis=1), tf.argmax(rank, axis=1)
            found = best >= positive
            label = tf.where(found, tf.gather(labels, of_best), tf.where(best < negative, BACKGROUND, IGNORED))
            found = tf.cast(found, tf.float32)[:, tf.newaxis]
            # Those of the object that is none would not be numbers.
            deltas = _deltas(anchors, tf.where(found > 0, tf.gather(boxes, of_best), anchors))
            return {"boxes": tf.concat([deltas, found], axis=1), "classes": label[:, tf.newaxis]}

        return match


def objects_within(objects: Boxes, classes: int, image_size: tuple[int, int]):
    """Boxes, float32 `(M, 4)`, and labels, int32 `(M,)`, of the objects within an image."""
    import tensorflow as tf

    labels = tf.cast(objects["labels"], tf.int32)
    boxes = tf.cast(tf.boolean_mask(objects["boxes"], labels >= 0), tf.float32)
    labels = tf.boolean_mask(labels, labels >= 0)
    checks = [
        tf.debugging.assert_less(
            labels, classes, f"Labels must be less than {classes}, the number of classes of the detector; they start from 0."
        ),
        tf.debugging.assert_greater_equal(
            boxes[:, 2:], boxes[:, :2], "Boxes must be left, top, right and bottom in pixels: convert them to the format 'xyxy'."
        ),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # there is none outside of a graph
        height, width = image_size
        boxes = tf.clip_by_value(boxes, 0.0, [width, height, width, height])
    has_area = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return tf.boolean_mask(boxes, has_area), tf.boolean_mask(labels, has_area)


# Keras has these two functions, but on another backend than TensorFlow they cannot be called in a pipeline.


def _overlap(anchors, boxes):
    """Intersection over union of each anchor `(A, 4)` with each box `(M, 4)`."""
    import tensorflow as tf

    def area(sides):
        return tf.reduce_prod(tf.maximum(sides, 0), axis=-1)

    ends = tf.minimum(anchors[:, np.newaxis, 2:], boxes[:, 2:])
    common = area(ends - tf.maximum(anchors[:, np.newaxis, :2], boxes[:, :2]))
    whole = area(anchors[:, 2:] - anchors[:, :2])[:, tf.newaxis] + area(boxes[:, 2:] - boxes[:, :2])
    return common / (whole - common)


def _deltas(anchors, boxes):
    """What `decoded` makes the boxes of again."""
    import tensorflow as tf

    sizes = anchors[:, 2:] - anchors[:, :2]
    centers = ((boxes[:, 2:] + boxes[:, :2]) - (anchors[:, 2:] + anchors[:, :2])) / 2
    return tf.concat([centers / sizes, tf.math.log((boxes[:, 2:] - boxes[:, :2]) / sizes)], axis=1) / VARIANCE


def decoded(references, deltas, image_size: tuple[int, int]):
    """Boxes from what a detector says of anchors or regions, clipped to the image; all `(..., 4)`."""
    boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
        references, deltas, "xyxy", "xyxy", encoded_format="center_xywh", variance=VARIANCE
    )
    height, width = image_size
    return keras.ops.clip(boxes, 0.0, np.array([width, height, width, height], "float32"))


@keras.saving.register_keras_serializable("keras_senet")
class PerAnchor(keras.layers.Layer):
    """The maps of a head at all levels as one row for each anchor, in float32.

    Args:
        anchors: an `Anchors`, or its fields as a dictionary. It is saved with the layer, so that a detector knows its anchors.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Input shape: a list with the map of each level, `(N, H, W, numbers of a position)`, or `(N, numbers, H, W)` with
    `"channels_first"`.

    Output shape: `(N, A, numbers of an anchor)`.
    """

    def __init__(self, anchors: Anchors | dict, data_format: str, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.anchors = anchors if isinstance(anchors, Anchors) else Anchors(**anchors)
        self.data_format = data_format

    def build(self, input_shape):
        last = self.data_format == "channels_last"
        sizes = tuple(tuple(shape[1:3] if last else shape[2:]) for shape in input_shape)
        if sizes != self.anchors.map_sizes:
            raise InputError(
                f"For images of {self.anchors.image_size} pixels the maps of the levels {self.anchors.levels} should have the "
                f"sizes {self.anchors.map_sizes}. Received: {sizes}"
            )

    def call(self, maps):
        rows = []
        for feature_map in maps:
            if self.data_format == "channels_first":
                feature_map = keras.ops.transpose(feature_map, (0, 2, 3, 1))
            _, height, width, numbers = feature_map.shape
            per_position = self.anchors.per_position
            rows.append(keras.ops.reshape(feature_map, (-1, height * width * per_position, numbers // per_position)))
        return keras.ops.concatenate(rows, axis=1)

    def get_config(self):
        return {**super().get_config(), "anchors": dataclasses.asdict(self.anchors), "data_format": self.data_format}


@keras.saving.register_keras_serializable("keras_senet")
class DecodeBoxes(keras.layers.Layer):
    """What a detector says of each anchor as boxes in pixels, clipped to the image.

    Args:
        anchors: an `Anchors`, or its fields as a dictionary.
        **kwargs: `name` of `keras.layers.Layer`.

    Input and output shape: `(N, A, 4)`.
    """

    def __init__(self, anchors: Anchors | dict, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.anchors = anchors if isinstance(anchors, Anchors) else Anchors(**anchors)
        self._boxes = self.anchors.boxes()

    def call(self, deltas):
        return decoded(self._boxes, deltas, self.anchors.image_size)

    def get_config(self):
        return {**super().get_config(), "anchors": dataclasses.asdict(self.anchors)}
