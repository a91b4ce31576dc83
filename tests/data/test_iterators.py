"""MXNet's own data iterators: each example is counted once, or the iterator is refused."""

from __future__ import annotations

import io

import gluonbook as gb
from gluonbook.data.batches import BatchError, split_batches
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
from PIL import Image
import pytest

#: MXNet's PrefetchingIter starts its threads in an older way.
pytestmark = pytest.mark.filterwarnings("ignore:setDaemon")

#: No multiple of the batch size, as most data sets' sizes.
NUMBER, BATCH_SIZE = 23, 5


def numbered(last_batch_handle):
    """Examples that are their own numbers."""
    return mx.io.NDArrayIter(
        np.arange(NUMBER, dtype=np.float32)[:, None],
        np.arange(NUMBER) % 3,
        BATCH_SIZE,
        last_batch_handle=last_batch_handle,
    )


def records(folder):
    """A record file of 23 images, each of its number's gray level; the path without ending."""
    prefix = str(folder / "images")
    file = mx.recordio.MXIndexedRecordIO(f"{prefix}.idx", f"{prefix}.rec", "w")
    for i in range(NUMBER):
        header = mx.recordio.IRHeader(0, float(i % 3), i, 0)
        image = io.BytesIO()
        Image.new("RGB", (8, 8), (10 * i,) * 3).save(image, "PNG")
        file.write_idx(i, mx.recordio.pack(header, image.getvalue()))
    file.close()
    return prefix


def image_iter(folder, last_batch_handle):
    prefix = records(folder)
    return mx.image.ImageIter(
        BATCH_SIZE,
        (3, 8, 8),
        path_imgrec=f"{prefix}.rec",
        path_imgidx=f"{prefix}.idx",
        aug_list=[],
        last_batch_handle=last_batch_handle,
    )


def numbers_of(data_iter, scale=1):
    """The numbers of the examples in one epoch, in order."""
    return [
        round(value / scale)
        for [(X, _)] in split_batches(data_iter, [mx.cpu()])
        for value in X.asnumpy().reshape(len(X), -1)[:, 0]
    ]


@pytest.mark.parametrize(
    "wrap",
    [lambda data: data, mx.io.PrefetchingIter, lambda data: mx.io.ResizeIter(data, 5)],
    ids=["itself", "PrefetchingIter", "ResizeIter"],
)
def test_padding_is_left_out(wrap):
    data = wrap(numbered("pad"))
    for _ in range(2):
        assert numbers_of(data) == list(range(NUMBER))


@pytest.mark.parametrize("wrap", [lambda data: data, mx.io.PrefetchingIter])
def test_what_is_left_over_is_counted_in_the_next_epoch(wrap):
    data = wrap(numbered("roll_over"))
    epochs = [numbers_of(data) for _ in range(3)]
    assert sum(epochs, []) == [i % NUMBER for i in range(sum(map(len, epochs)))]
    assert [len(epoch) for epoch in epochs] == [20, 25, 20]


@pytest.mark.parametrize("last_batch_handle", ["pad", "roll_over"])
def test_images_of_an_image_iter_are_counted_once(last_batch_handle, tmp_path):
    data = image_iter(tmp_path, last_batch_handle)
    seen = [number for _ in range(3) for number in numbers_of(data, scale=10)]
    assert seen == [i % NUMBER for i in range(len(seen))]
    assert len(seen) >= 2 * NUMBER


@pytest.fixture(params=["ImageRecordIter", "CSVIter", "in a PrefetchingIter"])
def file_iterator(request, tmp_path):
    if request.param == "CSVIter":
        np.savetxt(tmp_path / "x.csv", np.zeros((NUMBER, 4)), delimiter=",")
        return mx.io.CSVIter(
            data_csv=str(tmp_path / "x.csv"), data_shape=(4,), batch_size=BATCH_SIZE
        )
    data = mx.io.ImageRecordIter(
        path_imgrec=records(tmp_path) + ".rec",
        data_shape=(3, 8, 8),
        batch_size=BATCH_SIZE,
        preprocess_threads=1,
    )
    return data if request.param == "ImageRecordIter" else mx.io.PrefetchingIter(data)


def test_an_iterator_that_hides_its_padding_is_refused(file_iterator):
    net = gluon.nn.Dense(3)
    net.initialize()
    with pytest.raises(BatchError, match="ImageRecordDataset"):
        gb.evaluate_accuracy(file_iterator, net)


def test_an_accuracy_of_other_examples_each_time_is_refused():
    net = gluon.nn.Dense(3)
    net.initialize()
    numbers = gluon.data.ArrayDataset(nd.arange(NUMBER)[:, None], nd.arange(NUMBER) % 3)
    loader = gluon.data.DataLoader(numbers, BATCH_SIZE, last_batch="rollover")
    for data in (numbered("roll_over"), mx.io.ResizeIter(numbered("roll_over"), 4), loader):
        with pytest.raises(BatchError, match="for the next"):
            gb.evaluate_accuracy(data, net)


def test_what_the_sentence_advises_counts_each_image_once(tmp_path):
    """A net that always answers 0, and 8 of 23 labels are 0."""

    class Zero(gluon.Block):
        def forward(self, X):
            return nd.one_hot(nd.zeros(len(X)), 3)

    data = gluon.data.vision.ImageRecordDataset(records(tmp_path) + ".rec")
    loader = gluon.data.DataLoader(data, BATCH_SIZE)
    for _ in range(2):
        assert gb.evaluate_accuracy(loader, Zero()) == 8 / 23
