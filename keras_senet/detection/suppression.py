"""Non-maximum suppression as one Keras layer: for a batch of images, on every backend, and in a TFLite file."""

import keras
from keras import ops

from keras_senet.errors import InputError


@keras.saving.register_keras_serializable("keras_senet")
class NonMaxSuppression(keras.layers.Layer):
    """From many boxes with a score of each class to detections, the surest first.

    A box is left out if a surer one of the same class that is not left out overlaps it too much. Of boxes with equal scores the
    first is the surer one. Boxes without area, as clipping leaves them behind, are no detections.

    Args:
        score_threshold: only scores above it are detections, in [0, 1].
        iou_threshold: intersection over union above which two boxes of a class are the same object, in [0, 1].
        candidates: number of the surest pairs of a box and a class that are considered.
        max_detections: most detections in an image.
        **kwargs: `name` of `keras.layers.Layer`.

    Input shape: a list of boxes `(N, B, 4)`, left, top, right and bottom in pixels, and scores `(N, B, classes)` in [0, 1].

    Output shape: a dictionary of float32: "boxes" `(N, max_detections, 4)`, "scores" `(N, max_detections)`, and "classes"
    `(N, max_detections)`, with rows of zeros and the class -1 at the end where an image has fewer detections.

    Raises:
        ValueError: if `candidates` or `max_detections` is not at least 1, or a threshold is not in [0, 1].

    Example:

    >>> boxes = np.array([[[0, 0, 8, 8], [0, 0, 8, 9], [20, 0, 28, 8]]], "float32")
    >>> scores = np.array([[[0.7, 0.0], [0.9, 0.0], [0.0, 0.6]]], "float32")
    >>> detections = keras_senet.detection.NonMaxSuppression(max_detections=3)([boxes, scores])
    >>> detections["scores"].numpy(), detections["classes"].numpy()
    (array([[0.9, 0.6, 0. ]], dtype=float32), array([[ 0.,  1., -1.]], dtype=float32))
    """

    def __init__(
        self,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        candidates: int = 1000,
        max_detections: int = 100,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32"} | kwargs)
        for name, number in {"candidates": candidates, "max_detections": max_detections}.items():
            if type(number) is not int or number < 1:
                raise InputError(f"`{name}` must be an integer of at least 1. Received: {name}={number}")
        for name, threshold in {"score_threshold": score_threshold, "iou_threshold": iou_threshold}.items():
            if not 0 <= threshold <= 1:
                raise InputError(f"`{name}` must be in [0, 1]. Received: {name}={threshold}")
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.candidates = candidates
        self.max_detections = max_detections

    def call(self, inputs):
        boxes, scores = inputs
        _, count, classes = scores.shape
        scores = ops.reshape(scores, (-1, count * classes))
        # Not by `argmax` or a sort, which TFLite has not.
        scores, chosen = ops.top_k(scores, min(self.candidates, count * classes))
        kinds = chosen % classes
        boxes = ops.take_along_axis(boxes, ops.expand_dims(chosen // classes, axis=-1), axis=1)
        has_area = ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)
        counts = ops.cast(ops.logical_and(scores > self.score_threshold, has_area), scores.dtype)
        scores = scores * counts * self._stays(boxes, kinds)

        most = min(self.max_detections, scores.shape[1])
        scores, chosen = ops.top_k(scores, most)
        detected = ops.cast(scores > 0, scores.dtype)
        boxes = ops.take_along_axis(boxes, ops.expand_dims(chosen, axis=-1), axis=1) * ops.expand_dims(detected, axis=-1)
        kinds = ops.cast(ops.take_along_axis(kinds, chosen, axis=1), scores.dtype)
        detections = {"boxes": boxes, "scores": scores, "classes": (kinds + 1) * detected - 1}
        if most < self.max_detections:
            missing = self.max_detections - most
            fill = {"boxes": 0, "scores": 0, "classes": -1}
            detections = {
                name: ops.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (len(x.shape) - 2), constant_values=fill[name])
                for name, x in detections.items()
            }
        return detections

    def _stays(self, boxes, kinds):
        """Which boxes are not left out, 1 or 0, `(N, M)`, of boxes `(N, M, 4)` and their classes in the order of their scores."""
        overlap = keras.utils.bounding_boxes.compute_iou(boxes, boxes, "xyxy")
        same = ops.equal(ops.expand_dims(kinds, axis=2), ops.expand_dims(kinds, axis=1))
        surer = ops.triu(ops.ones(overlap.shape[1:], "bool"), k=1)
        conflict = ops.cast(ops.logical_and(ops.logical_and(overlap > self.iou_threshold, same), surer), "float32")

        # A box stays if no surer one that stays conflicts with it. Each round settles one more link of every chain of conflicts,
        # so that it takes few rounds of products of matrices instead of one step for each box.
        def again(stays, before):
            return ops.cast(ops.matmul(ops.expand_dims(stays, axis=1), conflict)[:, 0] < 0.5, "float32"), stays

        def changed(stays, before):
            return ops.any(stays != before)

        everything = ops.ones_like(conflict[:, 0])
        return ops.while_loop(changed, again, (everything, ops.zeros_like(everything)))[0]

    def get_config(self):
        names = ("score_threshold", "iou_threshold", "candidates", "max_detections")
        return super().get_config() | {name: getattr(self, name) for name in names}
