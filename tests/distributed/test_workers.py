"""What several workers are refused."""

from __future__ import annotations

import math
import sys
import threading
from types import SimpleNamespace

import gluonbook as gb
from gluonbook import book
from gluonbook.cli import arguments
from gluonbook.data.batches import BatchError
from gluonbook.distributed.workers import Workers
from gluonbook.system import mxnet_private
from gluonbook.system.errors import Failure
import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import pytest


class Three(Workers):
    """The first of three workers, whose others are not there."""

    def __init__(self):
        super().__init__(0, 3, kvstore=object())

    def from_first(self, content=b""):
        return content


def test_a_chapter_refuses_workers_that_do_not_divide_its_batch(monkeypatch):
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    monkeypatch.setattr(sys.modules["gluonbook.cli.arguments"], "workers", Three)
    stated = {"lr": 0.9, "num_epochs": 5, "batch_size": 256, "size": 28}
    with pytest.raises(BatchError, match="3 workers cannot share a batch of 256 evenly"):
        arguments("lenet", **stated, argv=[])
    assert arguments("lenet", **stated, argv=["--batch-size", "96"]).batch_size == 96


def test_a_training_that_would_not_be_common_is_refused():
    net = gluon.nn.Dense(1, in_units=1)
    net.initialize()
    data = SimpleNamespace(part=(0, 3))

    def trainer(**more):
        return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1}, **more)

    workers = Three()
    given, found = trainer(kvstore=workers.kvstore), trainer()
    for own in (given, found):
        workers.join(own, data)
        assert mxnet_private.adds_up_in(own, workers.kvstore)
    for alone in (
        trainer(kvstore=None),
        trainer(kvstore=workers.kvstore, update_on_kvstore=True),
        used(trainer()),
    ):
        with pytest.raises(Failure, match="its trainer works alone: give gluon.Trainer"):
            workers.join(alone, data)
    for whole in (SimpleNamespace(part=(0, 1)), SimpleNamespace(part=(1, 3)), [1]):
        with pytest.raises(Failure, match="its data is not divided among them"):
            workers.join(trainer(), whole)


def used(trainer):
    """A trainer that has made a step, and so has chosen its store."""
    with autograd.record():
        [parameter] = trainer._params[:1]
        loss = parameter.data().sum()
    loss.backward()
    trainer.step(1, ignore_stale_grad=True)
    return trainer


class Store:
    """Adds up in float32, as a server does for whoever comes first, what threads give it."""

    def __init__(self, count):
        self._entries, self._all_are_here = {}, threading.Barrier(count)
        self._one_at_a_time = threading.Lock()

    def init(self, key, value):
        with self._one_at_a_time:
            self._entries.setdefault(key, np.zeros(value.shape, np.float32))

    def pushpull(self, key, array):
        self._all_are_here.wait()
        with self._one_at_a_time:
            self._entries[key] += array.asnumpy()
        self._all_are_here.wait()
        array[:] = nd.array(self._entries[key], dtype=array.dtype)


def test_sums_are_those_of_float64_in_the_order_of_the_workers():
    values = [[0.1, 1e20, 5], [1e-12, 1.0, 2**40 + 1], [0.7, -1e20, 3]]
    store, found = Store(3), {}

    def work(rank):
        found[rank] = Workers(rank, 3, store).sum(values[rank])

    threads = [threading.Thread(target=work, args=[rank]) for rank in (2, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [(0.1 + 1e-12) + 0.7, (1e20 + 1.0) - 1e20, 2**40 + 9]
    assert [found[rank] for rank in range(3)] == [expected] * 3


def test_the_closing_sentence_has_the_loss_of_all_workers(monkeypatch, caplog):
    """This worker's is ln 3 and the other's 0.1 more, in batches of as many images."""

    class WithAnother(Three):
        def join(self, trainer, train_iter):
            pass

        def share_parameters(self, trainer):
            pass

        def sum(self, values):
            loss, examples, *others = values
            return [2 * loss + 0.1 * examples, 2 * examples, *others]

    monkeypatch.setattr(book, "workers", WithAnother)
    net = gluon.nn.Dense(3, in_units=2)
    net.initialize(mx.init.Zero())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-9})
    batches = [(nd.ones((3, 2)), nd.array([0, 1, 2]))] * 4
    gb.train_ch5(net, batches, batches, 3, trainer, mx.cpu(), 1)
    assert f"the loss at the end is {math.log(3) + 0.05:.3f}, that of guessing" in caplog.text

    caplog.clear()
    monkeypatch.setattr(WithAnother, "is_first", False)
    monkeypatch.setattr(WithAnother, "share_statistics", lambda self, net: None)
    gb.train_ch5(net, batches, batches, 3, trainer, mx.cpu(), 1)
    assert caplog.text == ""
