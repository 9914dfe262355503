"""The images of a run, as `fit` takes them."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_senet import data
from keras_senet.errors import InputError
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.training.devices import Devices
from keras_senet.training.recipe import Recipe


class Batches:
    """The share of one worker in the training and the validation images of a run.

    Args:
        recipe: says how to augment the images; its `image_size` is known.
        devices: the devices of the run.
        training_images: what to train on.
        validation_images: what to evaluate on after each epoch.
        preprocessing: what the network looks at.
        data_service: address of a tf.data service that reads and augments the training images; None to do it here.
        targets: function from an image and its truth to the inputs and targets of the network; None for these as they are.
        taught: function from the names of training images to what a teacher says of them, if that was asked before.

    Raises:
        ValueError: if there are fewer images than fill a batch, or it does not divide over the replicas.
    """

    def __init__(
        self,
        recipe: Recipe,
        devices: Devices,
        training_images: data.LabelledImages,
        validation_images: data.LabelledImages,
        preprocessing: Preprocessing,
        data_service: str | None = None,
        targets: Callable[..., tuple] | None = None,
        taught: Callable[[tf.Tensor], Any] | None = None,
    ):
        self.recipe = recipe
        self.devices = devices
        self.training_images = training_images
        self.validation_images = validation_images
        self.preprocessing = preprocessing
        self.data_service = data_service
        self.targets = targets
        self.taught = taught
        self.per_replica = devices.batch_size_per_replica(recipe.batch_size)
        self.shard = data.Shard(devices.workers, devices.worker)
        images = recipe.batch_size * recipe.gradient_accumulation  # of an update; those that fill none are left out
        self.steps_per_epoch = training_images.size // images * recipe.gradient_accumulation
        if not self.steps_per_epoch:
            steps = f" in each of {recipe.gradient_accumulation} steps" if recipe.gradient_accumulation > 1 else ""
            raise InputError(
                f"A batch of {recipe.batch_size}{steps} needs more images than the {training_images.size} there are: use a "
                "smaller one."
            )

    def training(self, epoch: int, step: int):
        """Training batches without end, from a step of an epoch on."""
        local_replicas = self.devices.replicas_per_worker
        return self.devices.distribute(
            lambda: data.training_batches(
                self.training_images,
                self.recipe.image_size,
                self.per_replica,
                self.recipe.augmentation,
                aug_repeats=self.recipe.aug_repeats,
                balanced=self.recipe.balanced,
                start=data.Place(self.recipe.seed, epoch, step * local_replicas),
                shard=self.shard,
                batches_per_epoch=self.steps_per_epoch * local_replicas,
                data_service=self.data_service,
                targets=self.targets,
                taught=self.taught,
            )
        )

    def validation(self):
        """All validation images, once."""
        return self.devices.distribute(self._validation)

    def _validation(self) -> tf.data.Dataset:
        count = None
        if self.devices.strategy is not None:
            steps = math.ceil(self.validation_images.size / self.recipe.batch_size)
            count = steps * self.devices.replicas_per_worker
        return data.evaluation_batches(
            self.validation_images,
            self.preprocessing,
            self.per_replica,
            shard=self.shard,
            padded_to=count,
            targets=self.targets,
        )

    def symbolic_targets(self):
        """What `fit` compares with the outputs, as symbolic tensors."""
        _, targets, *_ = self._validation().element_spec
        return tf.nest.map_structure(lambda spec: keras.KerasTensor((None, *spec.shape[1:]), spec.dtype.name), targets)

    def samples(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """A few training images as augmented, and as many validation images."""
        augmented = data.training_batches(
            self.training_images,
            self.recipe.image_size,
            min(count, self.training_images.size),
            self.recipe.augmentation,
            aug_repeats=self.recipe.aug_repeats,
            balanced=self.recipe.balanced,
            start=data.Place(self.recipe.seed),
        )
        validation = data.evaluation_batches(self.validation_images, self.preprocessing, count)
        return tuple(next(iter(batches))[0].numpy() for batches in (augmented, validation))
