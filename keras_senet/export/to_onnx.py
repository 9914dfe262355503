"""ONNX files, by Keras' own exporter."""

import os
import warnings
from collections.abc import Sequence

import keras
import numpy as np

from keras_senet.data import LabelledImages
from keras_senet.errors import require
from keras_senet.export.job import ExportJob
from keras_senet.export.proof import Proof
from keras_senet.inference.runtimes import open_onnx
from keras_senet.keras_internals import all_layers
from keras_senet.rewrite.folding import fold_batch_norm


def onnx(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
) -> Proof | None:
    """Writes an ONNX file by Keras' own exporter, with batch normalization folded.

    Args:
        model: network with its preprocessing inside, for images of one fixed square size, with the top.
        path: `.onnx` file to write.
        class_names: names of the classes, written to labels.txt in the same folder.
        images: images to compare the two on, as for `tflite`.

    Returns:
        The result of the comparison, a `Proof`; None, with a warning, if onnxruntime, which runs the file, is not installed.

    Raises:
        ValueError: as for `saved_model`.
        FileNotFoundError: if the folder of `path` does not exist.
        ImportError: if tf2onnx, by which Keras exports, is not installed.

    Example:

    >>> images = keras.Input((32, 32, 3))
    >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    >>> model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    >>> keras_senet.export.onnx(model, "model.onnx").agreement
    1.0
    """
    require("tf2onnx", "runtimes")
    job = ExportJob.of(model, path, class_names, ".onnx")
    model = job.model
    folded = fold_batch_norm(model)
    for layer in all_layers(folded):
        if isinstance(layer, keras.layers.Normalization):  # tf2onnx would turn captured tensors into inputs
            layer.mean, layer.variance = map(keras.ops.convert_to_numpy, (layer.mean, layer.variance))
    with job.replacing() as partial:
        job.export_by_keras(folded, partial, "onnx")
        try:
            require("onnxruntime", "runtimes")
        except ImportError as error:
            warnings.warn(f"{job.path.name} was not checked. {error}", stacklevel=2)
            return None
        return job.prove(open_onnx(partial).run, images)
