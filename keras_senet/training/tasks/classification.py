"""Classification: one label an image, or several."""

from keras_senet.data import LabelledImages
from keras_senet.errors import InputError
from keras_senet.training.evaluation import metrics
from keras_senet.training.losses import loss
from keras_senet.training.network import build, start_classifier_anew
from keras_senet.training.recipe import Recipe
from keras_senet.training.tasks.task import Task


class Classification(Task):
    """A run that trains a classifier."""

    argument_of_metrics = "weighted_metrics"  # images that fill up a batch weigh nothing

    def __init__(self, recipe: Recipe, images: LabelledImages):
        super().__init__(recipe, images)
        if images.multi_label and recipe.loss == "categorical":
            raise InputError(
                f"The images of {recipe.dataset} can have several labels, and loss='categorical' is for one: take "
                "loss='asymmetric' or 'binary' (--loss)."
            )
        if recipe.class_weights and images.multi_label:
            raise InputError("`class_weights` is for one label an image. Set it to False.")
        if recipe.class_weights and images.counts is None:
            raise InputError(
                f"`class_weights` needs folders or a CSV file of labels, which tell the counts: not {recipe.dataset}."
            )

    def network(self):
        network = build(self.recipe, len(self.images.class_names), self.images.multi_label)
        start_classifier_anew(network, self.recipe, self.images.class_names)
        return network

    def losses(self):
        return loss(self.recipe, self.images.counts)

    def metrics(self):
        return metrics(len(self.images.class_names), self.images.multi_label)
