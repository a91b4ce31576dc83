"""MXNet's own class of the data set reads the same files."""

from __future__ import annotations

from gluonbook.data import fashion_mnist as fm
from mxnet.gluon import data as gdata
import numpy as np


def test_mxnets_own_class_reads_the_same_files(real_files, nowhere, dataset):
    before = {path.name: path.stat().st_mtime_ns for path in real_files.iterdir()}
    theirs = gdata.vision.FashionMNIST(root=str(real_files), train=False)
    image, label = theirs[7]
    np.testing.assert_array_equal(image.asnumpy()[:, :, 0], dataset.test.images[7, 0])
    assert label == dataset.test.labels[7] and len(theirs) == 10_000
    assert {path.name: path.stat().st_mtime_ns for path in real_files.iterdir()} == before


def test_what_was_read_is_not_changed_through_mxnets_class(real_files, dataset):
    theirs = gdata.vision.FashionMNIST(root=str(real_files), train=False)
    theirs._label[:] = 0
    assert fm.fashion_mnist(real_files).test.labels[:3].tolist() == dataset.test.labels[:3].tolist()
