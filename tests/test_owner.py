"""A run's folder has one owner: two processes never train in it, and one that died leaves it to the next."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading

import pytest

from keras_senet import training
from keras_senet.training import owner
from keras_senet.training.owner import disown, owner_files, owning


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def died():
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def left_by(folder: pathlib.Path, number: int = 1, **changes) -> pathlib.Path:
    """The file that names this process as the owner, but for some changes."""
    folder.mkdir(exist_ok=True)
    file = folder / f"owner-{number}.json"
    said = {"host": socket.gethostname(), "process": os.getpid(), "process_started": "before", "since": "yesterday"}
    file.write_text(json.dumps(said | changes))
    return file


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_is_told_whose_the_folder_is_before_it_touches_the_data(folder, tiny_recipe, monkeypatch, resume):
    monkeypatch.setattr("keras_senet.data.load", lambda *_: pytest.fail("The data were touched."))
    who = rf"belongs to process {os.getpid()} on {socket.gethostname()}, since 20\d\d-.*, which still runs"
    with owning(folder, resume=False):
        for content in (None, "config.json"):
            if content:
                (folder / content).write_text(json.dumps({"recipe": tiny_recipe.flat()}))
            with pytest.raises(ValueError, match=who):
                training.train(tiny_recipe, folder, resume=resume)
    assert [file.name for file in folder.iterdir()] == ["config.json"]


@pytest.mark.parametrize("left", [False, True])
def test_of_many_that_begin_at_once_one_owns_the_folder(folder, died, monkeypatch, left):
    """Also where each has seen that the last owner died."""
    folder.mkdir()
    if left:
        left_by(folder, 7, process=died)
    looked, owners, create = threading.Barrier(8, timeout=60), [], os.open

    def create_together(*arguments):
        looked.wait()
        return create(*arguments)

    def begin():
        with contextlib.suppress(ValueError):
            owner._take(folder, resume=True)
            owners.append(1)

    monkeypatch.setattr(owner.os, "open", create_together)
    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == len(owner_files(folder)) == 1
    disown(folder)
    assert owner_files(folder) == []


def test_a_process_that_looked_too_early_withdraws(folder, died, monkeypatch):
    """It saw the file of the dead owner; since then another one took over, ended, and a third one began."""
    left_by(folder, 3, process=died)
    create = os.open

    def create_late(*arguments):
        (folder / "owner-3.json").unlink()
        left_by(folder, process_started=owner._start_of(os.getpid()))
        return create(*arguments)

    monkeypatch.setattr(owner.os, "open", create_late)
    with pytest.raises(ValueError, match="which still runs"), owning(folder, resume=True):
        pass
    assert [file.name for file in owner_files(folder)] == ["owner-1.json"]


def test_a_folder_is_taken_over_from_a_process_that_died_with_its_partial_files_removed(folder, died):
    left_by(folder, process=died)
    (folder / "states").mkdir()
    whole = [folder / "last.keras", folder / ".partial-1-model.tflite", folder / "states" / "epoch00001-step0000000.npz"]
    partial = [folder / f".partial-{died}-last.keras", folder / "states" / f".partial-{died}-epoch00002-step0000000.npz"]
    for file in whole + partial:
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=f"was left by process {died} .* which died. Go on with --resume"), owning(folder, False):
        pass
    assert all(file.exists() for file in partial)
    with owning(folder, resume=True):
        assert [file.name for file in owner_files(folder)] == ["owner-2.json"]
    assert sorted(file for file in folder.glob("**/*") if file.is_file()) == sorted(whole)


def test_another_process_with_the_number_of_the_dead_owner_does_not_count(folder):
    left = left_by(folder)  # with the number of this process, which started at another time
    with owning(folder, resume=True):
        (mine,) = owner.owner_files(folder)
        assert mine != left
        assert json.loads(mine.read_text())["process"] == os.getpid()
    assert not owner.owner_files(folder)


def test_the_owner_on_another_host_may_live(folder):
    file = left_by(folder, host="elsewhere")
    for resume in (False, True):
        with pytest.raises(ValueError, match=f"process .* on elsewhere, since yesterday. .*remove {file} and start again with"):
            owner.refuse_if_owned(folder, resume)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"host": 1, "process": "x", "process_started": 0, "since": 0}'])
def test_a_file_that_names_no_owner_is_no_free_folder(folder, monkeypatch, content):
    monkeypatch.setattr(owner, "_SECONDS", 0)
    left_by(folder).write_text(content)
    with pytest.raises(ValueError, match="does not say which process trains .*remove that file"), owning(folder, resume=True):
        pass


def test_a_run_that_fails_before_it_wrote_anything_leaves_no_folder(folder):
    with pytest.raises(RuntimeError), owning(folder, resume=False):
        raise RuntimeError
    assert not folder.exists()
