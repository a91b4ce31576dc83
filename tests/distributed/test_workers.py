"""What several workers are refused."""

from __future__ import annotations

from types import SimpleNamespace

from gluonbook.cli import Chapter, chapter
from gluonbook.data.batches import BatchError
from gluonbook.distributed.workers import Workers
from gluonbook.system.errors import Failure
from mxnet import gluon
import pytest


class Three(Workers):
    """The first of three workers, whose others are not there."""

    def __init__(self):
        super().__init__(0, 3, kvstore=object())

    def from_first(self, content=b""):
        return content


def test_a_chapter_refuses_workers_that_do_not_divide_its_batch(monkeypatch):
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    monkeypatch.setattr(chapter, "workers", Three)
    with pytest.raises(BatchError, match="3 workers cannot share a batch of 256 evenly"):
        Chapter("lenet", []).choose(0.9, 5, 256, 28)
    assert Chapter("lenet", ["--batch-size", "96"]).choose(0.9, 5, 256, 28)[2] == 96


def test_a_training_that_would_not_be_common_is_refused():
    net = gluon.nn.Dense(1, in_units=1)
    net.initialize()
    data = SimpleNamespace(part=(0, 3))

    def trainer(**more):
        return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1}, **more)

    workers = Three()
    workers.check(trainer(kvstore=workers.kvstore), data)
    for alone in (trainer(), trainer(kvstore=workers.kvstore, update_on_kvstore=True)):
        with pytest.raises(Failure, match="its trainer works alone: give gluon.Trainer"):
            workers.check(alone, data)
    for whole in (SimpleNamespace(part=(0, 1)), SimpleNamespace(part=(1, 3)), [1]):
        with pytest.raises(Failure, match="its data is not divided among them"):
            workers.check(trainer(kvstore=workers.kvstore), whole)
