"""Where the data set is looked for."""

from __future__ import annotations

import errno
import gzip
import os
import pwd

import gluonbook as gb
from gluonbook import doctor
from gluonbook.data import fashion_mnist as fm
from gluonbook.data import folders
from gluonbook.data.published_files import DatasetError
import mxnet as mx
from mxnet.gluon import data as gdata
import pytest


def test_uncompressed_files_and_torchvisions_folder(real_files, nowhere):
    raw = real_files / "root" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in real_files.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert fm.fashion_mnist(real_files / "root").folder == raw


def test_places_are_searched_in_order(real_files, nowhere, tmp_path):
    nowhere.parent.mkdir(parents=True)
    real_files.rename(nowhere)
    assert fm.fashion_mnist().folder == nowhere
    assert fm.fashion_mnist(tmp_path / "elsewhere").folder == nowhere
    nowhere.rename(tmp_path / "system")
    assert fm.fashion_mnist().folder == tmp_path / "system"


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "root").write_text("mine")
    with pytest.raises(DatasetError, match="root must be a folder, and .*root is a file"):
        gb.load_data_fashion_mnist(256, root=tmp_path / "root")
    assert (tmp_path / "root").read_text() == "mine"


def test_a_root_in_the_home_of_nobody_is_named():
    with pytest.raises(DatasetError, match="~nouser/x cannot be found.* no home folder ~nouser"):
        fm.fashion_mnist("~nouser/x")


def test_a_root_too_long_for_a_path_is_told(nowhere):
    with pytest.raises(DatasetError, match=r"cannot be downloaded into .*File name too long"):
        fm.fashion_mnist("x" * 5000)


@pytest.fixture
def homeless(nowhere, monkeypatch):
    """As for a user without a name in a container: no HOME, and no entry in the list of users."""

    def getpwuid(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("MXNET_HOME")


def test_without_a_home_the_systems_folder_is_found(homeless, real_files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "SYSTEM_FOLDER", real_files)
    assert fm.fashion_mnist().folder == real_files
    assert fm.fashion_mnist(tmp_path / "elsewhere").folder == real_files
    theirs = gdata.vision.FashionMNIST(root=os.path.join(mx.base.data_dir(), "x"), train=False)
    assert len(theirs) == 10_000
    [found] = doctor._data_set()
    assert found.found.startswith(str(real_files)) and found.problem is None


def test_without_a_home_nothing_is_downloaded_into_a_folder_named_so(
    homeless, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    told = r"no home folder .*: set MXNET_HOME .* with --data \(root= from Python\)"
    with pytest.raises(DatasetError, match=told):
        fm.fashion_mnist()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_searched_hides_no_other(nowhere, real_files, monkeypatch):
    stat = os.stat

    def refuse(path, *args, **kwargs):
        if str(path).startswith(str(nowhere)):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(folders, "SYSTEM_FOLDER", real_files)
    monkeypatch.setattr(os, "stat", refuse)
    assert fm.fashion_mnist().folder == real_files
