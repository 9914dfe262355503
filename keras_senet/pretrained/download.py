"""Download of published weights to the cache folder of Keras, where they are stored as `.weights.h5` files."""

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Callable
from types import ModuleType

import h5py
import keras

from keras_senet.errors import FileError, InputError, one_line, require
from keras_senet.files import replacing
from keras_senet.pretrained.catalogue import Checkpoint
from keras_senet.pretrained.readers.keras_files import CONFIG, DIGEST, digest, read_keras_file

_A_WEEK = 7 * 24 * 60 * 60  # seconds
_PARTIAL = ".partial-"  # prefix of the names of unfinished files, here and in `replacing`


def keras_file(checkpoint: Checkpoint, convert: Callable[[pathlib.Path], keras.Model]) -> pathlib.Path:
    """The weights of `checkpoint` as a `.weights.h5` file, downloaded and converted unless it is in the cache.

    The attributes `source`, `revision` and `source_sha256` of the file say what it was made from. An interrupted download
    continues where it stopped, even after a kill. A file in the cache of huggingface_hub is not downloaded again.

    Args:
        checkpoint: checkpoint to get.
        convert: function from the published file to the network with its weights.

    Returns:
        Path of the file, in the folder `models/keras_senet` of the cache of Keras, `~/.keras` or `$KERAS_HOME`.

    Raises:
        OSError: if the download fails or the folder cannot be written; the message says how to download it by hand.
        ValueError: if the downloaded file is not the published one; it is deleted.
        ImportError: if the package that downloads it is not installed.

    Example:

    >>> checkpoint = keras_senet.pretrained.Checkpoint(name="seresnet20.mine", model="SEResNet20", repository="me/mine")
    >>> os.environ["KERAS_HOME"] = "cache"
    >>> os.makedirs("cache/models/keras_senet")
    >>> size = pathlib.Path("cache/models/keras_senet/seresnet20.mine.safetensors").write_bytes(b"")  # as if downloaded by hand
    >>> keras_senet.pretrained.keras_file(checkpoint, lambda path: keras_senet.SEResNet20(weights=None)).name
    'seresnet20.mine.weights.h5'
    """
    folder = _cache_folder()
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
            # A second process waits here, and then finds the file of the first.
            stack.enter_context(lock(folder / f".{checkpoint.name}.lock"))
            for partial in folder.glob(f"{_PARTIAL}*"):  # of a process that was killed
                with contextlib.suppress(OSError):  # another process may delete it first
                    if time.time() - partial.stat().st_mtime > _A_WEEK:
                        partial.unlink()
        except OSError as error:
            raise FileError(
                f"{checkpoint.name} cannot be kept in {folder}: {error.strerror}. Set the environment variable KERAS_HOME to a "
                "folder that can be written."
            ) from error
        if not cached.is_file():
            try:
                published = (_from_hub if checkpoint.on_hub else _from_release)(checkpoint, folder)
            except Exception as error:  # huggingface_hub raises its own errors, and those of the libraries that it uses
                raise FileError(
                    f"{checkpoint.name} could not be downloaded: {one_line(error).rstrip('.')}. To go on without, "
                    f"download {checkpoint.url} elsewhere and put it at {by_hand}"
                ) from error
            _convert(checkpoint, convert, cached, *published)
    return cached


def _cache_folder() -> pathlib.Path:
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    if home.startswith("~"):
        raise FileError(
            "There is no home folder to keep published weights in: set the environment variable KERAS_HOME to a folder that can "
            "be written."
        )
    return pathlib.Path(home, "models", "keras_senet")


def _convert(
    checkpoint: Checkpoint,
    convert: Callable[[pathlib.Path], keras.Model],
    cached: pathlib.Path,
    source: pathlib.Path,
    revision: str,
    digits: str,
) -> None:
    """Converts the published file `source`, whose SHA-256 starts with `digits`, to `cached`; deletes it if we downloaded it."""
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
        model = convert(source)
        model.save_weights(partial)
        facts = {"source": checkpoint.url, "revision": revision, "source_sha256": sha256}
        facts[DIGEST] = digest(read_keras_file(str(partial)).parameters)
        with h5py.File(partial, "a") as file:
            file.attrs.update(facts)
            file.create_dataset(CONFIG, data=model.to_json())
    if downloaded:
        source.unlink()


def _from_hub(checkpoint: Checkpoint, folder: pathlib.Path) -> tuple[pathlib.Path, str, str]:
    """Path of the published file, its revision, and its SHA-256."""
    hub = require("huggingface_hub", "checkpoints")
    # Another program, such as timm, may have downloaded it. In the hub's cache, a file is a link to one named by its tag.
    if (source := _in_hub_cache(hub, checkpoint)) is not None:
        return source, source.parent.name, _sha256_of(source.resolve().name)
    facts = hub.get_hf_file_metadata(hub.hf_hub_url(checkpoint.repository, checkpoint.file))
    url = hub.hf_hub_url(checkpoint.repository, checkpoint.file, revision=facts.commit_hash)
    return _download(checkpoint, url, folder, facts.etag), facts.commit_hash, _sha256_of(facts.etag)


def _in_hub_cache(hub: ModuleType, checkpoint: Checkpoint) -> pathlib.Path | None:
    """The published file in the cache of huggingface_hub.

    With HF_HUB_OFFLINE=1 any revision will do: a cache that was filled by revision does not know which one is the newest.
    """
    revisions = ["main"]
    if hub.constants.HF_HUB_OFFLINE:
        folder = pathlib.Path(hub.constants.HF_HUB_CACHE, f"models--{checkpoint.repository.replace('/', '--')}", "snapshots")
        revisions += sorted(entry.name for entry in folder.glob("*"))
    for revision in revisions:
        found = hub.try_to_load_from_cache(checkpoint.repository, checkpoint.file, revision=revision)
        if isinstance(found, str):
            return pathlib.Path(found)
    return None


def _sha256_of(tag: str) -> str:
    """The SHA-256 in a tag of the hub, which it is for large files; "" otherwise."""
    return tag if len(tag) == 64 else ""


def _from_release(checkpoint: Checkpoint, folder: pathlib.Path) -> tuple[pathlib.Path, str, str]:
    """Path of the published file, the name of its release, and the first digits of its SHA-256."""
    digits = _release_digits(checkpoint)
    return _download(checkpoint, checkpoint.url, folder, digits), checkpoint.repository.rpartition("/")[2], digits


def _release_digits(checkpoint: Checkpoint) -> str:
    """The first digits of the SHA-256 of a file in a release on GitHub, from the end of its name; "" for the hub."""
    return "" if checkpoint.on_hub else checkpoint.file.rpartition("-")[2].removesuffix(".pth")


def _download(checkpoint: Checkpoint, url: str, folder: pathlib.Path, tag: str) -> pathlib.Path:
    """Downloads to a partial file; a later call with the same tag continues it.

    `hf_hub_download` starts over in a new process (https://github.com/huggingface/huggingface_hub/issues/4196), and
    `keras.utils.get_file` after any error.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    partial = folder / f"{_PARTIAL}{checkpoint.name}-{tag}{pathlib.Path(checkpoint.file).suffix}"
    with open(partial, "ab") as file:
        try:
            # A compressed transfer cannot be resumed.
            http_get(url, file, resume_size=file.tell(), headers={"Accept-Encoding": "identity"})
        except HfHubHTTPError as error:
            if error.response.status_code != 416:  # 416: the partial file is complete
                raise
    return partial
