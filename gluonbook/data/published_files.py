"""The four published files of Fashion-MNIST in the releases that are known: read and verified.

The IDX format is that of MNIST.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
import zlib

from ..system import files
from ..system.errors import Failure

DEBIAN_PACKAGE = "dataset-fashion-mnist"

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

#: Size in bytes of each IDX file, uncompressed: a header of 16 or 8 bytes, then the values.
SIZES = {
    TRAIN_IMAGES: 16 + 60_000 * 28 * 28,
    TRAIN_LABELS: 8 + 60_000,
    TEST_IMAGES: 16 + 10_000 * 28 * 28,
    TEST_LABELS: 8 + 10_000,
}
NEWER, EARLIER = "2017-08-31", "2017-08-26"
#: SHA-256 of the uncompressed content: the release of the data set's own site and of Debian.
CONTENTS = {
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888": (NEWER, TRAIN_IMAGES),
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": (NEWER, TRAIN_LABELS),
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b": (NEWER, TEST_IMAGES),
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": (NEWER, TEST_LABELS),
}
#: SHA-1 of the compressed file: the release that MXNet distributes, known by nothing else.
ARCHIVES = {
    "0cf37b0d40ed5169c6b3aba31069a9770ac9043d": (EARLIER, TRAIN_IMAGES),
    "236021d52f1e40852b06a4c3008d8de8aef1e40b": (EARLIER, TRAIN_LABELS),
    "626ed6a7c06dd17c0eec72fa3be1740f146a2863": (EARLIER, TEST_IMAGES),
    "17f9ab60e7257a1620f4ad76bbbaf857c3920701": (EARLIER, TEST_LABELS),
}
_FIX = "move it away, so that a good copy is found or downloaded"


class DatasetError(Failure, OSError):
    """The data set is missing, damaged or unreadable."""


def read_file(folder: Path, name: str) -> tuple[bytes, str]:
    """The uncompressed content of the IDX file `name` in `folder`, and its release.

    Takes ``name.gz`` or ``name``. Reads no more than the real file holds.

    Raises
    ------
    DatasetError
        If the file is missing or unreadable, or is not, byte for byte, that file of a known
        release; the sentence names the file, what was expected and what was found.
    """
    path = find_file(folder, name)
    if path is None:
        raise DatasetError(
            f"{folder / name}.gz is missing: put it there, or install the Debian or Ubuntu package "
            f"{DEBIAN_PACKAGE}"
        )
    raw = _read(path, SIZES[name])
    if path.suffix == ".gz":
        known = ARCHIVES.get(hashlib.sha1(raw).hexdigest())
        content = _decompress(path, raw, SIZES[name])
    else:
        known, content = None, raw
    digest = hashlib.sha256(content).hexdigest()
    release, found = known or CONTENTS.get(digest) or (None, None)
    if release is None:
        what = f"{len(content):,} bytes" if len(content) != SIZES[name] else f"SHA-256 {digest}"
        raise DatasetError(
            f"{path} is damaged or not Fashion-MNIST: expected the {SIZES[name]:,} bytes of "
            f"{name} as published, found {what}; {_FIX}"
        )
    if found != name:
        raise DatasetError(
            f"{path} has the wrong content: expected {name}, found {found}; "
            "give the files their own names again"
        )
    return content, release


def find_file(folder: Path, name: str) -> Path | None:
    """``name.gz`` or ``name`` in `folder`, or None."""
    # Not Path.exists, which raises where the folder may not be searched: another may hold the file.
    paths = (folder / f"{name}.gz", folder / name)
    return next((path for path in paths if os.path.exists(path)), None)


def stamps(folder: Path) -> tuple[object, ...]:
    """Of each file that is there, what differs once it has been changed or replaced."""
    paths = filter(None, (find_file(folder, name) for name in SIZES))
    statuses = ((path, os.stat(path)) for path in paths)
    return tuple((path, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in statuses)


def _read(path: Path, limit: int) -> bytes:
    try:
        return files.read(path, limit)
    except files.FileFailure as error:
        raise DatasetError(f"{error}; {_FIX}") from error


def _decompress(path: Path, raw: bytes, size: int) -> bytes:
    gzip_member = zlib.decompressobj(wbits=31)
    try:
        content = gzip_member.decompress(raw, size + 1)
    except zlib.error as error:
        raise DatasetError(
            f"{path} is damaged: expected gzip data, found otherwise ({error}); {_FIX}"
        ) from error
    if len(content) == size and not gzip_member.eof:
        content += gzip_member.decompress(gzip_member.unconsumed_tail, 1)
    if len(content) <= size and not gzip_member.eof:
        raise DatasetError(
            f"{path} is truncated: expected {size:,} bytes, found {len(content):,}; {_FIX}"
        )
    return content
