"""The published files: no damaged file goes unnoticed, and none is changed."""

from __future__ import annotations

import errno
import gzip
import hashlib

import gluonbook as gb
from gluonbook.data import fashion_mnist as fm
from gluonbook.data import published_files
from gluonbook.data.published_files import DatasetError
from mxnet.gluon import data as gdata
import pytest

from .conftest import as_earlier_release, flip_a_bit, rewrite


def flip_a_bit_of_the_header(content):
    content[7] ^= 1


def lengthen(content):
    content.append(0)


DAMAGES = {
    "missing file": lambda f: f.unlink(),
    "empty": lambda f: f.write_bytes(b""),
    "truncated archive": lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]),
    "truncated by its checksum": lambda f: f.write_bytes(f.read_bytes()[:-8]),
    "flipped bit in the archive": lambda f: f.write_bytes(
        f.read_bytes()[:3000] + bytes([f.read_bytes()[3000] ^ 1]) + f.read_bytes()[3001:]
    ),
    "flipped pixel": lambda f: rewrite(f, flip_a_bit),
    "flipped header": lambda f: rewrite(f, flip_a_bit_of_the_header),
    "one byte more": lambda f: rewrite(f, lengthen),
    "not gzip": lambda f: f.write_bytes(b"<!DOCTYPE html>\n" * 300),
    "larger than any": lambda f: f.write_bytes(bytes(60_000_000)),
    "a bomb": lambda f: f.write_bytes(gzip.compress(bytes(200_000_000), compresslevel=1)),
    "a folder": lambda f: (f.unlink(), f.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [published_files.TRAIN_LABELS, published_files.TEST_IMAGES])
def test_a_damaged_file_is_named_and_kept(real_files, nowhere, damage, name):
    path = real_files / f"{name}.gz"
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DatasetError) as failure:
        if damage == "missing file":
            fm.read_folder(real_files)
        else:
            gb.load_data_fashion_mnist(256, root=real_files)
    message = str(failure.value)
    assert str(path) in message and "\n" not in message
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not nowhere.exists()  # nothing was downloaded in its stead


def test_a_damaged_file_tells_what_was_expected_and_found(real_files):
    rewrite(path := real_files / "t10k-labels-idx1-ubyte.gz", flip_a_bit)
    found = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    with pytest.raises(DatasetError, match=f"expected the 10,008 bytes of t10k.*found .*{found}"):
        fm.read_folder(real_files)


def test_swapped_files_are_told_apart(real_files):
    images, labels = (
        real_files / "t10k-labels-idx1-ubyte.gz",
        real_files / "train-labels-idx1-ubyte.gz",
    )
    a, b = images.read_bytes(), labels.read_bytes()
    images.write_bytes(b)
    labels.write_bytes(a)
    with pytest.raises(DatasetError, match="expected train-labels.*found t10k-labels"):
        fm.read_folder(real_files)


def test_the_earlier_release_is_accepted_by_its_archives(real_files, monkeypatch):
    as_earlier_release(real_files, monkeypatch, *published_files.SIZES)
    data = fm.read_folder(real_files)
    assert data.release == "2017-08-26"
    assert data.train.images.shape == (60_000, 1, 28, 28)


def test_the_archives_known_are_the_ones_mxnet_distributes(real_files):
    theirs = gdata.vision.FashionMNIST(root=str(real_files))
    assert set(published_files.ARCHIVES) == {
        theirs._train_data[1],
        theirs._train_label[1],
        theirs._test_data[1],
        theirs._test_label[1],
    }


def test_unreadable_files(real_files, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DatasetError, match="train-images.* cannot be read: Permission denied"):
        fm.read_folder(real_files)
