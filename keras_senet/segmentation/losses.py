"""The loss for segmentation that Keras lacks: cross-entropy and Dice together, with pixels that do not count.

Keras has the others. From the logits of our networks and masks of whole numbers:

- `keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)` is the cross-entropy alone. Each replica of a
  distribution strategy divides it by its own number of pixels that count.
- `keras.metrics.MeanIoU(classes, ignore_class=255, sparse_y_pred=False)` is the mean intersection over union, of all images
  together, of the classes that there are.
- `keras.losses.Dice` takes probabilities and one-hot masks without such pixels.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_senet")
class DiceCrossentropy(keras.losses.Loss):
    """The sum of the cross-entropy and the Dice loss, for segmentation.

    The cross-entropy is the mean over an image's pixels, most of which may belong to one class. The Dice loss is the mean over
    the classes that an image shows, so that a small object counts as much as the background. It is near the measure, which is an
    overlap, too. Both are those of Keras, for each image; so replicas of a distribution strategy compute what one device does.

    To load a network that was compiled with it, import `keras_senet.segmentation` first, not only `keras_senet`.

    Args:
        ignore_class: label of pixels that do not count, such as 255 in the masks of PASCAL VOC; None if all count.
        reduction: how the losses of the images become one number, as in `keras.losses.Loss`.
        name: name of the loss.
        dtype: type in which it is computed; by default `keras.config.floatx()`.

    Call arguments:
        y_true: labels, integers of shape `(N, H, W)` or `(N, H, W, 1)`.
        y_pred: logits, float `(N, H, W, classes)`.

    Source: Milletari et al., "V-Net", arXiv 1606.04797, section 3, for Dice; Isensee et al., "nnU-Net", arXiv 1809.10486, section
    2.4, for the sum.

    Example:

    >>> masks, logits = np.array([[[0, 1, 255]]]), np.array([[[[5.0, -5.0], [-5.0, 5.0], [9.0, 0.0]]]])
    >>> right, wrong = (keras_senet.segmentation.DiceCrossentropy(ignore_class=255)(masks, z) for z in (logits, -logits))
    >>> round(float(right), 3), round(float(wrong), 3)
    (0.0, 11.0)
    """

    def __init__(
        self,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice_crossentropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.ignore_class = ignore_class

    def call(self, y_true, y_pred):
        labels = ops.squeeze(y_true, -1) if len(y_true.shape) == len(y_pred.shape) else y_true
        counts = ops.ones_like(labels) if self.ignore_class is None else ops.cast(labels != self.ignore_class, labels.dtype)
        labels = ops.cast(ops.where(counts > 0, labels, 0), "int32")
        counts = ops.cast(counts, y_pred.dtype)
        pixels = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        crossentropy = _mean(pixels, counts, axis=(1, 2))
        counts = ops.expand_dims(counts, -1)
        truth = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype) * counts
        classes = keras.losses.dice(truth, ops.softmax(y_pred) * counts, axis=(1, 2))
        return crossentropy + _mean(classes, ops.max(truth, axis=(1, 2)), axis=1)

    def get_config(self):
        return super().get_config() | {"ignore_class": self.ignore_class}


def _mean(values, counts, axis):
    """The mean of the values that count, which is 0 if there is none."""
    return ops.sum(values * counts, axis) / ops.maximum(ops.sum(counts, axis), 1)
