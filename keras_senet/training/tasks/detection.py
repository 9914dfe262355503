"""Detection: the boxes and classes of objects, by a RetinaNet or a Faster R-CNN."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_senet import detection
from keras_senet.detection import Anchors
from keras_senet.inference.detector import detecting_network
from keras_senet.rewrite.pyramid import backbone
from keras_senet.training.callbacks.average_precision import ValidationPrecision
from keras_senet.training.network import build_without_classifier, head_options
from keras_senet.training.tasks.task import Task

_COUNTED = 1000  # images whose objects decide how large the anchors are
_COARSEST = 5  # level of a backbone's last map
_ANCHORS = ("levels", "scale", "octaves", "ratios")  # options of a head that are those of its anchors


class Detection(Task):
    """A run that trains a detector."""

    needs_two_classes = False  # the background is another
    exact_layers = (
        *("boxes", "classes"),
        *("rpn_boxes", "rpn_classes", "rpn_decode_boxes", "rpn_scores", "proposals"),
        *("match_regions", "roi_align", "roi_boxes", "roi_classes"),
    )

    def network(self):
        recipe, classes = self.recipe, len(self.images.class_names)
        in_two_stages = recipe.head == "faster_rcnn"
        head = detection.faster_rcnn if in_two_stages else detection.retinanet
        options = head_options(recipe, head, _ANCHORS)
        network = build_without_classifier(recipe)
        size = network.input_shape[1]
        # As in the papers, but for levels whose map would be a single position.
        levels = (2, 3, 4, 5, 6) if in_two_stages else (3, 4, 5, 6, 7)
        anchors: dict[str, Any] = {"levels": tuple(level for level in levels if 2 * 2**level <= size) or levels[:1]}
        if in_two_stages:
            anchors["octaves"] = (1.0,)
            options.setdefault("canonical_size", min(224.0, 7 / 12 * size))
        anchors |= {name: options.pop(name) for name in _ANCHORS if name in options}
        anchors.setdefault("scale", self._scale(size, 2 ** anchors["levels"][0]))
        levels = [level for level in anchors["levels"] if level <= _COARSEST]
        maps = backbone(network, levels, freeze_norm=recipe.freeze_norm)
        return head(maps, classes, Anchors((size, size), **anchors), **options)

    def _scale(self, size: int, stride: int) -> float:
        """The smallest anchors, in strides of the finest map: nine of ten objects are at least as large. At most the papers'."""
        sides = []
        for objects in self.images.examples(None).map(lambda name, source, objects: objects).take(_COUNTED).as_numpy_iterator():
            width, height = (objects[objects[:, 4] >= 0][:, end] - objects[objects[:, 4] >= 0][:, end - 2] for end in (2, 3))
            sides += [*(size * np.sqrt(width * height))]
        largest = 8.0 if self.recipe.head == "faster_rcnn" else 4.0
        return float(f"{np.clip(np.quantile(sides, 0.1) / stride, 1.0, largest):.2g}") if sides else largest

    def losses(self):
        if self.recipe.head != "faster_rcnn":
            return {"boxes": detection.BoxLoss(), "classes": detection.FocalLoss()}
        return {
            "rpn_boxes": detection.BoxLoss(),
            "rpn_classes": detection.ProposalLoss(),
            "roi_boxes": detection.RegionBoxLoss(),
            "roi_classes": detection.RegionClassLoss(),
        }

    def metrics(self) -> list[keras.metrics.Metric]:
        return []

    def targets(self, network: keras.Model) -> Callable[..., tuple]:
        return detection.encoder(network)

    def of_images(self, network: keras.Model) -> keras.Model:
        return detecting_network(network)

    def measuring(self, network, averages, images):
        return [ValidationPrecision(network, averages, images)]
