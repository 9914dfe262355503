"""Distillation: another network, the teacher, says what it makes of each training image, and the trained one learns that, too."""

import functools
from collections.abc import Sequence

import keras
from keras import ops

from keras_senet.errors import InputError, named
from keras_senet.inference.classifier import open_classifier
from keras_senet.inference.labels import first_difference, same_names
from keras_senet.inference.outputs import LOGITS, PROBABILITIES, outputs_of
from keras_senet.rewrite.pyramid import levels_of
from keras_senet.training.recipe import Recipe


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


def distilled(student: keras.Model, teacher: keras.Model, recipe: Recipe) -> keras.Model:
    """The student with the losses of distillation beside that of `compile`; its weights and its outputs stay the same.

    Args:
        student: a functional model from images to probabilities.
        teacher: a functional model from the same images to logits or to the probabilities of the same classes.
        recipe: has the temperature, and the weights of the losses.

    Raises:
        ValueError: if feature maps are to be compared, and no two have the same stride.
    """
    seen, shown = [student.outputs[0]], [teacher.outputs[0]]
    if recipe.distill_maps_weight:
        ours, theirs = levels_of(student), levels_of(teacher)
        levels = [level for level in ours if level in theirs]
        if not levels:
            raise InputError(
                f"The feature maps of {student.name} and of the teacher {recipe.teacher} have no stride in common: set "
                "distill_maps_weight=0."
            )
        seen += [ours[level] for level in levels]
        shown += [theirs[level] for level in levels]
    layer = _Distillation(keras.Model(teacher.inputs, shown), outputs_of(teacher) is LOGITS, recipe, name="distillation")
    return keras.Model(student.inputs, layer([student.inputs[0], *seen]), name=student.name)


class _Distillation(keras.layers.Layer):
    """Passes on the student's probabilities, and in training adds how far it is from the teacher.

    Args:
        teacher: from images to its outputs, and to its feature maps that the student's are compared with.
        teaches_logits: whether the outputs are logits; else they are probabilities.
        recipe: has the temperature, and the weights of the losses.
        **kwargs: `name` of `keras.layers.Layer`.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2, with the square of the
        temperature as a factor, so that its choice does not change the size of the gradients.
    """

    def __init__(self, teacher: keras.Model, teaches_logits: bool, recipe: Recipe, **kwargs):
        super().__init__(**kwargs)
        # Keras would take a model that is an attribute for a part of the student, and its weights for weights of the student.
        self._teach = functools.partial(teacher, training=False)
        self._teaches_logits = teaches_logits
        self._recipe = recipe
        # By the name of the loss, which is the default, Keras 3.15 compares logits as if they were probabilities. Without its own
        # reduction the loss is not divided by the number of replicas twice: here, and where Keras adds it to that of the labels.
        divergence = keras.losses.KLDivergence(reduction=None)
        self._of_outputs = keras.distillation.LogitsDistillation(recipe.temperature, divergence)
        self._of_maps = keras.distillation.FeatureDistillation(attention_distance)

    def call(self, inputs, training=None):
        images, probabilities, *maps = inputs
        if training:
            outputs, *shown = map(ops.stop_gradient, keras.tree.flatten(self._teach(images)))
            logits = outputs if self._teaches_logits else _log(outputs)
            self.add_loss(self._recipe.distill_weight * self._of_outputs.compute_loss(logits, _log(probabilities)))
            for theirs, ours in zip(shown, maps, strict=True):
                self.add_loss(self._recipe.distill_maps_weight * self._of_maps.compute_loss(theirs, ours))
        return probabilities

    def get_config(self):
        """What TensorBoard shows; a layer cannot be made of it, and the network that is saved has none."""
        fields = ("teacher", "temperature", "distill_weight", "distill_maps_weight")
        return super().get_config() | {name: getattr(self._recipe, name) for name in fields}


def attention_distance(one, other):
    """How far apart the places are where two feature maps are active, for each image: from 0 to 2.

    The activity of a place is the mean square over its channels, of which the maps may have different numbers.

    Args:
        one: feature maps `(N, H, W, C)`.
        other: feature maps `(N, H, W, D)`.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", arXiv 1612.03928, section 3.1 and equation 2, squared.
    """
    first, second = (
        ops.normalize(ops.reshape(ops.mean(ops.square(ops.cast(x, "float32")), -1), (ops.shape(x)[0], -1))) for x in (one, other)
    )
    return ops.sum(ops.square(first - second), -1)


def _log(probabilities):
    """Logits of a softmax, which are the logarithms of its probabilities but for a constant."""
    return ops.log(ops.maximum(ops.cast(probabilities, "float32"), keras.config.epsilon()))
