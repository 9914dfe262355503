"""Files and folders that are either whole or not there; small files of text and tables."""

import codecs
import contextlib
import csv
import io
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterable, Iterator

from keras_senet.errors import FileError, InputError, MissingFileError

PARTIAL = ".partial-*"  # what `replacing` has not put in its place yet
_LONGEST_NAME = 255  # bytes


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
    _check_folder_of(path)
    partial = path.with_name(_temporary_name("partial", path))
    try:
        yield partial
        if partial.is_dir() and path.is_dir():  # a folder cannot be replaced in one step
            old = path.with_name(_temporary_name("old", path))
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


def remove_partial(folder: pathlib.Path, process: int) -> None:
    """Removes what a process that was killed within `replacing` left in `folder` and the folders in it."""
    for partial in folder.glob(f"**/.partial-{process}-*"):
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink()


def check_place(path: str | os.PathLike) -> None:
    """Raises, before there is anything to lose, what writing the file `path` would raise later.

    Raises:
        FileNotFoundError: if the folder of `path` does not exist.
        OSError: if a folder is there already.
    """
    path = pathlib.Path(path)
    _check_folder_of(path)
    if path.is_dir():
        raise FileError(f"{path} could not be written: it is a folder.")


def _check_folder_of(path: pathlib.Path) -> None:
    if not path.parent.is_dir():
        raise MissingFileError(f"There is no folder {path.parent} to write {path.name} into.")


def _temporary_name(kind: str, path: pathlib.Path) -> str:
    """A hidden name that begins with `kind` and has the suffix of `path`: converters look at suffixes.

    File systems take names of 255 bytes, so only the end of a long name fits, and a hash of the stem tells two long names apart.
    Names that differ in suffix alone still do so here: OpenVINO derives the name of one of its files from that of the other.
    """
    beginning = f".{kind}-{os.getpid()}-"
    if len(os.fsencode(beginning + path.name)) <= _LONGEST_NAME:
        return beginning + path.name
    beginning += f"{zlib.crc32(os.fsencode(path.stem)):08x}-"
    end = path.name
    while len(os.fsencode(beginning + end)) > _LONGEST_NAME:
        end = end[1:]
    return beginning + end


def read_text(path: str | os.PathLike) -> str:
    """The text of a file in UTF-8 or UTF-16, as Windows writes them: with a mark of the byte order or without.

    Raises:
        ValueError: if it is in neither.
    """
    content = pathlib.Path(path).read_bytes()
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{os.fspath(path)} is not a text in UTF-8 or UTF-16: save it as UTF-8.") from error


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a small file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def as_lines(values: Iterable[str]) -> str:
    """The values as text, each on a line of its own."""
    return "".join(f"{value}\n" for value in values)


def write_csv(path: str | os.PathLike, columns: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Writes a table with its column names as the first row, whole or not at all."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, table.getvalue())


def read_csv(path: str | os.PathLike) -> list[dict[str, str]]:
    """The rows of a table that `write_csv` wrote, by column name."""
    return list(csv.DictReader(pathlib.Path(path).read_text(encoding="utf-8").splitlines()))


def refuse_stand_in(path: str | os.PathLike) -> None:
    """Raises a ValueError if `path` is what a download often brings in place of a file: a Git LFS pointer or a web page."""
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        beginning = file.read(200).lstrip().lower()
    if beginning.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a Git LFS pointer, not the file itself: fetch that with `git lfs pull`, or download it.")
    if beginning.startswith((b"<!doctype html", b"<html")):
        raise InputError(f"{path} is a web page, perhaps one that asks to sign in, not the file itself: download that again.")
