"""The errors that a user can mend, and help in their messages: what the user may have meant."""

import difflib
import importlib
import itertools
import os
import signal
import textwrap
from collections.abc import Iterable
from types import ModuleType

_QUOTED = 200  # characters of another library's message


class UserError(Exception):
    """The user can mend this; the message says what was received, what is accepted and what to do.

    The command prints such a message as one line. Every other error is a bug of ours, and keeps its traceback.
    """


class InputError(UserError, ValueError):
    """An argument, a name or the content of a file cannot be used."""


class FileError(UserError, OSError):
    """A file cannot be read, written or downloaded."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no file of this name."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed."""


class LostWorkerError(UserError, ConnectionError):
    """Another worker of a training run has ended, or cannot be reached."""


class DivergedError(InputError):
    """The loss or the weights of a training run are no longer numbers.

    Example:

    >>> issubclass(keras_senet.training.DivergedError, ValueError)
    True
    """


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, as preemptible machines are.

    Attributes:
        status: the exit status of the command.

    Example:

    >>> issubclass(keras_senet.training.Terminated, Exception)  # so that `except Exception` does not catch it
    False
    """

    status = 128 + signal.SIGTERM


class HungUp(Terminated):
    """The terminal of the process is gone (SIGHUP), as when a connection breaks."""

    status = 128 + 1  # Windows has no such signal


class DeadProcessError(UserError, ChildProcessError):
    """A process that measured a network has ended."""


def did_you_mean(received: str, accepted: Iterable[str]) -> str:
    """ " Did you mean 'a' or 'b'?" with the names nearest to `received`, or nothing where none is near.

    Names that begin with `received` come first: it may be an abbreviation.
    """
    folded, by_folded = received.casefold(), {name.casefold(): name for name in accepted}
    beginning = [name for name in by_folded if folded and name.startswith(folded)]
    nearest = list(dict.fromkeys(beginning + difflib.get_close_matches(folded, by_folded, n=3)))[:3]
    return f" Did you mean {' or '.join(repr(by_folded[name]) for name in nearest)}?" if nearest else ""


def named(names: Iterable[str]) -> str:
    """The first few names, quoted, and how many more there are."""
    first = list(itertools.islice(names := iter(names), 3))
    more = sum(1 for _ in names)
    shown = ", ".join(repr(name if len(name) <= 30 else f"{name[:29]}…") for name in first)
    return f"{shown} and {more:,} more" if more else shown


def one_line(error: BaseException) -> str:
    """The message of another library's error as one short line, to be quoted in ours."""
    return textwrap.shorten(str(error), _QUOTED, placeholder=" ...")


def existing_path(path: str | os.PathLike) -> str:
    """`path` as a string.

    Raises:
        FileNotFoundError: if nothing is there; the message has the nearest names in the same folder.
    """
    path = os.fspath(path)
    if os.path.exists(path):
        return path
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        raise MissingFileError(f"There is no folder {folder}, so no file {path}.")
    near = did_you_mean(name, os.listdir(folder or "."))
    raise MissingFileError(f"There is no file or folder {path}.{near}")


def require(module: str, extra: str) -> ModuleType:
    """The optional `module`, imported.

    Raises:
        ImportError: if it is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"This needs the package {error.name}, which is not installed. Install it with: pip install 'keras-senet[{extra}]'"
        ) from error
