"""Flips and shifts, against every flip and shift that may come out."""

from __future__ import annotations

import itertools

from gluonbook.data.augmentation import flip_and_shift
from gluonbook.data.image_batches import ImageBatches
import mxnet as mx
import numpy as np
import pytest

SIZE, MOST = 28, 2  # a fourteenth of 28 pixels
CPU = (mx.cpu(),)


def shifted(images, down, right):
    """By NumPy's own padding."""
    padded = np.pad(images, ((0, 0), (0, 0), (MOST, MOST), (MOST, MOST)))
    top, left = MOST - down, MOST - right
    return padded[:, :, top : top + SIZE, left : left + SIZE]


def test_each_image_is_flipped_or_not_and_shifted_by_at_most_a_fourteenth():
    images = np.random.RandomState(0).randint(1, 256, (2000, 1, SIZE, SIZE)).astype(np.uint8)
    moved = flip_and_shift(images, np.random.RandomState(1))
    assert moved.dtype == np.uint8 and moved.shape == images.shape
    ways = itertools.product((images, images[:, :, :, ::-1]), range(-2, 3), range(-2, 3))
    equal = np.array([(moved == shifted(*way)).all(axis=(1, 2, 3)) for way in ways])
    assert equal.shape == (50, 2000) and (equal.sum(axis=0) == 1).all()
    # 40 are expected of each; the chance that one of 50 lies this far from it is below 1e-6.
    counts = equal.sum(axis=1)
    assert counts.min() > 8 and counts.max() < 80


@pytest.fixture
def data():
    images = np.random.RandomState(2).randint(0, 256, (10, 1, SIZE, SIZE)).astype(np.uint8)
    return images, np.arange(10, dtype=np.int32)


def batches(data, **options):
    return ImageBatches(*data, 4, shuffle=True, seed=3, augment=True, **options)


def epoch(train_iter, number, first=0, ctxs=CPU):
    return [
        np.concatenate([X.asnumpy() for X, _ in parts])
        for parts in train_iter.split_batches(ctxs, epoch=number, first=first)
    ]


def test_the_images_follow_from_seed_and_place(data):
    whole = epoch(batches(data), 5)
    for a, b in zip(whole[1:], epoch(batches(data), 5, first=1)):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole, epoch(batches(data), 5, ctxs=(mx.cpu(0), mx.cpu(1)))):
        np.testing.assert_array_equal(a, b)
    again = [X for X, _ in batches(data).arrays()]
    for a, b in zip(again, epoch(batches(data), 0)):
        np.testing.assert_array_equal(a, b)


def test_each_epoch_moves_an_image_otherwise(data):
    train_iter = batches(data)
    found = set()
    for number in range(8):
        for parts in train_iter.split_batches([mx.cpu()], epoch=number):
            [(X, y)] = parts
            found.add(X.asnumpy()[list(y.asnumpy()).index(0)].tobytes() if 0 in y.asnumpy() else 0)
    assert len(found - {0}) > 3


def test_a_run_with_augmentation_is_another_run(data):
    plain = ImageBatches(*data, 4, shuffle=True, seed=3)
    assert dict(batches(data).facts) == {**plain.facts, "augmentation": "flips and shifts"}
    assert all(np.isin(X * 255, np.arange(256)).all() for X, _ in batches(data).arrays())
