"""The losses of detectors: one number for each image, so that several replicas train as one does."""

import keras
from keras import ops

from keras_senet.detection.anchors import BACKGROUND, IGNORED


@keras.saving.register_keras_serializable("keras_senet")
class FocalLoss(keras.losses.Loss):
    """The focal loss of the classes of all anchors: it cares little for the many that are background and easily seen to be.

    The loss of an image is the sum over its anchors and classes, divided by the number of anchors that belong to an object.

    Args:
        alpha: weight of the class that an anchor has, in [0, 1]; the others weigh `1 - alpha`.
        gamma: focusing, at least 0; 0 for none.
        **kwargs: arguments of `keras.losses.Loss`.

    Targets: integers `(N, A, 1)`, the class of each anchor, -1 for background and -2 for an anchor that does not count.

    Predictions: float logits `(N, A, classes)`.

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, equation 5 and section 4.

    Example:

    >>> loss = keras_senet.detection.FocalLoss()
    >>> surely_wrong, hardly_wrong = (loss(np.array([[[0]]]), np.array([[[logit]]])) for logit in (-3.0, 1.0))
    >>> float(surely_wrong) > 100 * float(hardly_wrong)
    True
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.gamma = gamma

    def call(self, targets, logits):
        labels = ops.cast(targets[..., 0], "int32")
        truth = ops.one_hot(ops.maximum(labels, BACKGROUND), logits.shape[-1], dtype=logits.dtype)
        # Keras' own focal loss takes the logarithm of a clipped probability, so surely wrong logits would have no gradients.
        entropy = ops.binary_crossentropy(truth, logits, from_logits=True)
        wrong = ops.sigmoid(logits * (1 - 2 * truth))
        weight = (1 - self.alpha) + (2 * self.alpha - 1) * truth
        loss = ops.sum(weight * wrong**self.gamma * entropy, axis=-1)
        return _by_count(loss * ops.cast(labels != IGNORED, loss.dtype), labels > BACKGROUND)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}


@keras.saving.register_keras_serializable("keras_senet")
class BoxLoss(keras.losses.Loss):
    """The Huber loss of the four deltas of the anchors that belong to an object: their sum, divided by the number of anchors.

    Args:
        **kwargs: arguments of `keras.losses.Loss`.

    Targets: float `(N, A, 5)`, the deltas, and 1 for an anchor that belongs to an object, else 0.

    Predictions: float `(N, A, 4)`, deltas.

    Source: Girshick, "Fast R-CNN", arXiv 1504.08083, equation 3.

    Example:

    >>> targets = np.array([[[0.0, 0.0, 0.0, 0.0, 1.0], [9.0, 9.0, 9.0, 9.0, 0.0]]])  # the second anchor belongs to no object
    >>> float(keras_senet.detection.BoxLoss()(targets, np.full((1, 2, 4), 0.5)))  # 4 * 0.5**2 / 2
    0.5
    """

    def call(self, targets, deltas):
        found = targets[..., 4]
        return _by_count(4 * keras.losses.huber(targets[..., :4], deltas) * found, found > 0)


def _by_count(losses, counted):
    """The sum of the losses of each image `(N, A)`, divided by how many are counted, or by 1 if none is."""
    return ops.sum(losses, axis=-1) / ops.maximum(1.0, ops.sum(ops.cast(counted, losses.dtype), axis=-1))


@keras.saving.register_keras_serializable("keras_senet")
class ProposalLoss(keras.losses.Loss):
    """The loss of a first stage: whether each anchor shows an object of any class.

    It is the mean of the cross-entropy of 256 anchors drawn at random, of which at most half show an object.

    Args:
        **kwargs: arguments of `keras.losses.Loss`.

    Targets: integers `(N, A, 1)`, -1 for background, -2 for an anchor that does not count, else an object.

    Predictions: float logits `(N, A, 1)`.

    Source: Ren et al., "Faster R-CNN", arXiv 1506.01497, section 3.1.3.

    Example:

    >>> targets = np.array([[[-1], [-1], [-2], [3]]])
    >>> undecided = keras_senet.detection.ProposalLoss()(targets, np.zeros((1, 4, 1)))
    >>> round(float(undecided), 4), round(float(np.log(2)), 4)
    (0.6931, 0.6931)
    """

    def call(self, targets, logits):
        labels = targets[..., 0]
        truth = ops.cast(labels > BACKGROUND, logits.dtype)
        entropy = ops.binary_crossentropy(truth, logits[..., 0], from_logits=True)
        return ops.sum(_drawn(labels, 256, 0.5) * entropy, axis=-1)


@keras.saving.register_keras_serializable("keras_senet")
class RegionClassLoss(keras.losses.Loss):
    """The loss of the classes in a second stage: what each region shows.

    It is the mean of the cross-entropy of 512 regions drawn at random, of which at most a quarter show an object.

    Args:
        **kwargs: arguments of `keras.losses.Loss`.

    Targets: none, of any shape.

    Predictions: float `(N, R, classes + 2)`, logits of the classes and of the background, and the label of the region.

    Source: Girshick, "Fast R-CNN", arXiv 1504.08083, section 2.3; Lin et al., arXiv 1612.03144, section 5.2, for 512.

    Example:

    >>> logits, labels = np.zeros((1, 2, 4)), np.array([[[2], [-1]]])  # of three classes and the background
    >>> undecided = keras_senet.detection.RegionClassLoss()(np.zeros(1), np.concatenate([logits, labels], axis=-1))
    >>> round(float(undecided), 4), round(float(np.log(4)), 4)
    (1.3863, 1.3863)
    """

    def call(self, targets, outputs):
        labels, logits = outputs[..., -1], outputs[..., :-1]
        background = logits.shape[-1] - 1
        kinds = ops.cast(ops.where(labels > BACKGROUND, labels, background), "int32")
        entropy = ops.sparse_categorical_crossentropy(kinds, logits, from_logits=True)
        return ops.sum(_drawn(labels, 512, 0.25) * entropy, axis=-1)


@keras.saving.register_keras_serializable("keras_senet")
class RegionBoxLoss(keras.losses.Loss):
    """The loss of the boxes in a second stage: the Huber loss of those of the drawn regions that show an object.

    Args:
        **kwargs: arguments of `keras.losses.Loss`.

    Targets: none, of any shape.

    Predictions: float `(N, R, 9)`, deltas, what they should be, and the label of the region.

    Source: Girshick, "Fast R-CNN", arXiv 1504.08083, equation 3.

    Example:

    >>> deltas, true_deltas, labels = np.full((1, 1, 4), 0.5), np.zeros((1, 1, 4)), np.array([[[2]]])
    >>> outputs = np.concatenate([deltas, true_deltas, labels], axis=-1)
    >>> float(keras_senet.detection.RegionBoxLoss()(np.zeros(1), outputs))  # 4 * 0.5**2 / 2
    0.5
    """

    def call(self, targets, outputs):
        labels = outputs[..., 8]
        errors = 4 * keras.losses.huber(outputs[..., 4:8], outputs[..., :4]) * ops.cast(labels > BACKGROUND, outputs.dtype)
        return ops.sum(_drawn(labels, 512, 0.25) * errors, axis=-1)


def _drawn(labels, count: int, share: float):
    """Weights of anchors or regions: with them a sum is the expectation of the mean of `count` of them drawn at random.

    At most this share shows objects, and fewer are drawn where there are fewer.
    """
    objects, background = (ops.cast(found, "float32") for found in (labels > BACKGROUND, ops.equal(labels, BACKGROUND)))
    of_objects, of_background = (ops.sum(found, axis=-1, keepdims=True) for found in (objects, background))
    drawn_objects = ops.minimum(of_objects, share * count)
    drawn_background = ops.minimum(of_background, count - drawn_objects)
    weights = objects * drawn_objects / ops.maximum(of_objects, 1) + background * drawn_background / ops.maximum(of_background, 1)
    return weights / ops.maximum(drawn_objects + drawn_background, 1)
