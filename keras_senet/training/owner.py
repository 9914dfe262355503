"""Who trains in a folder: one process at a time, which a file in the folder names."""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from keras_senet.errors import InputError
from keras_senet.files import remove_partial

_UNKNOWN = ""
_SECONDS = 1.0  # within which a file that was just created has its content


@contextlib.contextmanager
def owning(folder: pathlib.Path, resume: bool) -> Iterator[None]:
    """Within it this process is the only one that trains in `folder`, which is made if it does not exist.

    Args:
        folder: the folder.
        resume: whether to take it over from a process that died. What that process left half written is removed.

    Raises:
        ValueError: if another process owns the folder; the message says which, since when, and what to do.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    _take(folder, resume)
    try:
        yield
    finally:
        disown(folder)
        with contextlib.suppress(OSError):  # one is not empty: the run wrote something
            for each in new:
                each.rmdir()


def disown(folder: pathlib.Path) -> None:
    """Lets other processes own `folder`, if this one does."""
    for file in owner_files(folder):
        if _this_process().items() <= _read(file).items():
            file.unlink(missing_ok=True)


def refuse_if_owned(folder: pathlib.Path, resume: bool) -> None:
    """Raises the error of `owning` for the files that are in `folder` now."""
    for file in owner_files(folder):
        _check_that_it_died(file, resume)


def owner_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files that name an owner of `folder`, by their numbers."""
    return sorted(folder.glob("owner-[0-9]*.json"), key=_number)


def _number(file: pathlib.Path) -> int:
    digits = file.stem.removeprefix("owner-")
    return int(digits) if digits.isdecimal() else 0


def _take(folder: pathlib.Path, resume: bool) -> None:
    """Creates the file that names this process.

    Nobody can replace the file of a process that died without a moment in which another process does the same. So each owner
    has a file with the next number: the system creates it for one process only, and files of the dead are removed after that.
    """
    dead = owner_files(folder)
    for file in dead:
        _check_that_it_died(file, resume)
    mine = folder / f"owner-{_number(dead[-1]) + 1 if dead else 1}.json"
    try:
        descriptor = os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        _check_that_it_died(mine, resume)
        raise InputError(f"Another process has just begun to train in {folder}. Choose another output folder.") from None
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    with open(descriptor, "w", encoding="utf-8") as created:
        json.dump(_this_process() | {"since": now}, created)
    try:
        for other in owner_files(folder):  # a process that looked before this one began may have another number
            if other != mine:
                _check_that_it_died(other, resume)
    except InputError:
        mine.unlink(missing_ok=True)
        raise
    for file in dead:
        if owner := _read(file):
            remove_partial(folder, owner["process"])
        file.unlink(missing_ok=True)


def _this_process() -> dict:
    return {"host": socket.gethostname(), "process": os.getpid(), "process_started": _start_of(os.getpid())}


def _check_that_it_died(file: pathlib.Path, resume: bool) -> None:
    """Raises an error unless the process that `file` names has died, and its run is to be resumed."""
    owner, folder, here = _read(file), file.parent, socket.gethostname()
    if not owner:
        if file.exists():
            raise InputError(f"{file} does not say which process trains in {folder}. If none does, remove that file.")
        return  # its owner has just ended
    who = f"process {owner['process']} on {owner['host']}, since {owner['since']}"
    started = _start_of(owner["process"]) if owner["host"] == here else _UNKNOWN
    if started == _UNKNOWN:
        raise InputError(
            f"{folder} belongs to {who}. {here} cannot see whether that still runs: if it does not, remove {file} and start "
            "again with --resume."
        )
    if started is not None and started == owner["process_started"]:
        raise InputError(f"{folder} belongs to {who}, which still runs. Wait for it, end it, or choose another output folder.")
    if not resume:
        raise InputError(f"{folder} was left by {who}, which died. Go on with --resume, or choose another output folder.")


def _read(file: pathlib.Path) -> dict:
    """What a file says of an owner; nothing if it is gone, or not such a file."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            owner = json.loads(file.read_text(encoding="utf-8"))
            known = {name: owner[name] for name in ("host", "process", "process_started", "since")}
            return known | {"process": int(owner["process"])}
        except FileNotFoundError:
            return {}
        except (KeyError, TypeError, ValueError):  # its owner creates it before it writes it
            if time.monotonic() > end:
                return {}
            time.sleep(0.05)


def _start_of(process: int) -> str | None:
    """When a process of this machine started, in a form that tells it from a later one of the same number; None if it ended."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        try:
            stat = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return _start_if_hidden(process)
        state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        return None if state in "ZX" else f"{boot.read_text(encoding='ascii').strip()} {fields[18]}"
    if shutil.which("ps"):  # macOS
        listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False)
        return listed.stdout.strip() or None
    return _UNKNOWN


def _start_if_hidden(process: int) -> str | None:
    """Some machines hide the processes of other users in /proc; signals still tell whether there is one."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return _UNKNOWN
