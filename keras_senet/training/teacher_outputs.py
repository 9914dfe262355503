"""What a teacher says of all training images, asked once for all epochs and all students where images always look the same."""

import contextlib
import hashlib
import math
import os
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from keras import ops

from keras_senet.data import LabelledImages
from keras_senet.data.labelled_images import memory_size
from keras_senet.files import replacing
from keras_senet.training.distillation import Teacher
from keras_senet.training.recipe import Recipe

_BATCH_SIZE = 64
_NAMES = "names"


def ask_once(teacher: Teacher, recipe: Recipe, images: LabelledImages) -> Callable[[tf.Tensor], dict] | None:
    """Asks a teacher about all training images, or reads what it said when it taught another student.

    That is kept beside the teacher's file, as `best.taught-<digits>.npz`, if its folder can be written. The digits depend on
    the contents of the teacher's file and of all images, so the teacher is asked again when either changes.

    Args:
        teacher: the teacher.
        recipe: names the teacher's file, and says how images are augmented.
        images: the training images.

    Returns:
        Function from the names of images `(N,)` to what `teacher` says of them; None if the same image looks different each time,
        if two images have one name, or if the numbers would take more than an eighth of the memory.
    """
    numbers = sum(math.prod(output.shape[1:]) for output in teacher.network.outputs)
    if not recipe.augmentation.changes_nothing() or 4 * numbers * images.size > memory_size() / 8:
        return None
    kept = _kept_file(teacher, recipe, images)
    if kept is not None and kept.is_file():
        with np.load(kept) as file:
            said = dict(file)
    else:
        said = _ask(teacher, recipe, images)
        if kept is not None:
            with contextlib.suppress(OSError), replacing(kept) as partial:  # a read-only folder keeps nothing
                np.savez(partial, allow_pickle=False, **said)
    names = said.pop(_NAMES)
    if len(set(names)) < len(names):
        return None
    with tf.device("CPU"):
        rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(names), tf.range(len(names), dtype=tf.int64)), len(names)
        )
        # The last row is for the black images that stand in for damaged ones.
        tables = {name: tf.constant(np.concatenate([values, np.zeros_like(values[:1])])) for name, values in said.items()}
    return lambda names: {name: tf.gather(table, rows[names]) for name, table in tables.items()}


def _ask(teacher: Teacher, recipe: Recipe, images: LabelledImages) -> dict[str, np.ndarray]:
    """What the teacher says of each image that can be decoded, and the images' names."""
    decoder = recipe.augmentation.decoder(recipe.image_size)

    def look(name, source, label):
        return name, decoder(images.read(source), tf.zeros(2, tf.int64))

    batches = images.examples(None).map(look, tf.data.AUTOTUNE).ignore_errors().batch(_BATCH_SIZE).prefetch(1)
    names: list[bytes] = []
    said = []
    for batch_names, pixels in batches:
        names += batch_names.numpy().tolist()
        said.append(teacher(ops.convert_to_tensor(pixels.numpy())))
    tables = {name: np.concatenate([ops.convert_to_numpy(part[name]) for part in said]) for name in said[0]}
    return tables | {_NAMES: np.array(names)}


def _kept_file(teacher: Teacher, recipe: Recipe, images: LabelledImages) -> pathlib.Path | None:
    """The file for what the teacher says of these images; None for a teacher that is a published checkpoint."""
    path = pathlib.Path(os.fspath(recipe.teacher))
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(repr((recipe.image_size, {name: x.shape for name, x in teacher.network.output.items()})).encode())
    files = images.examples(None).map(lambda name, source, label: (name, images.read(source))).ignore_errors()
    for name, encoded in files:
        digest.update(name.numpy() + b"\0" + hashlib.sha256(encoded.numpy()).digest())
    return path.with_name(f"{path.stem}.taught-{digest.hexdigest()[:16]}.npz")
