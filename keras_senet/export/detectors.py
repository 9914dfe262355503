"""The graphs of detectors for TFLite files: one that returns boxes, and one in integers, whose outputs others make boxes of."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_senet.detection.detecting import Decoding, before_decoding
from keras_senet.detection.suppression import NonMaxSuppression
from keras_senet.errors import InputError
from keras_senet.export.quantization import QUANTIZATIONS
from keras_senet.inference.detector import VERTICAL_FIRST
from keras_senet.rewrite.clone import rewritten
from keras_senet.rewrite.for_cpu import optimized_for_cpu
from keras_senet.rewrite.for_integers import optimized_for_integers
from keras_senet.rewrite.graph import inputs_of


def detector_graph(network: keras.Model, quantize: str) -> tuple[keras.Model, Decoding | None]:
    """What is converted of a network by `keras_senet.detection.detector`.

    Returns:
        A functional model, and what makes boxes of its outputs, or None. In floats it returns "boxes" `(N, D, 4)`, left, top,
        right and bottom as shares of the sides of the image; "classes" and "scores" `(N, D)`; and "count" `(N,)`, the number of
        detections. Coordinates do not survive integers of 8 bits, so there it returns what the network says of its anchors:
        "boxes" `(N, A, 4)`, deltas with the vertical ones first, and "classes" `(N, A, classes)`, logits.

    Raises:
        ValueError: if the network has two stages and `quantize` is one of integers.
    """
    if not QUANTIZATIONS[quantize].calibrated:
        return _with_boxes(network), None
    try:
        raw = optimized_for_integers(optimized_for_cpu(before_decoding(network)))
    except InputError as error:
        floats = ", ".join(name for name, each in QUANTIZATIONS.items() if not each.calibrated)
        raise InputError(f"{error} Their coordinates do not survive integers: export it as one of {floats}.") from error
    boxes = ops.take(raw.output["boxes"], np.array(VERTICAL_FIRST), axis=-1)
    return keras.Model(raw.inputs, {"boxes": boxes, "classes": raw.output["classes"]}, name=network.name), Decoding.of(network)


def _with_boxes(network: keras.Model) -> keras.Model:
    def call(layer, *args, **kwargs):
        if isinstance(layer, NonMaxSuppression):
            return _ByOperator.from_config(layer.get_config())(inputs_of(*args, **kwargs))
        return layer(*args, **kwargs)

    found = rewritten(optimized_for_cpu(network), call=call)
    _, height, width, _ = network.input_shape
    count = ops.sum(ops.cast(found.output["classes"] >= 0, "float32"), axis=-1)
    boxes = found.output["boxes"] * np.array([1 / width, 1 / height] * 2, "float32")
    return keras.Model(found.inputs, {**found.output, "boxes": boxes, "count": count}, name=network.name)


class _ByOperator(NonMaxSuppression):
    """The same by an operator that TFLite has, too: MediaPipe opens no file with a loop."""

    def compute_output_spec(self, inputs):
        boxes, _ = inputs
        rows = {"boxes": (self.max_detections, 4), "scores": (self.max_detections,), "classes": (self.max_detections,)}
        return {name: keras.KerasTensor((boxes.shape[0], *shape), "float32") for name, shape in rows.items()}

    def call(self, inputs):
        images = [self._of_image(boxes, scores) for boxes, scores in zip(*map(tf.unstack, inputs), strict=True)]
        return {name: tf.stack([image[name] for image in images]) for name in images[0]}

    def _of_image(self, boxes, scores):
        count, classes = scores.shape
        scores, chosen = tf.math.top_k(tf.reshape(scores, [-1]), min(self.candidates, count * classes))
        kinds, boxes = chosen % classes, tf.gather(boxes, chosen // classes)
        has_area = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=-1)
        # The operator knows no classes: so those of each lie in a place of their own.
        apart = boxes + tf.expand_dims(tf.cast(kinds, tf.float32) * (tf.reduce_max(boxes) + 1.0), axis=-1)
        stays, found = tf.raw_ops.NonMaxSuppressionV4(
            boxes=apart,
            scores=scores * tf.cast(has_area, tf.float32),
            max_output_size=self.max_detections,
            iou_threshold=self.iou_threshold,
            score_threshold=self.score_threshold,
            pad_to_max_output_size=True,
        )
        detected = tf.cast(tf.range(self.max_detections) < found, tf.float32)
        return {
            "boxes": tf.gather(boxes, stays) * tf.expand_dims(detected, axis=-1),
            "scores": tf.gather(scores, stays) * detected,
            "classes": (tf.cast(tf.gather(kinds, stays), tf.float32) + 1) * detected - 1,
        }
