"""The workers but the first begin where it does, and keep nothing."""

from __future__ import annotations

from gluonbook.distributed.workers import Workers
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.runs.follower import Follower
from gluonbook.runs.history import History
from gluonbook.training.run import CheckpointError, Run
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest

from .conftest import OPTIMIZERS, fit, images, names, small_net

FACTS = {"devices": 1, **images().facts}


class Two(Workers):
    """One of two workers; what the first has told, the second is told."""

    told: list[bytes] = []

    def __init__(self, rank):
        super().__init__(rank, 2)

    def from_first(self, content=b""):
        if self.is_first:
            self.told.append(content)
        return self.told[-1]

    def join(self, trainer, train_iter):
        pass

    def share_parameters(self, trainer):
        pass


def training(optimizer="momentum"):
    net = small_net()
    net.initialize(mx.init.Uniform(), force_reinit=True)
    trainer = gluon.Trainer(net.collect_params(), *OPTIMIZERS[optimizer]())
    return net, trainer, images(seed=99), History()


def first_worker(folder):
    """What the first worker goes on with, after an epoch of momentum."""
    fit(folder, optimizer="momentum", num_epochs=1)
    begun, checkpoint = training(), Checkpoint(folder, seed=5)
    progress = checkpoint.begin(*begun, FACTS, workers=Two(0))
    checkpoint.end()
    return begun, progress


def test_it_begins_where_the_first_worker_does(tmp_path):
    (net, trainer, _, history), progress = first_worker(tmp_path)
    begun, follower = training(), Follower(None, {})
    before = names(tmp_path)
    assert follower.begin(*begun, FACTS, workers=Two(1)) == progress
    follower.save(progress)
    follower.end()
    assert names(tmp_path) == before
    assert (follower.seed, begun[2].seed) == (11, 7)  # those that the first epoch had
    assert begun[3].epochs == history.epochs and len(history) == 1
    pairs = list(zip(net.collect_params().values(), begun[0].collect_params().values()))
    for param, other in pairs:
        np.testing.assert_array_equal(other.data().asnumpy(), param.data().asnumpy())
    [states], [others] = (one._updaters for one in (trainer, begun[1]))
    assert states.states.keys() == others.states.keys()
    for index, momentum in states.states.items():
        np.testing.assert_array_equal(others.states[index].asnumpy(), momentum.asnumpy())


def test_another_run_than_the_first_workers_is_refused(tmp_path):
    first_worker(tmp_path)
    with pytest.raises(CheckpointError, match="the first worker holds a run with the text none, "):
        Follower(None, {"the text": "gluon"}).begin(*training(), FACTS, workers=Two(1))


@pytest.mark.parametrize("rank", [0, 1])
def test_each_worker_draws_a_dropout_of_its_own(rank, tmp_path):
    first_worker(tmp_path)
    keeper = Checkpoint(tmp_path, seed=5) if rank == 0 else Follower(None, {})
    net, trainer, train_iter, history = training()
    run = Run(net, train_iter, trainer, [mx.cpu()], Two(rank), history, keeper)
    with run:
        next(run.batches())
        drawn = nd.random.uniform(shape=8).asnumpy()
    [seed] = np.random.SeedSequence([11, 2, 0]).generate_state(1)
    if rank:
        [seed] = np.random.SeedSequence([int(seed), rank]).generate_state(1)
    mx.random.seed(int(seed))
    np.testing.assert_array_equal(drawn, nd.random.uniform(shape=8).asnumpy())
