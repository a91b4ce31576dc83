"""Batches of images in memory: every image once, with its pixels and its label."""

from __future__ import annotations

from gluonbook.data import image_batches
from gluonbook.data.image_batches import ImageBatches
import mxnet as mx
import numpy as np
import pytest


def test_every_byte_scales_to_the_quotient_of_255():
    images = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    [(X, _)] = ImageBatches(images, np.zeros(256, np.int32), 256)
    expected = mx.nd.image.to_tensor(mx.nd.array(images.reshape(1, 256, 1, 1), dtype="uint8"))
    np.testing.assert_array_equal(X.asnumpy().ravel(), expected.asnumpy().ravel())


def test_batches_of_short_memory_have_the_same_pixels(dataset, monkeypatch):
    def one_epoch():
        batches = ImageBatches(
            dataset.test.images[:100], dataset.test.labels[:100], 32, size=50, shuffle=True, seed=3
        )
        return [X.asnumpy() for X, _ in batches]

    roomy = one_epoch()
    monkeypatch.setattr(image_batches, "available_memory", lambda: 2 * 100 * 50**2 - 1)
    monkeypatch.setattr(image_batches, "resize", _counting(image_batches.resize, calls := []))
    short = one_epoch()
    assert len(calls) == 4  # one for each batch
    for a, b in zip(roomy, short):
        np.testing.assert_array_equal(a, b)


def _counting(function, calls):
    def counted(*args):
        calls.append(args)
        return function(*args)

    return counted


@pytest.fixture
def numbered():
    """A data set whose pixel and label tell which image it is."""
    numbers = np.arange(10)
    images = numbers.astype(np.uint8).reshape(10, 1, 1, 1)
    return images, numbers.astype(np.int32)


def test_an_epoch_has_every_image_once_with_its_label(numbered):
    batches = ImageBatches(*numbered, batch_size=4, shuffle=True, seed=0)
    assert len(batches) == 3
    for _ in range(3):
        X, y = zip(*batches)
        assert [len(part) for part in y] == [4, 4, 2]
        labels = np.concatenate([part.asnumpy() for part in y])
        pixels = np.concatenate([part.asnumpy() for part in X]).ravel() * 255
        assert sorted(labels) == list(range(10))
        np.testing.assert_allclose(pixels, labels, rtol=1e-6)


def test_shuffling_differs_by_epoch_and_follows_the_seed(numbered):
    def epochs(seed=None):
        batches = ImageBatches(*numbered, batch_size=10, shuffle=True, seed=seed)
        return [tuple(y.asnumpy()) for _ in range(4) for _, y in batches]

    assert len(set(epochs(1))) == 4
    assert epochs(1) == epochs(1) != epochs(2)
    np.random.seed(5)
    drawn = epochs()
    np.random.seed(5)
    assert epochs() == drawn


def test_test_batches_keep_their_order(numbered):
    batches = ImageBatches(*numbered, batch_size=3)
    for _ in range(2):
        assert [int(v) for _, y in batches for v in y.asnumpy()] == list(range(10))


def test_a_batch_is_split_over_devices(numbered):
    batches = ImageBatches(*numbered, batch_size=9)
    parts = list(batches.split_batches([mx.cpu(0), mx.cpu(1)]))
    assert [[(len(y), y.context) for _, y in batch] for batch in parts] == [
        [(5, mx.cpu(0)), (4, mx.cpu(1))],
        [(1, mx.cpu(0))],  # fewer images than devices
    ]
