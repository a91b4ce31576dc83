"""The list of a folder's SHA-256 digests, by which a damaged file in it is found.

The list is a file in the form that ``sha256sum -c SHA256SUMS`` checks. Its first line says that it
is ours: other people's lists of that name are left alone.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
import fcntl
import hashlib
import os
from pathlib import Path
import re
from typing import Iterator, Mapping

#: The list's name, in the folder that it is of.
NAME = "SHA256SUMS"
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
def together(folder: Path, *, changing: bool) -> Iterator[None]:
    """Keep a file and its line in the list together: no other process changes one in the block.

    Several may read at a time, with `changing` False; one may change.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a network disk may know no such lock
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX if changing else fcntl.LOCK_SH)
            # Closing alone would not unlock it where a process has been forked meanwhile.
            stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)
        yield
