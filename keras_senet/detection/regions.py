"""The regions of a detector in two stages: which are proposed, which object each shows, and its window of a feature pyramid."""

import dataclasses
import itertools

import keras
import numpy as np
from keras import ops

from keras_senet.detection.anchors import BACKGROUND, IGNORED, VARIANCE, Anchors, decoded
from keras_senet.detection.suppression import NonMaxSuppression


@keras.saving.register_keras_serializable("keras_senet")
class ProposeRegions(keras.layers.Layer):
    """The regions that a first stage proposes: the surest ones that are left of all levels after suppression within each.

    So no level crowds out another: from each as many of the surest boxes are considered as there will be regions in all, and a
    box is left out only for a surer one of its own level, whose intersection over union with it is above 0.7.

    Args:
        anchors: an `Anchors`, or its fields as a dictionary.
        proposals: number of regions.
        **kwargs: `name` of `keras.layers.Layer`.

    Input: a list of boxes `(N, A, 4)` and their scores `(N, A, 1)`, in the order of the anchors.

    Output shape: `(N, proposals, 4)`, the surest region first, with rows of zeros at the end where there are fewer.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", arXiv 1612.03144, section 4, as Detectron has it in
    inference; in training it proposes twice as many.
    """

    def __init__(self, anchors: Anchors | dict, proposals: int, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.anchors = anchors if isinstance(anchors, Anchors) else Anchors(**anchors)
        self.proposals = proposals
        self._suppression = NonMaxSuppression(0.0, 0.7, candidates=proposals, max_detections=proposals)

    def build(self, input_shape):
        self._suppression.build(input_shape)  # a loaded one would pass for unbuilt

    def call(self, inputs):
        counts = [rows * columns * self.anchors.per_position for rows, columns in self.anchors.map_sizes]
        ends = itertools.accumulate(counts, initial=0)
        levels = [self._suppression([x[:, start:end] for x in inputs]) for start, end in itertools.pairwise(ends)]
        boxes, scores = (ops.concatenate([level[name] for level in levels], axis=1) for name in ("boxes", "scores"))
        _, chosen = ops.top_k(scores, self.proposals)
        return ops.take_along_axis(boxes, ops.expand_dims(chosen, axis=-1), axis=1)

    def get_config(self):
        return {**super().get_config(), "anchors": dataclasses.asdict(self.anchors), "proposals": self.proposals}


@keras.saving.register_keras_serializable("keras_senet")
class MatchRegions(keras.layers.Layer):
    """Adds the true boxes to the proposed ones, and says of each region which object it shows.

    A region shows the object that it overlaps most, if their intersection over union is at least a half; else it is background.

    Args:
        **kwargs: `name` of `keras.layers.Layer`.

    Input: a list of proposals `(N, P, 4)`, true boxes `(N, M, 4)` and their labels `(N, M)`. Rows of a negative label and boxes
    without area are padding.

    Output: a list of regions `(N, P + M, 4)`, the deltas of each region's object `(N, P + M, 4)`, and its label
    `(N, P + M, 1)`, -1 for background and -2 for padding.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)

    def call(self, inputs):
        proposals, boxes, labels = inputs
        there = ops.expand_dims(ops.cast(labels > BACKGROUND, "float32"), axis=1)
        regions = ops.stop_gradient(ops.concatenate([proposals, boxes], axis=1))
        overlap = keras.utils.bounding_boxes.compute_iou(regions, boxes, "xyxy") * there
        of_best = ops.argmax(overlap, axis=-1)
        found = ops.max(overlap, axis=-1) >= 0.5
        label = ops.where(found, ops.take_along_axis(labels, of_best, axis=1), BACKGROUND)
        label = ops.where(ops.all(regions[..., 2:] > regions[..., :2], axis=-1), label, IGNORED)
        deltas = keras.utils.bounding_boxes.encode_box_to_deltas(
            regions,
            ops.take_along_axis(boxes, ops.expand_dims(of_best, axis=-1), axis=1),
            "xyxy",
            "xyxy",
            encoding_format="center_xywh",
            variance=VARIANCE,
        )
        label = ops.expand_dims(label, axis=-1)
        return [regions, ops.where(label > BACKGROUND, deltas, 0.0), label]


@keras.saving.register_keras_serializable("keras_senet")
class RoiAlign(keras.layers.Layer):
    """Windows of a feature pyramid, each from the level of its size, interpolated to one size.

    Args:
        strides: of each map, pixels.
        canonical_size: square root of the area of a region, pixels, that is read from the level whose stride is 16.
        size: height and width of a window in cells, each the mean of 2 x 2 samples.
        data_format: `"channels_last"` or `"channels_first"` of the maps.
        **kwargs: `name` of `keras.layers.Layer`.

    Input: a list of the maps, `(N, H, W, C)` or `(N, C, H, W)`, and last the regions `(N, R, 4)` in pixels.

    Output shape: `(N, R, size, size, C)`, float32.

    Source: He et al., "Mask R-CNN", arXiv 1703.06870, section 3; Lin et al., arXiv 1612.03144, equation 1, for the levels.
    """

    def __init__(self, strides, canonical_size: float, size: int = 7, data_format: str = "channels_last", **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)  # bfloat16 has not enough digits for coordinates
        self.strides = tuple(strides)
        self.canonical_size = canonical_size
        self.size = size
        self.data_format = data_format

    def call(self, inputs):
        *maps, regions = inputs
        if self.data_format == "channels_first":
            maps = [ops.transpose(x, (0, 2, 3, 1)) for x in maps]
        channels, count = maps[0].shape[-1], regions.shape[1]
        sides = np.array([x.shape[1:3] for x in maps], "float32")
        starts = np.cumsum([0, *sides.prod(axis=1)])[:-1]
        # All maps as one row of cells, so that each region reads from its own.
        cells = ops.concatenate([ops.reshape(x, (-1, x.shape[1] * x.shape[2], channels)) for x in maps], axis=1)

        area = ops.prod(ops.maximum(regions[..., 2:] - regions[..., :2], 1e-3), axis=-1)
        level = ops.floor(4 + ops.log(ops.sqrt(area) / self.canonical_size) / float(np.log(2)))
        first = int(np.log2(self.strides[0]))
        level = ops.cast(ops.clip(level, first, first + len(maps) - 1), "int32") - first

        def of_level(values):
            return ops.take(ops.convert_to_tensor(np.asarray(values, "float32")), level, axis=0)

        stride, start, height, width = map(of_level, (self.strides, starts, sides[:, 0], sides[:, 1]))
        samples = 2 * self.size
        steps = (np.arange(samples, dtype="float32") + 0.5) / samples

        def between(low, high, side):
            """Along an axis, the cells before and behind each sample, and the weight of the one behind."""
            low, high, cell, last = (ops.expand_dims(x, axis=-1) for x in (low, high, stride, side - 1))
            place = ops.minimum(ops.maximum((low + (high - low) * steps) / cell - 0.5, 0.0), last)
            before = ops.floor(place)
            return before, ops.minimum(before + 1, last), place - before

        above, below, of_below = between(regions[..., 1], regions[..., 3], height)
        left, right, of_right = between(regions[..., 0], regions[..., 2], width)
        width, start = (ops.reshape(x, (-1, count, 1, 1)) for x in (width, start))
        window = 0.0
        for row, of_row in ((above, 1 - of_below), (below, of_below)):
            for column, of_column in ((left, 1 - of_right), (right, of_right)):
                cell = start + ops.expand_dims(row, axis=-1) * width + ops.expand_dims(column, axis=-2)
                cell = ops.reshape(ops.cast(cell, "int32"), (-1, count * samples**2, 1))
                weight = ops.expand_dims(of_row, axis=-1) * ops.expand_dims(of_column, axis=-2)
                weight = ops.reshape(weight, (-1, count * samples**2, 1))
                window = window + ops.take_along_axis(cells, cell, axis=1) * weight
        # Not a mean over axes of a map of rank 7, which XNNPACK does not take.
        window = ops.reshape(window, (-1, samples, samples, channels))
        window = ops.average_pool(window, 2, 2, data_format="channels_last")
        return ops.reshape(window, (-1, count, self.size, self.size, channels))

    def get_config(self):
        names = ("strides", "canonical_size", "size", "data_format")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("keras_senet")
class RefineBoxes(keras.layers.Layer):
    """Regions moved by their deltas, clipped to the image.

    Args:
        image_size: height and width, pixels.
        **kwargs: `name` of `keras.layers.Layer`.

    Input: a list of regions and deltas, both `(N, R, 4)`. Output shape: the same.
    """

    def __init__(self, image_size, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.image_size = tuple(image_size)

    def call(self, inputs):
        return decoded(*inputs, self.image_size)

    def get_config(self):
        return {**super().get_config(), "image_size": self.image_size}
