"""A fault of the disk is one sentence, and what was kept before it stands."""

from __future__ import annotations

import errno
import os

from gluonbook.runs.format import read
from gluonbook.system import files
import pytest

from .conftest import Stopping, assert_same, checkpoints, fit, images

pytestmark = pytest.mark.usefixtures("terminal_signals")


class Failing:
    """Makes the n-th call of a function of `os` or of `open` fail."""

    def __init__(self, real, number, code):
        self.real, self.left, self.code = real, number, code

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("number", [1, 2, 5, 8])
@pytest.mark.parametrize("name", ["fsync", "replace", "open"])
def test_a_fault_at_any_write_is_one_sentence_and_the_run_goes_on_later(
    name, number, code, tmp_path, monkeypatch
):
    unbroken = fit(tmp_path / "a", save_every=2)
    monkeypatch.setattr(files.os, name, Failing(getattr(os, name), number, code))
    told = r"(checkpoint-.* cannot be written: |b cannot be written \()"  # or its lock
    with pytest.raises(files.FileFailure, match=told) as failure:
        fit(tmp_path / "b", save_every=2)
    assert "\n" not in str(failure.value)
    monkeypatch.undo()
    for path in (tmp_path / "b").glob("checkpoint-*"):
        read(path, 10**6)  # what stands is whole
    assert_same(unbroken, fit(tmp_path / "b", save_every=2))


def test_a_short_write(tmp_path, monkeypatch):
    """A disk that takes half of the bytes and says so only afterwards."""
    real = files.write

    def half(path, content, **_):
        with files.replacing(path) as scratch:
            scratch.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    fit(tmp_path, num_epochs=1)
    monkeypatch.setattr(files, "write", half)
    with pytest.raises(files.FileFailure, match="no room"):
        fit(tmp_path)
    monkeypatch.setattr(files, "write", real)
    assert checkpoints(tmp_path) == ["checkpoint-1-0.safetensors", "checkpoint-2-0.safetensors"]


def test_a_folder_that_vanishes(tmp_path):
    class Vanishing(Stopping):
        def __iter__(self):
            for batch in super().__iter__():
                for path in tmp_path.glob("run/*"):
                    path.unlink()
                (tmp_path / "run/.lock").unlink(missing_ok=True)
                if (tmp_path / "run").exists():
                    (tmp_path / "run").rmdir()
                yield batch

    with pytest.raises(files.FileFailure, match=r"the folder .*run is gone"):
        fit(tmp_path / "run", train_iter=Vanishing(images(), 0))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(files.FileFailure, match="cannot hold a run .*: name another folder"):
        fit(tmp_path / "file" / "run")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def fail(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(files.FileFailure, match="cannot be written .Read-only file system."):
        fit(tmp_path)


def test_a_folder_that_has_the_name_of_a_checkpoint(tmp_path):
    """One of an older position is left alone; one in the way is named."""
    (tmp_path / "checkpoint-0-9.safetensors").mkdir()
    fit(tmp_path, num_epochs=1)
    assert (tmp_path / "checkpoint-0-9.safetensors").is_dir()
    (tmp_path / "checkpoint-3-0.safetensors").mkdir()
    (tmp_path / "checkpoint-3-0.safetensors" / "mine").write_text("mine")
    told = (
        "checkpoint-3-0.safetensors cannot be written: a folder of that name is in the way; move it"
    )
    with pytest.raises(files.FileFailure, match=told):
        fit(tmp_path, num_epochs=2)
    assert (tmp_path / "checkpoint-3-0.safetensors" / "mine").read_text() == "mine"
