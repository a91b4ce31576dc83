"""A file is replaced wholly or not at all, and a bad one is told in one sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import threading

from gluonbook.system import digests, files
from gluonbook.system.files import FileFailure
import pytest


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with files.replacing(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_text_and_bytes(tmp_path):
    files.write(tmp_path / "a", "größer\n")
    files.write(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"gr\xc3\xb6\xc3\x9fer\n"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_a_failing_block_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as scratch:
        scratch.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


FAULTS = {
    errno.ENOSPC: "there is no room for it .No space left on device.; make room on that disk",
    errno.EDQUOT: "there is no room for it",
    errno.EROFS: "is read-only .Read-only file system.; allow writing, or name another",
    errno.EACCES: "is read-only .Permission denied.",
    errno.EIO: "Input/output error",
}


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_at_each_step_is_one_sentence_and_harmless(call, code, tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(FileFailure, match=rf"file.txt cannot be written: .*{FAULTS[code]}"):
        files.write(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_device(tmp_path):
    """/dev/full takes nothing: a write that Python buffers fails as it is flushed."""
    with pytest.raises(FileFailure, match="no room"), files.replacing(tmp_path / "f") as scratch:
        scratch.unlink()
        scratch.symlink_to("/dev/full")
        with open(scratch, "w") as file:
            file.write("some text")
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            files.os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))
        )
    files.write(tmp_path / "f", "text")
    assert calls == ["fsync", "replace", "fsync"]  # the file, then its name, then the folder


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_link_that_waits_under_the_scratch_name_is_not_followed(kind, tmp_path):
    """A folder may come from elsewhere, and numbers of processes can be guessed."""
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "run").mkdir()
    waiting = tmp_path / "run" / f"{files.PARTIAL}{os.getpid()}-file.txt"
    if kind == "symbolic":
        waiting.symlink_to("../thesis.txt")
    else:
        os.link(tmp_path / "thesis.txt", waiting)
    files.write(tmp_path / "run" / "file.txt", "new")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "run" / "file.txt").read_text() == "new"


def test_a_link_under_the_files_own_name_is_replaced_not_followed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "config.json").symlink_to("thesis.txt")
    files.write(tmp_path / "config.json", "{}")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(FileFailure, match=r"the folder .*none is gone; name another"):
        files.write(tmp_path / "none" / "f", "text")


def test_reading(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert files.read(tmp_path / "f", 5) == b"12345"
    with pytest.raises(files.TooLarge, match="f is too large: expected at most 4 bytes"):
        files.read(tmp_path / "f", 4)
    with pytest.raises(FileFailure, match="none is missing"):
        files.read(tmp_path / "none", 4)
    with pytest.raises(FileFailure, match="is not a file"):
        files.read(tmp_path, 4)


def test_reading_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFailure, match="pipe is not a file"):
        files.read(tmp_path / "pipe", 4)


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for name in ("pipe", "link"):
        with pytest.raises(FileFailure, match=f"{name} is a device or a pipe, not a file: name"):
            files.write(tmp_path / name, "text")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_a_read_error_is_told(tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(b"12345")

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(FileFailure, match="f cannot be read: Input/output error"):
        files.read(tmp_path / "f", 5)


def test_only_what_is_partial_is_removed(tmp_path):
    for name in (".partial-12-a", ".partial-b", "partial-c", ".other"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".partial-folder").mkdir()
    (tmp_path / ".partial-folder" / "x").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    (tmp_path / ".partial-link").symlink_to(tmp_path / "other")
    (tmp_path / ".partial-to-nothing").symlink_to(tmp_path / "nothing")
    files.remove_partial(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".other", "other", "partial-c"]
    assert (tmp_path / "other" / "mine").read_text() == "mine"


# --- a folder that lists the digests of its files ---------------------------------------------


@pytest.fixture
def listing(tmp_path):
    """A folder with a list of digests, and two files."""
    files.list_digests(tmp_path)
    files.write(tmp_path / "a.txt", "first")
    files.write(tmp_path / "b.txt", "second")
    return tmp_path


def test_the_digests_are_those_that_sha256sum_checks(listing):
    files.write(listing / "a.txt", "changed")
    files.write(listing / "c.txt", "not listed", listed=False)
    files.list_digests(listing)  # which has one
    result = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=listing, capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("a.txt: OK\nb.txt: OK\n", "")


def test_a_file_that_was_not_written_here_is_not_read(listing):
    content = (listing / "a.txt").read_bytes()
    for other in (b"firsu", b"", (listing / "b.txt").read_bytes()):
        (listing / "a.txt").write_bytes(other)
        with pytest.raises(files.Damaged, match=r"a.txt is damaged, or was changed: its SHA-256"):
            files.read(listing / "a.txt", 100)
    (listing / "a.txt").write_bytes(content)
    assert files.read(listing / "a.txt", 100) == content

    (listing / "b.txt").write_text("changed by hand")
    lines = (listing / "SHA256SUMS").read_text().splitlines(keepends=True)
    (listing / "SHA256SUMS").write_text("".join(lines[:-1]))  # as the sentence advises
    assert files.read(listing / "b.txt", 100) == b"changed by hand"
    files.write(listing / "b.txt", "third")
    assert files.read(listing / "b.txt", 100) == b"third"


def test_files_of_another_version_are_read_once_the_list_is_removed(listing):
    for name in ("a.txt", "b.txt"):
        (listing / name).write_text("of another version")
        with pytest.raises(files.Damaged, match="another version .*, remove SHA256SUMS itself"):
            files.read(listing / name, 100)
    (listing / "SHA256SUMS").unlink()
    for name in ("a.txt", "b.txt"):
        assert files.read(listing / name, 100) == b"of another version"


@pytest.mark.parametrize("damage", ["0" * 63 + "  b.txt", "\n\n", "\0", "# b.txt"])
def test_a_damaged_list_is_told_and_healed_by_the_next_file_written(damage, listing):
    lines = (listing / "SHA256SUMS").read_text().splitlines()
    (listing / "SHA256SUMS").write_text("\n".join([*lines[:2], damage]) + "\n")
    with pytest.raises(files.Damaged, match="SHA256SUMS is damaged: remove it"):
        files.read(listing / "a.txt", 100)
    files.write(listing / "b.txt", "second")
    assert (listing / "SHA256SUMS").read_text().splitlines() == lines
    assert files.read(listing / "a.txt", 100) == b"first"


@pytest.mark.parametrize("stopped_at", range(4))
def test_a_stop_at_any_moment_leaves_no_wrong_digest(stopped_at, listing, monkeypatch):
    """The list without the line, the file, and the list with it are put in place in turn."""
    real, calls = os.replace, []

    def replace(source, target):
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        calls.append(target.name)
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    try:
        files.write(listing / "a.txt", "new")
    except KeyboardInterrupt:
        assert len(calls) == stopped_at
    else:
        assert calls == ["SHA256SUMS", "a.txt", "SHA256SUMS"]
    assert files.read(listing / "a.txt", 100) == (b"new" if "a.txt" in calls else b"first")
    assert files.read(listing / "b.txt", 100) == b"second"


def test_a_file_is_read_whole_while_another_thread_writes_it(listing):
    done = threading.Event()

    def write():
        for i in range(100):
            files.write(listing / "a.txt", str(i))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        files.read(listing / "a.txt", 100)
    writer.join()
    assert files.read(listing / "a.txt", 100) == b"99"


@pytest.fixture
def held():
    """Opens and locks, as another process would."""
    descriptors = []

    def hold(path, flags=os.O_RDONLY):
        descriptors.append(os.open(path, flags))
        fcntl.flock(descriptors[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)

    yield hold
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_users_lock_on_the_folder_stops_nobody(listing, held):
    held(listing)
    files.write(listing / "a.txt", "new")
    assert files.read(listing / "a.txt", 100) == b"new"


def test_a_lock_that_is_not_let_go_of_ends_in_a_sentence_and_is_still_read(
    listing, held, monkeypatch
):
    monkeypatch.setattr(digests, "_LONGEST_WAIT", 0.05)
    held(listing / digests.LOCK)
    with pytest.raises(FileFailure, match=r"a.txt cannot be written: another .* locked .*; stop"):
        files.write(listing / "a.txt", "new")
    assert files.read(listing / "a.txt", 100) == b"first"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("../x")])
def test_anything_else_in_the_locks_place_is_left_alone(make, listing):
    (listing / digests.LOCK).unlink()
    make(listing / digests.LOCK)
    files.write(listing / "a.txt", "new")
    assert files.read(listing / "a.txt", 100) == b"new"
    assert not (listing.parent / "x").exists()


def test_a_file_replaced_between_it_and_its_list_is_read_again(listing, monkeypatch):
    read, names = files._content, []

    def replaced_in_between(path, limit):
        content = read(path, limit)
        names.append(path.name)
        if len(names) == 1:
            files.write(listing / "a.txt", "new")
        return content

    monkeypatch.setattr(files, "_content", replaced_in_between)
    assert files.read(listing / "a.txt", 100) == b"new"


def test_a_list_of_somebody_else_is_left_alone(tmp_path):
    theirs = f"{'0' * 64}  a.txt\n"
    (tmp_path / "SHA256SUMS").write_text(theirs)
    files.list_digests(tmp_path)
    files.write(tmp_path / "a.txt", "x")
    assert files.read(tmp_path / "a.txt", 100) == b"x"
    assert (tmp_path / "SHA256SUMS").read_text() == theirs
