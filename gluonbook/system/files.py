"""Files read with a size limit, and written so that a sudden stop leaves none half-written.

In a folder with a list of digests (`list_digests`) every file written gets its line there, and
every file read is held against its line.
"""

from __future__ import annotations

from contextlib import contextmanager
import errno
import hashlib
import os
from pathlib import Path
import shutil
import stat
from tempfile import TemporaryDirectory
from typing import Iterator

from . import digests
from .errors import Failure

#: Beginning of the names of files that are being written; a stop may leave one behind.
PARTIAL = ".partial-"
#: Bytes that a list of digests may have: ten thousand lines.
_LONGEST_LIST = 2**20


class FileFailure(Failure, OSError):
    """A file cannot be read or written; the message says which, why and what to do."""


class TooLarge(FileFailure):
    """A file is larger than a valid one can be."""


class Damaged(FileFailure):
    """A file is not the one whose digest its folder lists."""


@contextmanager
def replacing(path: str | os.PathLike[str], *, listed: bool = True) -> Iterator[Path]:
    """A scratch path beside `path`, which takes the place of `path` when the block ends well.

    The bytes are on the disk before the name changes, so whoever opens `path`, even after a
    power cut, finds the whole old file or the whole new one. If the block fails, the scratch
    file is removed and `path` is as it was. The scratch file is a new one: a link of its name,
    in a folder that came from elsewhere, is not followed. A file with a digest of its own can stay
    out of the folder's list of digests, by `listed`.

    Raises
    ------
    FileFailure
        If the disk is full, or the folder is gone or cannot be written; if `path` is a device, such
        as ``/dev/null``, or a pipe.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileFailure(f"{path} is a device or a pipe, not a file: name another")
    scratch = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    with _writing(path):
        try:
            scratch.unlink(missing_ok=True)
            os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            yield scratch
            _flush(scratch)
            if listed and path.name != digests.NAME and _list_in(path.parent) is not None:
                _replace_listed(scratch, path)
            else:
                _replace(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def _replace(scratch: Path, path: Path) -> None:
    os.replace(scratch, path)
    _flush(path.parent)


def _replace_listed(scratch: Path, path: Path) -> None:
    """Replace a file and its line. A stop in between leaves it without one, never a wrong one."""
    folder, digest = path.parent, digests.of_file(scratch)
    with digests.one_writer(folder):
        before = digests.parse(_list_in(folder) or "")
        others = {name: before[name] for name in before.keys() - {path.name}}
        if before.get(path.name, digest) != digest:
            write(folder / digests.NAME, digests.formatted(others))
        _replace(scratch, path)
        if before.get(path.name) != digest:
            write(folder / digests.NAME, digests.formatted({**others, path.name: digest}))


def list_digests(folder: Path) -> None:
    """List the digests of the files that are written into `folder` from now on."""
    if not (folder / digests.NAME).exists():
        write(folder / digests.NAME, digests.formatted({}))


def lists_digests(folder: Path) -> bool:
    """Whether `folder` has a list of digests, as only this package's own folders do."""
    return _list_in(folder) is not None


def has_strange_list(folder: Path) -> bool:
    """Whether something has the name of the folder's list of digests, and is none of ours."""
    return (folder / digests.NAME).exists() and _list_in(folder) is None


def _list_in(folder: Path) -> str | None:
    """The text of the folder's list of digests; None if it has none of ours."""
    try:
        text = _content(folder / digests.NAME, _LONGEST_LIST).decode(errors="replace")
    except FileFailure:
        return None
    return text if digests.is_ours(text) else None


def write(path: str | os.PathLike[str], content: bytes | str, *, listed: bool = True) -> None:
    """Write a whole file, as `replacing` does; text as UTF-8."""
    with replacing(path, listed=listed) as scratch, open(scratch, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def append(path: str | os.PathLike[str], content: bytes) -> None:
    """Add to the end of a file, which is made if it does not exist.

    Raises
    ------
    FileFailure
        If it cannot be written; a part of `content` may be in it then.
    """
    with _writing(Path(path)), open(path, "ab") as file:
        file.write(content)


@contextmanager
def _writing(path: Path, inside: str = "") -> Iterator[None]:
    """Make a `FileFailure` of the system's error in writing `path`, or what is `inside` of it."""
    try:
        yield
    except OSError as error:
        if isinstance(error, Failure):
            raise
        raise FileFailure(f"{path} cannot be written: {_why(error, path / inside)}") from error


def _flush(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"there is no room for it ({error.strerror}); make room on that disk"
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not path.parent.is_dir():
        return f"the folder {path.parent} is gone; name another"
    if path.is_dir():
        return "a folder of that name is in the way; move it"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path.parent} is read-only ({error.strerror}); allow writing, or name another"
    return error.strerror or str(error)


def read(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a file that holds `limit` bytes at most; no more than that is read.

    Raises
    ------
    FileFailure
        If `path` is missing, unreadable, or not a file (a pipe would hang); as `TooLarge`, if
        it is longer; as `Damaged`, if its folder lists another digest for it, or the list is
        damaged itself.
    """
    path, before = Path(path), None
    while True:
        content, text = _content(path, limit), _list_in(path.parent)
        if text is None:
            return content
        if not digests.is_whole(text):
            raise damaged_list(path.parent)
        digest = hashlib.sha256(content).hexdigest()
        if digests.parse(text).get(path.name, digest) == digest:
            return content
        if text == before:
            break
        before = text  # the file may have been replaced between the two; if so, the list changes
    raise Damaged(
        f"{path} is damaged, or was changed: its SHA-256 is not the one in {digests.NAME} beside "
        "it; use a whole copy, or, if you changed it yourself, remove its line there; if another "
        f"version of gluonbook has written here, remove {digests.NAME} itself"
    )


def damaged_list(folder: Path) -> Damaged:
    """The error for a folder whose list of digests is not what this package wrote."""
    return Damaged(
        f"{folder / digests.NAME} is damaged: remove it, and the files beside it are read unchecked"
    )


def _content(path: Path, limit: int) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileFailure(f"{path} is not a file")
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise FileFailure(f"{path} is missing") from error
    except OSError as error:
        if isinstance(error, Failure):
            raise
        raise FileFailure(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise TooLarge(f"{path} is too large: expected at most {limit:,} bytes, found more")
    return content


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed when the block ends, or else by `remove_partial`."""
    with _writing(parent, PARTIAL), TemporaryDirectory(prefix=PARTIAL, dir=parent) as folder:
        yield Path(folder)


def remove_partial(folder: str | os.PathLike[str]) -> None:
    """Remove the files and folders that a stop left half-written in `folder`."""
    for path in Path(folder).glob(f"{PARTIAL}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
