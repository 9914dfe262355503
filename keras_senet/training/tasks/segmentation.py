"""Segmentation: the class of each pixel, by a U-Net or a DeepLabV3+."""

from typing import Any

import keras

from keras_senet.rewrite.pyramid import backbone, levels_of
from keras_senet.segmentation import NO_CLASS, DiceCrossentropy, deeplab, unet
from keras_senet.training.network import build_without_classifier, head_options
from keras_senet.training.tasks.task import Task

_PYRAMID = ("levels", "output_stride")  # options of a head that are those of its backbone
_PAPER_SIZE = 513  # of the images for which DeepLabV3+ has its rates


class Segmentation(Task):
    """A run that trains a segmentation network."""

    def network(self):
        recipe, classes = self.recipe, len(self.images.class_names)
        head = deeplab if recipe.head == "deeplab" else unet
        options = head_options(recipe, head, _PYRAMID)
        network = build_without_classifier(recipe)
        size = network.input_shape[1]
        # A map of fewer than four positions shows little more, and networks for small images have few levels.
        *_, deepest = (level for level in sorted(levels_of(network)) if level <= 2 or 4 * 2**level <= size)
        if head is deeplab:
            pyramid: dict[str, Any] = {"levels": (2, deepest), "output_stride": 16 if deepest == 5 else None}
            if size < _PAPER_SIZE:
                reach = (96 * size / _PAPER_SIZE / min(16, 2**deepest) * times for times in (1, 2, 3))
                options = {"rates": tuple(max(1, round(rate)) for rate in reach)} | options
        else:
            pyramid = {"levels": tuple(range(1, deepest + 1))}
        pyramid |= {name: options.pop(name) for name in _PYRAMID if name in options}
        return head(backbone(network, **pyramid, freeze_norm=recipe.freeze_norm), classes, **options)

    def losses(self):
        return DiceCrossentropy(ignore_class=NO_CLASS)

    def metrics(self):
        classes = len(self.images.class_names)
        return [keras.metrics.MeanIoU(classes, ignore_class=NO_CLASS, sparse_y_pred=False, name="mean_iou")]
