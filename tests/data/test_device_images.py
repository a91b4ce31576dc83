"""Images in a device's own memory, which a second context of the CPU stands in for."""

from __future__ import annotations

from gluonbook.data import device_images, image_batches
from gluonbook.data.device_images import DeviceImages, kept_on
from gluonbook.data.image_batches import ImageBatches
import mxnet as mx
import numpy as np
import pytest

CTXS = [mx.cpu(0), mx.cpu(1)]


@pytest.fixture
def images():
    return np.random.RandomState(1).randint(256, size=(50, 1, 6, 6)).astype(np.uint8)


def test_batches_of_kept_images_are_those_that_are_sent(images, monkeypatch):
    labels = np.arange(50, dtype=np.int32)

    def batches():
        loader = ImageBatches(images, labels, 16, size=9, shuffle=True, seed=3)
        return [batch for epoch in range(2) for batch in loader.split_batches(CTXS, epoch=epoch)]

    sent, taken = batches(), []

    class Counted(DeviceImages):
        def take(self, indices):
            taken.append(len(indices))
            return super().take(indices)

    monkeypatch.setattr(image_batches, "kept_on", lambda ctx, images: Counted(images, ctx))
    kept = batches()
    assert sum(taken) == 100  # each image once in each of two epochs
    assert len(kept) == len(sent) == 8
    for parts, expected in zip(kept, sent):
        for (X, y), (their_X, their_y), ctx in zip(parts, expected, CTXS):
            assert X.context == y.context == ctx and X.dtype == np.float32
            np.testing.assert_array_equal(X.asnumpy(), their_X.asnumpy())
            np.testing.assert_array_equal(y.asnumpy(), their_y.asnumpy())


def test_flipped_and_shifted_images_are_sent(images, monkeypatch):
    """Their pixels are others in each epoch."""
    monkeypatch.setattr(image_batches, "kept_on", lambda ctx, images: pytest.fail("kept"))
    loader = ImageBatches(images, np.arange(50, dtype=np.int32), 16, augment=True, seed=3)
    assert sum(len(y) for [(_, y)] in loader.split_batches(CTXS[:1])) == 50


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with so many bytes free, on which arrays are the CPU's."""

    def with_free(free, kind=DeviceImages):
        monkeypatch.setattr(mx.context, "gpu_memory_info", lambda device_id: (free, 2 * free))
        monkeypatch.setattr(
            device_images, "DeviceImages", lambda images, ctx: kind(images, CTXS[1])
        )
        return mx.gpu(0)

    return with_free


def test_a_gpu_keeps_what_it_has_room_for(images, gpu):
    assert isinstance(kept_on(gpu(4 * images.nbytes), images), DeviceImages)
    assert kept_on(gpu(4 * images.nbytes - 1), images) is None
    assert kept_on(mx.cpu(0), images) is None


class Changed(DeviceImages):
    def take(self, indices):
        return super().take(indices) + 1


class Refused(DeviceImages):
    def take(self, indices):
        raise mx.base.MXNetError("no kernel image\nis there")


@pytest.mark.parametrize("kind", [Changed, Refused])
def test_where_keeping_does_not_work_images_are_sent(kind, images, gpu):
    assert kept_on(gpu(2**30, kind), images) is None


@pytest.mark.parametrize("without_code", [True, False])
def test_a_batch_that_is_sent_is_scaled_where_it_is(without_code, monkeypatch):
    """A GPU that MXNet has code for gathers nothing: the images are in order."""
    pixels = np.arange(2 * 9, dtype=np.uint8).reshape(2, 1, 3, 3)
    taken = []
    monkeypatch.setattr(device_images, "lacks_code", lambda ctx: without_code)
    monkeypatch.setattr(DeviceImages, "take", lambda self, indices: taken.append(list(indices)))
    found = DeviceImages(pixels, mx.cpu()).all()
    if without_code:
        assert taken == [[0, 1]]
    else:
        assert taken == []
        np.testing.assert_array_equal(found.asnumpy(), pixels / np.float32(255))
