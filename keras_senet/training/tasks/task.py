"""What `train` asks of every task."""

import abc
from collections.abc import Callable, Mapping, Sequence

import keras

from keras_senet.data import LabelledImages
from keras_senet.errors import InputError, named
from keras_senet.inference.labels import check_class_names
from keras_senet.training.callbacks.moving_averages import MovingAverages
from keras_senet.training.recipe import Recipe


class Task(abc.ABC):
    """The part of a run that depends on what is learned of an image.

    Args:
        recipe: what the run does.
        images: the training images.

    Raises:
        ValueError: if the recipe does not suit the images.
    """

    needs_two_classes = True
    exact_layers: Sequence[str] = ()  # names of layers that compute in float32 whatever the dtype policy is
    argument_of_metrics = "metrics"  # of `compile`

    def __init__(self, recipe: Recipe, images: LabelledImages):
        self.recipe = recipe
        self.images = images
        check_class_names(images.class_names, recipe.dataset)
        if self.needs_two_classes and len(images.class_names) < 2:
            raise InputError(f"{recipe.dataset} must have at least two classes. Found: {named(images.class_names)}.")

    @abc.abstractmethod
    def network(self) -> keras.Model:
        """The network of the run, as it is saved, with the weights that it starts from."""

    @abc.abstractmethod
    def losses(self) -> keras.losses.Loss | Mapping[str, keras.losses.Loss]:
        """The loss, or one for each output of the network."""

    @abc.abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """What `fit` measures beside the loss."""

    def targets(self, network: keras.Model) -> Callable[..., tuple] | None:
        """The function from an image and its truth to the inputs and targets of the network; None for these as they are."""
        return None

    def of_images(self, network: keras.Model) -> keras.Model:
        """A network of the same layers that takes images alone, as one does whose gates are read."""
        return network

    def measuring(self, network: keras.Model, averages: MovingAverages, images: LabelledImages) -> list[keras.callbacks.Callback]:
        """What measures the network on the validation images after each epoch, where metrics of `fit` cannot."""
        return []
