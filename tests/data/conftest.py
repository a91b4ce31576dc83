"""What the tests of the data set share: files changed as a test wants them."""

from __future__ import annotations

import gzip
import hashlib

from gluonbook.data import published_files


def rewrite(path, change):
    """Apply `change` to a file's uncompressed bytes."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(bytes(content), compresslevel=1))


def flip_a_bit(content):
    content[-1000] ^= 4


def as_earlier_release(folder, monkeypatch, *names):
    """Make the files stand for the release that is known by its archives alone."""
    archives = {}
    for name in names:
        path = folder / f"{name}.gz"
        rewrite(path, flip_a_bit)
        archives[hashlib.sha1(path.read_bytes()).hexdigest()] = (published_files.EARLIER, name)
    monkeypatch.setattr(published_files, "ARCHIVES", archives)
