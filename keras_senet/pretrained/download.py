"""Downloads of published weights, kept in Keras' cache folder as weights files of Keras."""

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Callable

import h5py
import keras

from keras_senet.errors import FileError, InputError, one_line, require
from keras_senet.files import replacing
from keras_senet.pretrained.catalogue import Checkpoint
from keras_senet.pretrained.readers.keras_files import DIGEST, digest, read_keras_file

_A_WEEK = 7 * 24 * 60 * 60  # seconds
_PARTIAL = ".partial-"  # how the names of unfinished files begin, here and in `replacing`


def keras_file(checkpoint: Checkpoint, convert: Callable[[pathlib.Path], keras.Model]) -> pathlib.Path:
    """The weights of `checkpoint` as a `.weights.h5` file; downloaded and converted if they are not in the cache yet.

    The file has the attributes `source`, `revision` and `source_sha256`, of what it was made from. A download that was
    interrupted, even by a kill, goes on where it stopped. What huggingface_hub has in its own cache is not downloaded again.

    Args:
        checkpoint: which.
        convert: function from the published file to the network with its weights.

    Returns:
        A file in the folder `models/keras_senet` of Keras' cache, `~/.keras` or `$KERAS_HOME`.

    Raises:
        OSError: if the download fails or the folder cannot be written; the message says what to download by hand, and where to
            put it.
        ValueError: if what was downloaded is not what was published; nothing of it is kept then.
        ImportError: if the package that downloads it is not installed.
    """
    folder = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras"), "models", "keras_senet")
    cached = folder / f"{checkpoint.name}.weights.h5"
    by_hand = folder / f"{checkpoint.name}{pathlib.Path(checkpoint.file).suffix}"
    if cached.is_file():
        return cached
    if by_hand.is_file():
        _convert(checkpoint, convert, cached, by_hand, "put there by hand", _release_digits(checkpoint))
        return cached
    lock = require("huggingface_hub.utils", "checkpoints").WeakFileLock
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A second process waits here, and finds the file of the first.
            stack.enter_context(lock(folder / f".{checkpoint.name}.lock"))
            for left in folder.glob(f"{_PARTIAL}*"):  # by a process that was killed
                with contextlib.suppress(OSError):  # another process may be faster
                    if time.time() - left.stat().st_mtime > _A_WEEK:
                        left.unlink()
        except OSError as error:
            raise FileError(
                f"{checkpoint.name} cannot be kept in {folder}: {error.strerror}. Set the environment variable KERAS_HOME to a "
                "folder that can be written."
            ) from error
        if not cached.is_file():
            try:
                published = (_from_hub if checkpoint.on_hub else _from_release)(checkpoint, folder)
            except Exception as error:  # huggingface_hub lets errors of its own through, and of the libraries that it uses
                raise FileError(
                    f"{checkpoint.name} could not be downloaded: {one_line(error).rstrip('.')}. To go on without, "
                    f"download {checkpoint.url} elsewhere and put it at {by_hand}"
                ) from error
            _convert(checkpoint, convert, cached, *published)
    return cached


def _convert(
    checkpoint: Checkpoint,
    convert: Callable[[pathlib.Path], keras.Model],
    cached: pathlib.Path,
    source: pathlib.Path,
    revision: str,
    digits: str,
) -> None:
    """Makes `cached` from the published file `source`, whose SHA-256 begins with `digits`; removes it if we downloaded it."""
    downloaded = source.name.startswith(_PARTIAL)
    with open(source, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not sha256.startswith(digits):
        if downloaded:
            source.unlink()
        raise InputError(
            f"{checkpoint.url} is damaged, or not what was published: its SHA-256 is {sha256} and should begin with {digits}. "
            + ("Try again." if downloaded else f"Remove {source} and try again.")
        )
    with replacing(cached) as partial:
        convert(source).save_weights(partial)
        facts = {"source": checkpoint.url, "revision": revision, "source_sha256": sha256}
        facts[DIGEST] = digest(read_keras_file(str(partial)).parameters)
        with h5py.File(partial, "a") as file:
            file.attrs.update(facts)
    if downloaded:
        source.unlink()


def _from_hub(checkpoint: Checkpoint, folder: pathlib.Path) -> tuple[pathlib.Path, str, str]:
    """The published file, its revision, and its SHA-256."""
    hub = require("huggingface_hub", "checkpoints")
    # Other programs, such as timm, may have downloaded it. There a file is a link to one that is called by its tag.
    if isinstance(found := hub.try_to_load_from_cache(checkpoint.repository, checkpoint.file), str):
        source = pathlib.Path(found)
        return source, source.parent.name, _sha256_of(source.resolve().name)
    facts = hub.get_hf_file_metadata(hub.hf_hub_url(checkpoint.repository, checkpoint.file))
    url = hub.hf_hub_url(checkpoint.repository, checkpoint.file, revision=facts.commit_hash)
    return _download(checkpoint, url, folder, facts.etag), facts.commit_hash, _sha256_of(facts.etag)


def _sha256_of(tag: str) -> str:
    """The hub's tag of a large file is its SHA-256."""
    return tag if len(tag) == 64 else ""


def _from_release(checkpoint: Checkpoint, folder: pathlib.Path) -> tuple[pathlib.Path, str, str]:
    """The published file, the name of its release, and how its SHA-256 begins."""
    digits = _release_digits(checkpoint)
    return _download(checkpoint, checkpoint.url, folder, digits), checkpoint.repository.rpartition("/")[2], digits


def _release_digits(checkpoint: Checkpoint) -> str:
    """Releases on GitHub never change; the first digits of the SHA-256 end the names of their files."""
    return "" if checkpoint.on_hub else checkpoint.file.rpartition("-")[2].removesuffix(".pth")


def _download(checkpoint: Checkpoint, url: str, folder: pathlib.Path, tag: str) -> pathlib.Path:
    """A file that later calls with the same tag go on with.

    `hf_hub_download` begins again after the end of a process (https://github.com/huggingface/huggingface_hub/issues/4196), as
    `keras.utils.get_file` does after any error.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    partial = folder / f"{_PARTIAL}{checkpoint.name}-{tag}{pathlib.Path(checkpoint.file).suffix}"
    with open(partial, "ab") as file:
        try:
            # Compressed, it could not be gone on with.
            http_get(url, file, resume_size=file.tell(), headers={"Accept-Encoding": "identity"})
        except HfHubHTTPError as error:
            if error.response.status_code != 416:  # there is nothing behind what we have
                raise
    return partial
