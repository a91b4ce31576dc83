"""A run that was stopped anywhere ends with the bits of one that never was."""

from __future__ import annotations

import os
import signal

import gluonbook as gb
from gluonbook.data.image_batches import ImageBatches
from gluonbook.system.interrupts import Interrupted
import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn
import pytest

from .conftest import BATCHES, EPOCHS, assert_same, fit, images, small_net, stop_and_go_on, stopping

pytestmark = pytest.mark.usefixtures("terminal_signals")


@pytest.mark.parametrize("at", [1, 3, BATCHES, BATCHES + 1, 2 * BATCHES + 2, 3 * BATCHES])
def test_stopped_at_any_batch(at, tmp_path):
    unbroken = fit(tmp_path / "a", train_iter=stopping(images(), 0))
    assert_same(unbroken, stop_and_go_on(tmp_path / "b", images, at))


def test_the_books_loader_skips_what_is_done_without_reading_it(tmp_path, monkeypatch):
    unbroken = fit(tmp_path / "a", train_iter=images())
    real, read = ImageBatches._pixels, []

    def stop_at_the_eighth(self, indices):
        if self.shuffle:
            read.append(indices)
            if len(read) == 8:
                os.kill(os.getpid(), signal.SIGTERM)
        return real(self, indices)

    monkeypatch.setattr(ImageBatches, "_pixels", stop_at_the_eighth)
    with pytest.raises(Interrupted, match=r"epoch 2 after batch 3, which is saved in .*b"):
        fit(tmp_path / "b", train_iter=images())
    assert_same(unbroken, fit(tmp_path / "b", train_iter=images(seed=99)))
    assert len(read) == EPOCHS * BATCHES


def test_while_evaluating(tmp_path, monkeypatch):
    unbroken = fit(tmp_path / "a")
    real, calls = ImageBatches._pixels, []

    def stop(self, indices):
        calls.append(self.shuffle)
        if calls.count(False) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, indices)

    monkeypatch.setattr(ImageBatches, "_pixels", stop)
    with pytest.raises(Interrupted, match=f"epoch 1 after batch {BATCHES}"):
        fit(tmp_path / "b")
    monkeypatch.undo()
    assert_same(unbroken, fit(tmp_path / "b"))


def test_an_initialization_that_waits_for_the_first_batch(tmp_path):
    """Such a net knows its shapes, and has weights to save, only once it has run."""

    def deferred():
        net = nn.HybridSequential()
        net.add(nn.Conv2D(4, kernel_size=3), nn.BatchNorm(), nn.Dense(3))
        net.initialize(mx.init.Xavier())
        net.hybridize()
        return net

    unbroken = fit(tmp_path / "a", train_iter=stopping(images(), 0), net=deferred())
    with pytest.raises(Interrupted):
        fit(tmp_path / "b", train_iter=stopping(images(), 7), net=deferred())
    assert_same(unbroken, fit(tmp_path / "b", train_iter=stopping(images(), 0), net=deferred()))


def test_without_a_checkpoint_ctrl_c_is_pythons_own(tmp_path):
    class Interrupting(list):
        def __iter__(self):
            os.kill(os.getpid(), signal.SIGINT)
            yield from ()

    with pytest.raises(KeyboardInterrupt) as stop:
        fit(None, train_iter=Interrupting())
    assert not isinstance(stop.value, Interrupted)


def test_a_folder_is_enough(tmp_path):
    net = small_net()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    for num_epochs, added in ((1, 1), (1, 0), (3, 2)):
        before = sorted(tmp_path.glob("run/*"))
        arguments = (net, images(), images(), 4, trainer, mx.cpu(), num_epochs)
        history = gb.train_ch5(*arguments, checkpoint=tmp_path / "run")
        assert len(history) == num_epochs
        assert bool(added) == (sorted(tmp_path.glob("run/*")) != before)
