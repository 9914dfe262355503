"""What is learned of an image: its class, the boxes of its objects, or the class of each pixel."""

from keras_senet.errors import InputError, did_you_mean
from keras_senet.inference.tasks import CLASSIFY, DETECT, SEGMENT

__all__ = ["CLASSIFY", "DETECT", "SEGMENT", "TASKS", "check_task"]

TASKS = (CLASSIFY, DETECT, SEGMENT)


def check_task(task: str) -> None:
    """Raises a ValueError for what is none of the tasks."""
    if task not in TASKS:
        raise InputError(f"`task` must be one of {TASKS}.{did_you_mean(str(task), TASKS)} Received: task={task!r}")
