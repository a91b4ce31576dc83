"""The list of a folder's SHA-256 digests, by which a damaged file in it is found.

The list is a file in the form that ``sha256sum -c SHA256SUMS`` checks. Its first line says that it
is ours: other people's lists of that name are left alone.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
import errno
import fcntl
import hashlib
import os
from pathlib import Path
import re
import time
from typing import Iterator, Mapping

#: The list's name, in the folder that it is of.
NAME = "SHA256SUMS"
#: Whoever changes the list locks this file beside it. A lock on the folder may be a user's.
LOCK = ".SHA256SUMS.lock"
#: Seconds. A file and its line are written in less.
_LONGEST_WAIT = 10.0
_TITLE = "# gluonbook keeps this list up to date; sha256sum -c SHA256SUMS checks the files"
_OURS = "# gluonbook "
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def is_ours(text: str) -> bool:
    """Whether this package keeps the list."""
    return text.startswith(_OURS)


def parse(text: str) -> dict[str, str]:
    """The digests by the names of their files, from the lines that are whole."""
    lines = map(_LINE.fullmatch, text.splitlines())
    return {line[2]: line[1] for line in lines if line is not None}


def is_whole(text: str) -> bool:
    """Whether the lines under the first are such as `formatted` writes."""
    return text.splitlines()[1:] == formatted(parse(text)).splitlines()[1:]


def formatted(listed: Mapping[str, str]) -> str:
    """The list as text."""
    lines = [f"{listed[name]}  {name}" for name in sorted(listed)]
    return "\n".join([_TITLE, *lines]) + "\n"


def of_file(path: Path) -> str:
    """The digest of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Keep a file and its line in the list together: no other process changes them in the block.

    Raises
    ------
    OSError
        If another process does not let go of the lock for some seconds.
    """
    with ExitStack() as stack:
        is_free = True
        with suppress(OSError):  # a network disk may know no such lock
            # A link of that name, in a folder from elsewhere, is not followed, nor a pipe awaited.
            flags = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(folder / LOCK, flags, 0o666)
            stack.callback(os.close, descriptor)
            is_free = _lock(descriptor)
            # Closing alone would not unlock it where a process has been forked meanwhile.
            stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)
        if not is_free:
            raise OSError(errno.EBUSY, f"another process has locked {folder / LOCK}; stop that one")
        yield


def _lock(descriptor: int) -> bool:
    """Lock an open file; False if another process keeps it locked."""
    deadline = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
