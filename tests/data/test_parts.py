"""Each batch divided among several processes."""

from __future__ import annotations

from gluonbook.data.batches import BatchError
from gluonbook.data.image_batches import ImageBatches
from hypothesis import given, settings
from hypothesis import strategies as st
import mxnet as mx
import numpy as np
import pytest


def batches(number, batch_size, shuffle=True, augment=False, part=(0, 1)):
    """Images of four pixels, labelled by their number."""
    images = np.arange(4 * number).astype(np.uint8).reshape(-1, 1, 2, 2)
    labels = np.arange(number, dtype=np.int32)
    return ImageBatches(
        images, labels, batch_size, shuffle=shuffle, augment=augment, seed=5, part=part
    )


def epochs(loader):
    """The batches of two epochs as arrays, by epoch and number."""
    return {
        (epoch, number): (X.asnumpy(), y.asnumpy())
        for epoch in range(2)
        for number, [(X, y)] in enumerate(loader.split_batches([mx.cpu()], epoch=epoch))
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 40), st.booleans(), st.booleans())
def test_the_parts_of_a_batch_are_the_batch(workers, share, more, shuffle, augment):
    batch_size = workers * share
    number = batch_size + more
    if shuffle and 0 < number % batch_size < workers:
        number -= number % batch_size
    whole = epochs(batches(number, batch_size, shuffle, augment))
    parts = [
        epochs(batches(number, batch_size, shuffle, augment, (rank, workers)))
        for rank in range(workers)
    ]
    for place, (X, y) in whole.items():
        there = [part[place] for part in parts if place in part]
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in there]), y)
        np.testing.assert_array_equal(np.concatenate([images for images, _ in there]), X)
        sizes = [len(labels) for _, labels in there]
        assert max(sizes) - min(sizes) <= 1
    seen = np.concatenate([y for part in parts for (epoch, _), (_, y) in part.items() if epoch])
    np.testing.assert_array_equal(np.sort(seen), np.arange(number))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(BatchError, match="3 workers cannot share a batch of 64 evenly"):
        batches(640, 64, part=(0, 3))
    with pytest.raises(BatchError, match="the last batch of an epoch has 1 images for 2 workers"):
        batches(65, 64, part=(0, 2))
    batches(65, 64, part=(0, 2), shuffle=False)
