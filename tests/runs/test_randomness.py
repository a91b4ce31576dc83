"""All randomness of a run follows from its seed and the position in it."""

from __future__ import annotations

import os
import random
import signal

import gluonbook as gb
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.format import read
from gluonbook.system.interrupts import Interrupted
from gluonbook.training.run import Run
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest

from .conftest import Stopping, assert_same, fit, images, small_net, stop_and_go_on, stopping

pytestmark = pytest.mark.usefixtures("terminal_signals")


def loader():
    """MXNet's own loader, which shuffles by NumPy's generator, with a random transform."""
    X = np.random.RandomState(0).rand(18, 1, 8, 8).astype(np.float32)
    noisy = gluon.data.ArrayDataset(X, np.arange(18) % 3).transform_first(
        lambda x: nd.array(x) + nd.random.normal(shape=x.shape) + np.random.rand()
    )
    return gluon.data.DataLoader(noisy, 4, shuffle=True)


def test_a_loader_that_shuffles_and_transforms_by_global_generators(tmp_path):
    unbroken = fit(tmp_path / "a", train_iter=stopping(loader(), 0))
    np.random.seed(99)
    assert_same(unbroken, stop_and_go_on(tmp_path / "b", loader, 8))


def drawn(x):
    """Noise from each of the three generators that a transform may use."""
    return nd.array(x) + nd.random.normal(shape=x.shape) + np.random.rand() + random.random()


def with_workers():
    """MXNet's own loader, whose two worker processes draw random numbers."""
    X = np.random.RandomState(0).rand(18, 1, 8, 8).astype(np.float32)
    data = gluon.data.ArrayDataset(X, np.arange(18) % 3).transform_first(drawn)
    return gluon.data.DataLoader(data, 4, shuffle=True, num_workers=2)


def test_the_random_numbers_of_worker_processes_follow_the_position(tmp_path, monkeypatch):
    unbroken = fit(tmp_path / "a", train_iter=with_workers())
    add = Run.add

    def add_and_stop(self, parts, outcomes):
        add(self, parts, outcomes)
        if (self.progress.epoch, self.progress.batch) == (2, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Run, "add", add_and_stop)
    with pytest.raises(Interrupted, match="epoch 2 after batch 4"):
        fit(tmp_path / "b", train_iter=with_workers())
    monkeypatch.undo()
    assert_same(unbroken, fit(tmp_path / "b", train_iter=with_workers()))


@pytest.mark.parametrize("seed", [2**70, 2**63, -5, 1.5, "1"])
def test_a_seed_that_could_not_be_read_again_is_refused_at_the_start(seed, tmp_path):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        Checkpoint(tmp_path, seed=seed)


@pytest.mark.parametrize("seed", [np.int64(7), np.uint8(7), 2**63 - 1])
def test_any_whole_number_is_a_seed(seed, tmp_path):
    checkpoint = Checkpoint(tmp_path, seed=seed, save_every=np.int64(2))
    net = small_net()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    gb.train_ch5(net, images(), images(), 4, trainer, mx.cpu(), 1, checkpoint=checkpoint)
    state, _ = read(tmp_path / "checkpoint-2-0.safetensors", 10**6)
    assert state["seed"] == seed


class Counting(Stopping):
    """Batches with attributes of their own, whose names the loop knows from its own loader."""

    seed, epoch = "mine", "mine too"


def test_what_an_iterator_has_of_its_own_is_left_alone(tmp_path):
    batches = Counting(images(), 0)
    fit(tmp_path, train_iter=batches)
    assert (batches.seed, batches.epoch) == ("mine", "mine too")
