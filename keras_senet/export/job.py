"""The steps that all exports share: checks before anything is computed, images, and the proof before the file takes its place."""

import contextlib
import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_senet.data import LabelledImages, evaluation_batches, match_classes, plain_errors
from keras_senet.errors import FileError, InputError, one_line
from keras_senet.export.proof import Limits, Proof, compare
from keras_senet.export.proof_of_places import compare_detections, compare_masks
from keras_senet.export.quantization import QUANTIZATIONS
from keras_senet.files import replacing
from keras_senet.inference.classifier import classifier_sizes
from keras_senet.inference.detector import detecting_network, few_at_a_time
from keras_senet.inference.labels import (
    LABELS_FILE,
    class_count,
    class_names_in,
    read_labels,
    same_names,
    thresholds_in,
    write_labels,
)
from keras_senet.inference.outputs import Outputs, outputs_like, outputs_of
from keras_senet.inference.preprocessing import Preprocessing
from keras_senet.inference.runtimes.keras_file import preprocessing_of, run_keras
from keras_senet.inference.tasks import CLASSIFY, DETECT, KINDS, SEGMENT, shapes_of, task_of
from keras_senet.layers.grouped_conv2d import one_operator
from keras_senet.rewrite.precision import in_float32

LEAST_CALIBRATION_IMAGES = 32
_CALIBRATION_IMAGES = 200
_NOISE_IMAGES = 4
_BATCH_SIZE = 32


def _noise(model: keras.Model) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (_NOISE_IMAGES, *model.input_shape[1:])).astype("float32")


