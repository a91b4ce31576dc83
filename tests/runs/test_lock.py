"""The lock of a folder that came from elsewhere destroys nothing outside of it."""

from __future__ import annotations

import os

from gluonbook.runs.lock import FolderLock
from gluonbook.system.files import FileFailure
from gluonbook.training.run import CheckpointError
import pytest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "run").mkdir()
    yield tmp_path / "run"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "make",
    [
        lambda lock: lock.symlink_to("../thesis.txt"),
        lambda lock: lock.symlink_to("../not-there-yet"),
        lambda lock: os.link(lock.parent.parent / "thesis.txt", lock),
        lambda lock: lock.mkdir(),
        lambda lock: os.mkfifo(lock),
    ],
    ids=["link", "link to nothing", "hard link", "folder", "pipe"],
)
def test_anything_but_a_plain_file_of_its_own_is_refused(make, folder):
    make(folder / ".lock")
    with pytest.raises(
        FileFailure, match=r"run/\.lock cannot be opened as a plain file .*remove it"
    ):
        FolderLock(folder).acquire()
    assert not (folder.parent / "not-there-yet").exists()


def test_one_at_a_time_and_free_again(folder):
    first, second = FolderLock(folder), FolderLock(folder)
    first.acquire()
    first.acquire()
    for _ in range(2):  # it is released as often as acquired
        with pytest.raises(
            CheckpointError, match=rf"in use by another run \(process {os.getpid()}\)"
        ):
            second.acquire()
        first.release()
    second.acquire()
    assert (folder / ".lock").read_text() == f"{os.getpid()}\n"
    second.release()
    second.release()


def test_one_folder_by_two_names(folder):
    (folder.parent / "also").symlink_to(folder)
    first = FolderLock(folder)
    first.acquire()
    with pytest.raises(CheckpointError):
        FolderLock(folder.parent / "also").acquire()
    first.release()


def test_a_file_system_without_locks_says_so(folder, monkeypatch):
    def fail(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", fail)
    with pytest.raises(FileFailure, match="cannot be locked .No locks available.: use a folder on"):
        FolderLock(folder).acquire()
