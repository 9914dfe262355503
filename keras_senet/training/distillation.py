"""Distillation: another network, the teacher, says what it makes of each training image, and the trained one learns that, too."""

import dataclasses
from collections.abc import Sequence

import keras
from keras import ops

from keras_senet.errors import InputError, named
from keras_senet.inference.classifier import open_classifier
from keras_senet.inference.labels import first_difference, same_names
from keras_senet.inference.outputs import LOGITS, PROBABILITIES, outputs_of
from keras_senet.rewrite.pyramid import levels_of
from keras_senet.training.recipe import Recipe

_CLASSES = "classes"  # the output for the labels; the others are feature maps


def open_teacher(recipe: Recipe, class_names: Sequence[str]) -> keras.Model:
    """The teacher of a recipe, for images of the recipe's size.

    Args:
        recipe: names it, and has an image size.
        class_names: classes of the training images.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no Keras model, knows other classes, cannot take images of this size, or does not say that it puts
            out logits or the probabilities of one class among all.
    """
    opened = open_classifier(recipe.teacher, recipe.image_size)
    if opened.model is None:
        raise InputError(f"A teacher is a .keras file or a published checkpoint. Received: teacher={recipe.teacher!r}")
    if opened.classes != len(class_names):
        raise InputError(
            f"The teacher {recipe.teacher} knows {opened.classes} classes, but {recipe.dataset} has {len(class_names)}. "
            "Fine-tune it on these images first."
        )
    if opened.labels_file is not None and not same_names(opened.class_names, class_names):
        index = first_difference(opened.class_names, class_names)
        raise InputError(
            f"The teacher {recipe.teacher} calls class {index} {opened.class_names[index]!r}, but {recipe.dataset} calls it "
            f"{class_names[index]!r}. Both must have the same classes in the same order: {named(class_names)}."
        )
    if outputs_of(opened.model) not in (PROBABILITIES, LOGITS):
        raise InputError(
            f"The teacher {recipe.teacher} must end in a softmax or in logits, but its last layer is "
            f"{opened.model.layers[-1].name!r}."
        )
    return opened.model


def distilled(student: keras.Model, teacher: keras.Model, recipe: Recipe) -> "Distilled":
    """The student, as a model whose loss in training is also how far it is from the teacher; its weights stay the same.

    Args:
        student: a functional model from images to probabilities.
        teacher: a functional model from the same images to logits or to the probabilities of the same classes.
        recipe: has the temperature, and the weights of the losses.

    Raises:
        ValueError: if feature maps are to be compared, and no two have the same stride.
    """
    (logits,) = teacher.outputs
    if outputs_of(teacher) is PROBABILITIES:
        logits = _log(logits)
    seen, shown = {_CLASSES: student.outputs[0]}, {_CLASSES: logits}
    if recipe.distill_maps_weight:
        ours, theirs = levels_of(student), levels_of(teacher)
        levels = [level for level in ours if level in theirs]
        if not levels:
            raise InputError(
                f"The feature maps of {student.name} and of the teacher {recipe.teacher} have no stride in common: set "
                "distill_maps_weight=0."
            )
        seen |= {f"P{level}": ours[level] for level in levels}
        # A map of one channel that is as active as all of the teacher's.
        shown |= {f"P{level}": ops.sqrt(_activity(theirs[level]))[..., None] for level in levels}
    model = Distilled(student.inputs, seen, name=student.name)
    model.teacher = Teacher(keras.Model(teacher.inputs, shown))
    model.distance = _Distance(recipe)
    return model


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A network that a model learns from. Keras would take it for a part of that model if it were a layer.

    Attributes:
        network: from images to logits of the "classes" `(N, classes)`, and to a map `(N, H, W, 1)` by the name of each of the
            student's feature maps.
    """

    network: keras.Model

    def __call__(self, images) -> dict:
        """What it says of images, as numbers that are no function of any weight."""
        return keras.tree.map_structure(ops.stop_gradient, self.network(images, training=False))


class Distilled(keras.Model):
    """A functional model from images to probabilities and feature maps, of which only the probabilities are for the labels.

    Its labels are a tensor, or while it trains a dictionary of "labels" and of what the teacher says of the images, "taught".

    Attributes:
        teacher: says what the outputs should be.
        distance: the loss between that and the model's outputs.
    """

    # The loss is no layer's `add_loss`: the replicas of one process would share what their layers add.
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, _labels(y), y_pred[_CLASSES], sample_weight, training)
        if not training:
            return loss
        return loss + self.distance(y["taught"] if isinstance(y, dict) else self.teacher(x), y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, _labels(y), y_pred[_CLASSES], sample_weight)


def _labels(y):
    return y["labels"] if isinstance(y, dict) else y


class _Distance(keras.losses.Loss):
    """How far the outputs and maps of a network are from those of its teacher.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2, with the square of the
        temperature as a factor, so that its choice does not change the size of the gradients.
    """

    def __init__(self, recipe: Recipe):
        super().__init__("distillation", reduction="mean_with_sample_weight")
        # By the name of the loss, which is the default, Keras 3.15 compares logits as if they were probabilities.
        self.of_outputs = keras.distillation.LogitsDistillation(recipe.temperature, keras.losses.KLDivergence(reduction=None))
        self.of_maps = keras.distillation.FeatureDistillation(attention_distance)
        self.weights = recipe.distill_weight, recipe.distill_maps_weight

    def call(self, taught, seen):
        distance = self.weights[0] * self.of_outputs.compute_loss(taught[_CLASSES], _log(seen[_CLASSES]))
        for name, maps in seen.items():
            if name != _CLASSES:
                distance += self.weights[1] * self.of_maps.compute_loss(taught[name], maps)
        return distance[None]  # Keras would not divide a scalar by the number of replicas


def attention_distance(one, other):
    """How far apart the places are where two feature maps are active, for each image: from 0 to 2.

    The activity of a place is the mean square over its channels, of which the maps may have different numbers.

    Args:
        one: feature maps `(N, H, W, C)`.
        other: feature maps `(N, H, W, D)`.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", arXiv 1612.03928, section 3.1 and equation 2, squared.
    """
    first, second = (ops.normalize(ops.reshape(_activity(x), (ops.shape(x)[0], -1))) for x in (one, other))
    return ops.sum(ops.square(first - second), -1)


def _activity(x):
    """The mean square over the channels, `(N, H, W)`: a map of one channel with its root is as active."""
    return ops.mean(ops.square(ops.cast(x, "float32")), -1)


def _log(probabilities):
    """Logits of a softmax, which are the logarithms of its probabilities but for a constant."""
    return ops.log(ops.maximum(ops.cast(probabilities, "float32"), keras.config.epsilon()))