@dataclasses.dataclass(frozen=True)
class ExportJob:
    """One network, in float32, on its way to one file."""

    model: keras.Model
    path: pathlib.Path
    task: str
    classes: int
    class_names: Sequence[str] | None
    preprocessing: Preprocessing
    outputs: Outputs | None

    @classmethod
    def of(
        cls,
        model: keras.Model,
        path: str | os.PathLike,
        class_names: Sequence[str] | None,
        suffix: str = "",
        tasks: Sequence[str] = (CLASSIFY,),
    ) -> "ExportJob":
        """The job, once its arguments are checked.

        Args:
            model: the network.
            path: where the file goes.
            class_names: names of the classes; by default those that the network keeps.
            suffix: of such a file; "" for the folder of a SavedModel.
            tasks: what networks can go to such a file.

        Raises:
            ValueError: if the model, the path or the class names cannot be used, or class names beside a file `path` differ.
        """
        shapes = shapes_of(model)
        task = task_of(*shapes)
        if task not in tasks:
            raise InputError(f"{model.name} is {KINDS[task]}, which goes to a `.tflite` file alone. Received: {path}")
        if task == CLASSIFY:
            classifier_sizes(shapes[0], shapes[1], model.name)
        classes = class_count(model)
        path = pathlib.Path(path)
        if suffix and path.suffix != suffix:
            raise InputError(f"The name of such a file ends in {suffix}. Received: {path}")
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"Export runs on the TensorFlow backend, and Keras uses {keras.backend.backend()}: set KERAS_BACKEND=tensorflow. "
                "A .keras file that was saved on another backend loads there."
            )
        if class_names and len(class_names) != classes:
            raise InputError(f"`class_names` has {len(class_names)} names, but {model.name} has {classes} classes.")
        class_names = class_names or class_names_in(model) or None
        beside = read_labels(path, classes) if suffix else []  # the folder of a SavedModel gets a labels.txt of its own
        if beside and class_names and not same_names(beside, class_names):
            labels = path.with_name(LABELS_FILE)
            raise InputError(f"{labels} holds the class names of another network: choose another folder for {path.name}.")
        # Few runtimes compute in half precision, and none as Keras does.
        model = in_float32(model)
        if task == DETECT:
            model, outputs = detecting_network(model), None
        else:
            outputs = outputs_of(model) or outputs_like(run_keras(model)(_noise(model)))
        if len(model.input_shape) != 4 or None in model.input_shape[1:3] or model.input_shape[3] != 3:
            raise InputError(f"{model.name} must take RGB images of one fixed size, (N, H, W, 3). It takes {model.input_shape}.")
        return cls(model, path, task, classes, class_names, preprocessing_of(model), outputs)

    def images(self, batch_size: int | None) -> tf.TensorSpec:
        """The signature of the network's input."""
        return tf.TensorSpec((batch_size, *self.model.input_shape[1:]), tf.float32, name="images")

    def noise(self) -> np.ndarray:
        """A few images of random pixels."""
        return _noise(self.model)

    @contextlib.contextmanager
    def replacing(self) -> Iterator[pathlib.Path]:
        """A temporary path; the file takes its place, with its labels.txt, if the block does not raise."""
        with replacing(self.path) as partial:
            try:
                yield partial
            except tf.errors.OpError as error:  # TensorFlow raises it when the disk is full
                raise FileError(error.message) from error
            if self.class_names and partial.is_dir():  # a server may open the folder as soon as it has its name
                write_labels(partial, self.class_names)
        if self.class_names and not self.path.is_dir():
            write_labels(self.path, self.class_names)

    def batches(self, images: LabelledImages | np.ndarray | None) -> Iterator[tuple[np.ndarray, Any]]:
        """Batches of pixels and of labels, objects or masks, which are None for images without labels."""
        if isinstance(images, LabelledImages):
            _, height, width, _ = self.model.input_shape
            if height != width:
                raise InputError(f"Labelled images are squares, and {self.model.name} takes images of {height} x {width} pixels.")
            images = match_classes(images, self.class_names, self.classes)
            with plain_errors():
                yield from evaluation_batches(images, self.preprocessing, _BATCH_SIZE).as_numpy_iterator()
            return
        images = self.noise() if images is None else np.asarray(images, "float32")
        shape = self.model.input_shape[1:]
        if images.shape[1:] != shape or not len(images):
            raise InputError(
                f"Images for {self.model.name} have the shape (N, {', '.join(map(str, shape))}). Received: {images.shape}"
            )
        if images.min() < 0 or images.max() > 255 or images.max() <= 1:
            raise InputError(
                "Images are RGB pixels in [0, 255], not normalized: the network does that itself. Received values in "
                f"[{images.min():g}, {images.max():g}]."
            )
        for start in range(0, len(images), _BATCH_SIZE):
            yield images[start : start + _BATCH_SIZE], None

    def export_by_keras(self, model: keras.Model, path: pathlib.Path, kind: str) -> None:
        """Writes `model` by `keras.Model.export`.

        Raises:
            ValueError: if it cannot be converted.
        """
        try:
            with one_operator(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # tf2onnx uses deprecated NumPy functions
                model.export(str(path), kind, verbose=False, input_signature=[self.images(batch_size=None)])
        except OSError:
            raise
        except Exception as error:  # each converter has its own error classes
            raise InputError(f"{model.name} cannot be converted to {kind}: {one_line(error)}") from error

    def few(self, images: LabelledImages | np.ndarray | None) -> np.ndarray:
        """The pixels of the first few images."""
        return next(self.batches(images))[0][:8]

    def calibration(self, images: LabelledImages | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of up to 200 images to measure on, and of a quarter as many others to compare on."""
        limit = _CALIBRATION_IMAGES * 5 // 4
        if isinstance(images, LabelledImages):
            drawn = images.examples(tf.constant(0, tf.int64)).take(limit)
            images = dataclasses.replace(images, examples=lambda *_: drawn, size=min(images.size, limit))
        else:
            images = np.random.default_rng(0).permutation(images)[:limit]
        pixels = np.concatenate([pixels for pixels, _ in self.batches(images)])
        if len(pixels) < LEAST_CALIBRATION_IMAGES:
            raise InputError(f"{len(pixels)} images are too few for a calibration: give at least {LEAST_CALIBRATION_IMAGES}.")
        measured, validation = np.split(pixels, [len(pixels) * 4 // 5])
        return measured, validation

    def prove(
        self,
        run: Callable[[np.ndarray], Any],
        images: LabelledImages | np.ndarray | None,
        limits: Limits = QUANTIZATIONS["float32"].limits,
        keep_failed: bool = False,
        culprit: Callable[[], str | None] | None = None,
    ) -> Proof:
        """Compares the exported file with the model.

        Args:
            run: function that runs the file.
            images: images to compare on; None for noise, on which classes need not agree.
            limits: accepted differences.
            keep_failed: whether to warn instead of raising.
            culprit: function that finds the layer at which the difference starts.

        Raises:
            ValueError: if the difference is beyond `limits`; the message says by how much, and at which layer it starts.
        """
        network, batches = run_keras(self.model), self.batches(images)
        if self.task == DETECT:
            proof = compare_detections(few_at_a_time(network), run, batches)
        elif self.task == SEGMENT:
            proof = compare_masks(network, run, batches, self.classes)
        else:
            proof = compare(network, run, batches, self.outputs, thresholds_in(self.model))
        misses = proof.misses(dataclasses.replace(limits, agreement=0.0) if images is None else limits)
        if misses:
            layer = culprit and culprit()
            message = f"The export of {self.model.name} does not compute what the model computes: {'; '.join(misses)}. " + (
                f"The difference starts at the layer {layer}. " if layer else ""
            )
            if not keep_failed:
                raise InputError(message + "Nothing was written.")
            warnings.warn(message + "It was kept, as asked.", stacklevel=3)
        return proof
