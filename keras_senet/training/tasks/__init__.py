"""What a run has of its own by its task: which network it trains on which targets, with which losses and measures."""

from keras_senet.data import LabelledImages
from keras_senet.training.recipe import Recipe
from keras_senet.training.tasks.classification import Classification
from keras_senet.training.tasks.detection import Detection
from keras_senet.training.tasks.segmentation import Segmentation
from keras_senet.training.tasks.task import Task

TASKS: dict[str, type[Task]] = {"classify": Classification, "detect": Detection, "segment": Segmentation}


def task_of(recipe: Recipe, images: LabelledImages) -> Task:
    """The task of a run.

    Args:
        recipe: names it.
        images: the training images.

    Raises:
        ValueError: if the recipe does not suit the images.
    """
    return TASKS[recipe.task](recipe, images)
