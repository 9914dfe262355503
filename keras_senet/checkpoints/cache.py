"""Downloads of published weights, kept in Keras' cache folder as weights files of Keras."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable

import h5py
import keras

from keras_senet.checkpoints.files import DIGEST, digest, read_weights
from keras_senet.checkpoints.table import Checkpoint
from keras_senet.errors import require

_A_DAY = 24 * 60 * 60  # seconds


def keras_file(checkpoint: Checkpoint, convert: Callable[[pathlib.Path], keras.Model]) -> pathlib.Path:
    """The weights of `checkpoint` as a `.weights.h5` file; downloaded and converted if they are not in the cache yet.

    The file has the attributes `source`, `revision` and `source_sha256`, of what it was made from.

    Args:
        checkpoint: which.
        convert: function from the published file to the network with its weights.

    Returns:
        A file in the folder `models/keras_senet` of Keras' cache, `~/.keras` or `$KERAS_HOME`.

    Raises:
        OSError: if the download fails or the folder cannot be written; the message says what to download by hand, and where to
            put it.
        ValueError: if what was downloaded is not what was published; the cache is then as it was.
        ImportError: if the package that downloads it is not installed.
    """
    folder = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras"), "models", "keras_senet")
    cached = folder / f"{checkpoint.name}.weights.h5"
    if cached.is_file():
        return cached
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".partial-*"):  # by a process that was killed, if it is old
            if time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)
        # All that is unfinished is in here, so that nobody sees it, whenever this process or another one ends.
        workspace = tempfile.TemporaryDirectory(prefix=".partial-", dir=folder)
    except OSError as error:
        raise OSError(
            f"{checkpoint.name} cannot be kept in {folder}: {error.strerror}. Set the environment variable KERAS_HOME to a "
            "folder that can be written."
        ) from error
    with workspace as name:
        partial = pathlib.Path(name)
        source, revision, published = _source(checkpoint, folder, partial)
        with open(source, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not sha256.startswith(published):
            raise ValueError(
                f"{source.name} from {checkpoint.url} is damaged, or not what was published: its SHA-256 is {sha256} and should "
                f"begin with {published}. Try again, or remove it if you put it there."
            )
        converted = partial / cached.name
        convert(source).save_weights(converted)
        facts = {"source": checkpoint.url, "revision": revision, "source_sha256": sha256}
        facts[DIGEST] = digest(read_weights(converted).parameters)
        with h5py.File(converted, "a") as file:
            file.attrs.update(facts)
        converted.replace(cached)
    return cached


def _source(checkpoint: Checkpoint, folder: pathlib.Path, partial: pathlib.Path) -> tuple[pathlib.Path, str, str]:
    """The published file, its revision, and how its SHA-256 begins."""
    # Releases on GitHub never change; the first digits of the SHA-256 end the names of their files.
    digits, release = checkpoint.file.rpartition("-")[2].removesuffix(".pth"), checkpoint.repository.rpartition("/")[2]
    by_hand = folder / f"{checkpoint.name}{pathlib.Path(checkpoint.file).suffix}"
    if by_hand.is_file():
        return by_hand, "put there by hand", "" if checkpoint.on_hub else digits
    try:
        if checkpoint.on_hub:
            return _from_hub(checkpoint, partial)
        with contextlib.redirect_stdout(sys.stderr):  # for its progress
            path = keras.utils.get_file(checkpoint.file, checkpoint.url, cache_dir=partial, cache_subdir="")
        return pathlib.Path(path), release, digits
    except ImportError:
        raise
    except Exception as error:  # both libraries let errors of their own through, and of the libraries that they use
        raise OSError(
            f"{checkpoint.name} could not be downloaded: {' '.join(str(error).split()).rstrip('.')}. To go on without, download "
            f"{checkpoint.url} elsewhere and put it at {by_hand}"
        ) from error


def _from_hub(checkpoint: Checkpoint, partial: pathlib.Path) -> tuple[pathlib.Path, str, str]:
    hub = require("huggingface_hub", "checkpoints")
    facts = hub.get_hf_file_metadata(hub.hf_hub_url(checkpoint.repository, checkpoint.file))
    path = hub.hf_hub_download(checkpoint.repository, checkpoint.file, revision=facts.commit_hash, local_dir=partial)
    # The tag of a large file is its SHA-256.
    return pathlib.Path(path), facts.commit_hash, facts.etag if len(facts.etag) == 64 else ""
