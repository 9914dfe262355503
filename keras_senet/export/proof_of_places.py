"""The proof of files that say where things are: detections, and the classes of pixels."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from keras_senet.detection import average_precision, each_image
from keras_senet.export.proof import Proof
from keras_senet.inference.labels import DEFAULT_THRESHOLD
from keras_senet.segmentation import mean_iou

_SAME_BOX = 0.75  # intersection over union of the boxes of an object that is found again, COCO's stricter one


def compare_detections(
    model: Callable[[np.ndarray], dict], export: Callable[[np.ndarray], dict], batches: Iterable[tuple[np.ndarray, dict | None]]
) -> Proof:
    """Runs a detector and its exported file on the same images.

    Args:
        model: function of the network, from float32 RGB pixels `(N, H, W, 3)` in [0, 255] to detections, as those of `Detector`.
        export: the same function of the file.
        batches: pairs of such pixels and of true objects, "boxes", "labels" and "crowd", or None.

    Returns:
        A `Proof`. Average precision is the mean over overlaps from 0.5 to 0.95.
    """
    differences: list[float] = []
    again: list[np.ndarray] = []
    objects: list[dict] = []
    before: list[dict] = []
    after: list[dict] = []
    for pixels, truth in batches:
        pairs = list(zip(each_image(model(pixels)), each_image(export(pixels)), strict=True))
        differences += [float(np.abs(one["scores"] - other["scores"]).max()) for one, other in pairs]
        again += [_found_again(one, other) for one, other in pairs]
        if truth is not None:
            objects += each_image(truth)
            before += [one for one, _ in pairs]
            after += [other for _, other in pairs]
    kept = np.concatenate(again)
    return Proof(
        images=len(differences),
        largest=max(differences),
        mean=float(np.mean(differences)),
        agreement=float(kept.mean()) if len(kept) else 1.0,
        accuracy=average_precision(objects, after).ap if objects else None,
        model_accuracy=average_precision(objects, before).ap if objects else None,
        outputs="score",
        classes="objects",
    )


def _found_again(one: dict, other: dict) -> np.ndarray:
    """For each object of which the network is sure, whether the file has a box of its class at its place."""
    sure = one["scores"] >= DEFAULT_THRESHOLD
    boxes = [np.asarray(each["boxes"], "float32") for each in (one, other)]
    overlap = keras.ops.convert_to_numpy(keras.utils.bounding_boxes.compute_iou(boxes[0][sure], boxes[1], "xyxy"))
    return ((overlap >= _SAME_BOX) & (one["classes"][sure, np.newaxis] == other["classes"])).any(axis=1)


def compare_masks(
    model: Callable[[np.ndarray], np.ndarray],
    export: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]],
    classes: int,
) -> Proof:
    """Runs a segmentation network and its exported file on the same images.

    Args:
        model: function of the network, from float32 RGB pixels `(N, H, W, 3)` in [0, 255] to logits `(N, H, W, classes)`.
        export: the same function of the file.
        batches: pairs of such pixels and of true masks `(N, H, W)`, 255 for no class, or None.
        classes: number of classes.

    Returns:
        A `Proof`.
    """
    differences, agree, scale = [], [], 1.0
    truth: list[np.ndarray] = []
    masks: tuple[list, list] = [], []
    for pixels, true in batches:
        before, after = model(pixels), export(pixels)
        differences.append(np.abs(after - before).max(axis=(1, 2, 3)))
        scale = max(scale, float(np.abs(before).max()))
        chosen = [logits.argmax(axis=-1).astype("uint8" if classes <= 256 else "int32") for logits in (before, after)]
        agree.append((chosen[0] == chosen[1]).mean(axis=(1, 2)))
        if true is not None:
            truth.append(true)
            for side, mask in zip(masks, chosen, strict=True):
                side.append(mask)
    largest = np.concatenate(differences) / scale  # of each image
    was, found = (mean_iou(zip(truth, side, strict=True), classes).mean if truth else None for side in masks)
    return Proof(
        images=len(largest),
        largest=float(largest.max()),
        mean=float(largest.mean()),
        agreement=float(np.concatenate(agree).mean()),
        accuracy=found,
        model_accuracy=was,
        outputs="relative logit",
        classes="pixels",
    )
