"""The optimizer's state is kept by the net's structure, whatever the optimizer."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.system.interrupts import Interrupted
from gluonbook.training.run import CheckpointError
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import pytest
import safetensors.numpy

from .conftest import EPOCHS, OPTIMIZERS, assert_same, fit, images, rewritten, small_net, stopping

pytestmark = pytest.mark.usefixtures("terminal_signals")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("ctx", [None, [mx.cpu(0), mx.cpu(1)]], ids=["one device", "two"])
def test_any_optimizer_on_one_device_or_two(optimizer, ctx, tmp_path):
    def run(folder, at):
        # Hybridized on two CPU devices, MXNet's running statistics are another at each run.
        net = small_net(ctx, hybridize=ctx is None)
        return fit(folder, train_iter=stopping(images(), at), optimizer=optimizer, ctx=ctx, net=net)

    unbroken = run(tmp_path / "a", 0)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", 8)
    assert_same(unbroken, run(tmp_path / "b", 0))


def pairs_of_layers(built_before=0):
    """Convolutions with batch norm, added as the book adds them; MXNet's names count per process.

    With `built_before`, as in a process that has built so many batch norms already. Trainers sort
    by name, and `batchnorm10` comes before `batchnorm9`.
    """
    with mx.name.NameManager():
        for _ in range(built_before):
            nn.BatchNorm()
        net = nn.HybridSequential()
        for _ in range(3):
            net.add(nn.Conv2D(4, kernel_size=3, padding=1), nn.BatchNorm())
        net.add(nn.Dense(3))
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 1, 8, 8)))
    return net


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_optimizers_state_follows_the_structure_not_the_names(optimizer, tmp_path):
    def run(folder, at, built_before=0):
        net = pairs_of_layers(built_before)
        return fit(folder, train_iter=stopping(images(), at), optimizer=optimizer, net=net)

    unbroken = run(tmp_path / "a", 0)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", 8)
    assert_same(unbroken, run(tmp_path / "b", 0, built_before=8))


def with_shared_weights():
    net = nn.HybridSequential()
    first = nn.Dense(4, in_units=4, activation="relu")
    net.add(nn.Dense(4, in_units=64), first, nn.Dense(4, in_units=4, params=first.params))
    net.add(nn.Dense(3, in_units=4))
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    return net


def test_a_parameter_that_two_layers_share(tmp_path):
    def run(folder, at):
        train_iter = stopping(images(), at)
        net = with_shared_weights()
        return fit(folder, train_iter=train_iter, optimizer="adam", net=net)

    unbroken = run(tmp_path / "a", 0)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", 8)
    assert_same(unbroken, run(tmp_path / "b", 0))
    saved = safetensors.numpy.load_file(tmp_path / "b" / f"checkpoint-{EPOCHS + 1}-0.safetensors")
    assert {"net/1.weight", "trainer/0/1.weight/0"} <= set(saved)
    assert not any("2.weight" in name for name in saved)


def test_a_trainer_of_parameters_that_would_not_be_saved_is_refused(tmp_path):
    net, other = small_net(), nn.Dense(1, in_units=1)
    other.initialize()
    params = {**net.collect_params(), **other.collect_params()}
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 0.1})
    with pytest.raises(CheckpointError, match="has the parameter .*, which is not in the net"):
        gb.train_ch5(net, images(), images(), 4, trainer, mx.cpu(), 1, checkpoint=tmp_path)


class OddSchedule(mx.lr_scheduler.LRScheduler):
    """A schedule of a user's own, whose count is no whole number."""

    def __init__(self):
        super().__init__()
        self.count = 0.5

    def __call__(self, num_update):
        return 0.1


def test_a_state_that_could_not_be_read_again_is_refused_at_the_start(tmp_path, monkeypatch):
    odd = {"learning_rate": 0.1, "lr_scheduler": OddSchedule()}
    monkeypatch.setitem(OPTIMIZERS, "odd", lambda: ("sgd", odd))
    with pytest.raises(CheckpointError, match="cannot keep the state of SGD or of its schedule"):
        fit(tmp_path, optimizer="odd")


def test_a_schedule_that_would_never_end_is_refused(tmp_path):
    fit(tmp_path, optimizer="schedule", num_epochs=1)
    (tmp_path / "checkpoint-1-0.safetensors").unlink()
    path = tmp_path / "checkpoint-2-0.safetensors"
    rewritten(path, lambda state: state["trainer"]["scheduler"].update(step=0))
    with pytest.raises(CheckpointError, match="of another trainer"):
        fit(tmp_path, optimizer="schedule")
