"""SEResNet50 with its weights in the cache, against ResNet50 of keras.applications with its own.

Nothing is downloaded: both caches are filled with random weights, in the format that each has.
"""

import dataclasses
import hashlib
import os
import pathlib
import tempfile

CACHE = tempfile.TemporaryDirectory()
os.environ["KERAS_HOME"] = CACHE.name  # which Keras reads when it is imported

import h5py  # noqa: E402
import keras  # noqa: E402
from comparison import Comparison, compare, show, timed  # noqa: E402
from keras.src.applications import resnet  # noqa: E402
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group  # noqa: E402

import keras_senet  # noqa: E402
from keras_senet.pretrained import keras_file  # noqa: E402


def fill_caches() -> None:
    (checkpoint, *_) = keras_senet.list_checkpoints("SEResNet50")
    ours = pathlib.Path(CACHE.name, "models", "keras_senet")
    ours.mkdir(parents=True)
    network = keras_senet.SEResNet50(weights=None)
    published = ours / f"{checkpoint.name}.pth"
    published.touch()  # found there, it is not downloaded
    nothing = hashlib.sha256().hexdigest()
    keras_file(dataclasses.replace(checkpoint, file=f"-{nothing}.pth"), convert=lambda _: network)

    theirs = ours.parent / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(theirs, "w") as file:
        save_weights_to_hdf5_group(file, keras.applications.ResNet50(weights=None))
    resnet.WEIGHTS_HASHES["resnet50"] = (hashlib.md5(theirs.read_bytes()).hexdigest(), None)


def measure() -> list[Comparison]:
    fill_caches()
    ours, theirs = (
        timed(lambda build=build: build(weights="imagenet")) for build in (keras_senet.SEResNet50, keras.applications.ResNet50)
    )
    theirs()  # the first network of a process pays for what Keras sets up
    return [compare("SEResNet50 with cached weights", "ResNet50 of keras.applications", ours, theirs, rounds=9, target=1.5)]


if __name__ == "__main__":
    show(measure())
