"""What a network is for: the class of an image, the boxes of its objects, or the class of each pixel."""

from collections.abc import Mapping, Sequence

import keras

from keras_senet.errors import InputError

CLASSIFY, DETECT, SEGMENT = TASKS = ("classify", "detect", "segment")
KINDS = {CLASSIFY: "an image classifier", DETECT: "a detector", SEGMENT: "a segmenter"}


def task_of(input_shape: Sequence | Mapping, output_shape: Sequence | Mapping) -> str:
    """Whether a network classifies images, detects objects, or classifies each pixel.

    Args:
        input_shape: shape of its input with the batch, or the shapes by the names of its inputs.
        output_shape: the same of its output.

    Returns:
        "detect" for several outputs, among them "boxes" or "roi_boxes"; "segment" for a row of numbers at each pixel of an image
        of known size; "classify" for anything else.

    Example:

    >>> from keras_senet.inference.tasks import task_of
    >>> task_of((None, 96, 96, 3), (None, 10)), task_of((None, 96, 96, 3), (None, 96, 96, 11))
    ('classify', 'segment')
    """
    if isinstance(output_shape, Mapping):
        return DETECT if {"boxes", "roi_boxes"} & {*output_shape} else CLASSIFY
    per_pixel = len(output_shape) == len(input_shape) == 4 and tuple(output_shape[1:3]) in _sides(input_shape)
    return SEGMENT if per_pixel and isinstance(output_shape[1], int) else CLASSIFY


def shapes_of(model: keras.Model) -> tuple:
    """The shape of a model's input and that of its output, or the shapes by the names of several."""
    if isinstance(model, keras.Sequential):  # which knows no tensors before it is called
        return model.input_shape, model.output_shape

    def shape(tensors):
        if isinstance(tensors, Mapping):
            return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(tensors)]
        return shapes[0] if len(shapes) == 1 else shapes

    return shape(model.input), shape(model.output)


def check_task(task: str, input_shape: Sequence | Mapping, output_shape: Sequence | Mapping, owner: object) -> None:
    """Raises a ValueError if `owner`, a network of these shapes, is for another task."""
    found = task_of(input_shape, output_shape)
    if found != task:
        raise InputError(f"{owner} is {KINDS[found]}, and this takes {KINDS[task]}.")


def _sides(input_shape) -> tuple[tuple, tuple]:
    """Height and width of images in both data formats."""
    return tuple(input_shape[1:3]), tuple(input_shape[2:4])
