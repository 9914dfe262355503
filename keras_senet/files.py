"""Files and folders that are either whole or not there."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from keras_senet.errors import FileError, MissingFileError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary name for what shall become the file or folder `path`.

    When the block ends well, what it wrote takes the place of `path`: a file that of a file, a folder that of a folder. When it
    raises, that is removed and `path` is as it was.

    Args:
        path: where the result goes; its folder must exist.

    Yields:
        A path in the same folder with the same suffix, where nothing is yet.

    Raises:
        FileNotFoundError: if the folder of `path` does not exist.
        OSError: if writing fails, as on a full disk; the message names `path`.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise MissingFileError(f"There is no folder {path.parent} to write {path.name} into.")
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        if partial.is_dir() and path.is_dir():  # a folder cannot be replaced in one step
            old = path.with_name(f".old-{os.getpid()}-{path.name}")
            path.rename(old)
            try:
                partial.rename(path)
            except OSError:
                old.rename(path)
                raise
            shutil.rmtree(old)
        else:
            partial.replace(path)  # which refuses to put a file in the place of a folder
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a small file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
