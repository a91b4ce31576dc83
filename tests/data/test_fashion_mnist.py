"""The data set as arrays and in batches: the pixels of the book's transform."""

from __future__ import annotations

import gzip
import math
import os
import struct

import gluonbook as gb
from gluonbook.data import fashion_mnist as fm
from gluonbook.data import published_files
from gluonbook.data.published_files import DatasetError
from mxnet.gluon import data as gdata
import numpy as np
import pytest

from .conftest import as_earlier_release, flip_a_bit, rewrite


@pytest.mark.parametrize("size", [None, 96, 224])
def test_pixels_and_labels_are_those_of_the_books_transform(dataset, size):
    transforms = gdata.vision.transforms
    steps = [transforms.Resize(size)] if size else []
    book = gdata.DataLoader(
        gdata.vision.FashionMNIST(root=str(dataset.folder), train=False)
        .take(100)
        .transform_first(transforms.Compose([*steps, transforms.ToTensor()])),
        batch_size=64,
    )
    _, test_iter = gb.load_data_fashion_mnist(64, size, dataset.folder, limit=64, limit_test=128)
    for (X, y), (their_X, their_y) in zip(test_iter, book):
        n = len(their_y)
        assert X.dtype == their_X.dtype == np.float32 and y.dtype == their_y.dtype == np.int32
        np.testing.assert_array_equal(X[:n].asnumpy(), their_X.asnumpy())
        np.testing.assert_array_equal(y[:n].asnumpy(), their_y.asnumpy())


@pytest.mark.parametrize("size", [None, 40])
def test_batches_know_their_images_as_they_stand_in_the_files(dataset, size):
    train_iter, test_iter = gb.load_data_fashion_mnist(
        16, size, dataset.folder, limit=50, limit_test=30, hold_out=100, seed=1
    )
    images, labels = (
        gzip.decompress(published_files.find_file(dataset.folder, name).read_bytes())
        for name in (published_files.TRAIN_IMAGES, published_files.TRAIN_LABELS)
    )
    for loader, first, count in ((train_iter, 0, 50), (test_iter, 60_000 - 100, 30)):
        assert loader.images.shape == (count, 1, 28, 28) and loader.images.dtype == np.uint8
        assert loader.images.tobytes() == images[16 + 784 * first :][: 784 * count]
        assert loader.labels.dtype == np.int32
        assert loader.labels.tolist() == list(labels[8 + first :][:count])
        assert (loader.release, loader.folder) == ("2017-08-31", dataset.folder)
        whole = fm.fashion_mnist(dataset.folder).train
        assert np.shares_memory(loader.images, whole.images)  # no second copy
        assert next(iter(loader))[0].shape == (16, 1, size or 28, size or 28)


def test_held_out_images_are_the_last_of_the_training_set(dataset):
    train_iter, test_iter = gb.load_data_fashion_mnist(
        64, root=dataset.folder, limit=59_990, hold_out=100
    )
    whole, _ = gb.load_data_fashion_mnist(64, root=dataset.folder)
    assert len(train_iter) == math.ceil(59_900 / 64) < len(whole)
    held_out = np.concatenate([y.asnumpy() for _, y in test_iter])
    np.testing.assert_array_equal(held_out, dataset.train.labels[-100:])
    for number in (0, 60_000):
        with pytest.raises(ValueError, match="hold_out must be a whole number"):
            gb.load_data_fashion_mnist(64, root=dataset.folder, hold_out=number)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", None])
def test_a_wrong_batch_size_is_named(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        gb.load_data_fashion_mnist(batch_size)


def test_a_wrong_limit_is_named():
    with pytest.raises(ValueError, match="limit must be a whole number of at least 1, not 0"):
        gb.load_data_fashion_mnist(8, limit=0)


def test_call_forms_of_the_book(dataset):
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size=256)
    assert (len(train_iter), len(test_iter)) == (235, 40)  # 60,000 and 10,000 by 256, rounded up
    train_iter, _ = gb.load_data_fashion_mnist(256, root=str(dataset.folder))
    X, y = next(iter(train_iter))
    assert X.shape == (256, 1, 28, 28) and y.shape == (256,)
    _, test_iter = gb.load_data_fashion_mnist(256, None, "~/no-such-folder")
    assert not os.path.exists(os.path.expanduser("~/no-such-folder"))


def test_content_equals_an_independent_reading(dataset):
    path = published_files.find_file(dataset.folder, published_files.TEST_IMAGES)
    raw = gzip.decompress(path.read_bytes())
    assert struct.unpack(">IIII", raw[:16]) == (2051, 10_000, 28, 28)
    assert dataset.test.images.tobytes() == raw[16:]
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    assert dataset.release == "2017-08-31"


def test_mixed_releases_are_refused(real_files, monkeypatch):
    as_earlier_release(real_files, monkeypatch, published_files.TRAIN_LABELS)
    with pytest.raises(DatasetError, match="mixes two releases.*train-labels.* of 2017-08-26"):
        fm.read_folder(real_files)


def test_files_that_have_not_changed_are_read_once(real_files):
    images, labels = fm.fashion_mnist(real_files).train
    again = fm.fashion_mnist(real_files)
    assert again.train.images is images and again.train.labels is labels
    for array in (*again.train, *again.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    rewrite(path := real_files / f"{published_files.TRAIN_IMAGES}.gz", flip_a_bit)
    with pytest.raises(DatasetError, match=path.name):
        fm.fashion_mnist(real_files)
