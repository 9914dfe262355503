"""SavedModels, for TensorFlow Serving and other TensorFlow programs."""

import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_senet.data import LabelledImages, evaluation_image
from keras_senet.errors import InputError
from keras_senet.export.job import ExportJob
from keras_senet.export.proof import Proof
from keras_senet.inference.runtimes import is_saved_model, open_saved_model
from keras_senet.rewrite.for_cpu import optimized_for_cpu

SIGNATURES = ("both", "pixels")


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    images: LabelledImages | np.ndarray | None = None,
    signature: str = "both",
) -> Proof:
    """Writes a SavedModel for TensorFlow Serving and other TensorFlow programs, with the same graph as `tflite`.

    It has two signatures. `serving_default` takes `images`, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`.
    `serve_encoded` takes `image_bytes`, files as strings `(N,)`; it turns them upright, crops and resizes them as evaluation
    does. It reads JPEG, PNG, WebP and 24-bit BMP files. Others can only be read by Python, so they are an error that says what to
    send. Both return `probabilities` `(N, classes)`.

    Args:
        model: network with its preprocessing inside, for images of one fixed square size, with the top.
        path: folder to write; an existing SavedModel is replaced, but not one whose name is a number: TensorFlow Serving takes
            such a folder for a version, which it does not load again.
        class_names: names of the classes, written to labels.txt in the folder `path`.
        images: images to compare the two on, as for `tflite`.
        signature: "both"; or "pixels" for `serving_default` alone, since some converters, such as coremltools, take a file with
            one signature only.

    Returns:
        The result of the comparison, a `Proof`.

    Raises:
        ValueError: if the model has another kind of input, `path` exists and is not a SavedModel or is a version, or the largest
            difference in probability is over 1e-4. Then nothing is written.
        FileNotFoundError: if the parent folder of `path` does not exist.

    Example:

    >>> images = keras.Input((32, 32, 3))
    >>> features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    >>> model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    >>> keras_senet.export.saved_model(model, "saved_model").agreement
    1.0
    """
    if signature not in SIGNATURES:
        raise InputError(f"`signature` must be one of {', '.join(map(repr, SIGNATURES))}. Received: signature={signature!r}")
    job = ExportJob.of(model, path, class_names)
    model = job.model
    if job.path.exists() and not is_saved_model(path):
        raise InputError(f"{path} exists and is not a SavedModel: choose another folder.")
    if job.path.exists() and job.path.name.isdecimal():
        versions = [int(entry.name) for entry in job.path.parent.iterdir() if entry.name.isdecimal()]
        raise InputError(
            f"{path} exists, and a server that runs this version would not notice another network in its place: write the next "
            f"version, {job.path.with_name(str(max(versions) + 1))}, or remove the folder."
        )
    inference = optimized_for_cpu(model)

    def run(images):
        return {job.outputs.name: inference(images, training=False)}

    def decode(image_bytes):
        return tf.map_fn(
            lambda encoded: evaluation_image(encoded, job.preprocessing, portable=True),
            image_bytes,
            fn_output_signature=tf.TensorSpec(model.input_shape[1:], tf.float32),
        )

    with job.replacing() as partial:
        archive = keras.export.ExportArchive()
        archive.track(inference)
        archive.add_endpoint("serving_default", run, [job.images(batch_size=None)])
        if signature == "both":
            encoded = [tf.TensorSpec((None,), tf.string, name="image_bytes")]
            archive.add_endpoint("serve_encoded", lambda image_bytes: run(decode(image_bytes)), encoded)
        archive.write_out(str(partial), verbose=False)
        if signature == "both":
            files = np.array([tf.io.encode_png(image).numpy() for image in job.noise().astype("uint8")])
            run_encoded = open_saved_model(partial, "serve_encoded").run
            job.prove(lambda pixels: run_encoded(files), decode(tf.constant(files)).numpy())
        return job.prove(open_saved_model(partial).run, images)
