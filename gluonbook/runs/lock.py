"""A lock on a folder, which holds between processes and between the threads of one."""

from __future__ import annotations

from contextlib import suppress
import errno
import fcntl
import os
from pathlib import Path
import stat
import threading

from ..system.files import FileFailure
from ..training.run import CheckpointError

NAME = ".lock"
_LONGEST_OWNER = 20

#: The folders (device, inode) that this process holds. The system's record locks do not keep two
#: threads apart, and closing a second descriptor of the file would give the first one's lock up.
_held: set[tuple[int, int]] = set()
_guard = threading.Lock()


class FolderLock:
    """The right to write into a folder, until `release` or the end of the process.

    It can be acquired again by whoever has it, and has to be released as often.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times = 0
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or note that this object has it once more.

        Raises
        ------
        CheckpointError
            If another run has it.
        FileFailure
            If the folder cannot be written, or its lock is not a plain file.
        """
        if self._descriptor is not None:
            self._times += 1
            return
        with _guard:
            status = os.stat(self.folder)
            key = (status.st_dev, status.st_ino)
            if key in _held:
                raise self._in_use(str(os.getpid()))
            descriptor = self._open()
            try:
                # A record lock: gone with its process, however that ends, and not inherited.
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.read(descriptor, _LONGEST_OWNER).decode(errors="replace").strip()
                os.close(descriptor)
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise FileFailure(
                        f"{self.folder} cannot be locked ({error.strerror}): use a folder on a "
                        "local disk"
                    ) from error
                raise self._in_use(owner or "unknown") from error
            _held.add(key)
        self._descriptor, self._key, self._times = descriptor, key, 1
        with suppress(OSError):  # a full disk; the number is only for the sentence of `_in_use`
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the lock up, if it has been released as often as acquired."""
        self._times -= 1
        if self._descriptor is not None and self._times <= 0:
            with _guard:
                _held.discard(self._key)
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        """Open the lock's file, which in a folder from elsewhere may be a link to any other."""
        path = self.folder / NAME
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise self._strange(path) from error
            raise FileFailure(
                f"{self.folder} cannot be written ({error.strerror}): allow writing there, or name "
                "another folder"
            ) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(descriptor)
            raise self._strange(path)
        return descriptor

    def _in_use(self, owner: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder} is in use by another run (process {owner}): stop that one, or choose "
            "another folder"
        )

    @staticmethod
    def _strange(path: Path) -> FileFailure:
        return FileFailure(
            f"{path} cannot be opened as a plain file of its own: remove it, or name another folder"
        )
