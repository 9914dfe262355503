"""OpenVINO's pairs of files, by Keras' own exporter."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from keras_senet.data import LabelledImages
from keras_senet.errors import require
from keras_senet.export.job import ExportJob
from keras_senet.export.proof import Proof
from keras_senet.files import replacing
from keras_senet.inference.runtimes import open_openvino
from keras_senet.rewrite.folding import fold_batch_norm


def openvino(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
) -> Proof:
    """Writes an OpenVINO model, a pair of files, by Keras' own exporter, with batch normalization folded.

    Args:
        model: network with its preprocessing inside, for images of one fixed square size, with the top.
        path: `.xml` file to write; the weights go to a `.bin` file beside it.
        class_names: names of the classes, written to labels.txt in the same folder.
        images: images to compare the two on, as for `tflite`.

    Returns:
        The result of the comparison, a `Proof`.

    Raises:
        ValueError: as for `saved_model`.
        FileNotFoundError: if the folder of `path` does not exist.
        ImportError: if openvino, which writes and runs the files, is not installed.

    Example:

    >>> images = keras.Input((32, 32, 3))
    >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    >>> model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    >>> keras_senet.export.openvino(model, "model.xml").agreement
    1.0
    """
    require("openvino", "runtimes")
    job = ExportJob.of(model, path, class_names, ".xml")
    model = job.model
    with replacing(job.path.with_suffix(".bin")), job.replacing() as partial:  # OpenVINO derives one name from the other
        job.export_by_keras(fold_batch_norm(model), partial, "openvino")
        return job.prove(open_openvino(partial).run, images)
