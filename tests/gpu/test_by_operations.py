"""Training on a GPU that MXNet has no code for, which the CPU and compiled kernels stand in for."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.data.batches import BatchError
from gluonbook.gpu import check, stand_ins
from gluonbook.gpu.functions import Unsupported
from gluonbook.training import by_operations, computation
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest


@pytest.fixture
def without_code(monkeypatch, launcher):
    """Let the CPU be taken for a GPU that MXNet has no code for."""
    for module in (computation, stand_ins):
        monkeypatch.setattr(module, "lacks_code", lambda ctx: True)
    for module in (by_operations, stand_ins):
        monkeypatch.setattr(module, "kernels_on", lambda ctx: launcher)
    for name in ("multi_sgd_update", "multi_sgd_mom_update", "adam_update"):
        function = getattr(mx.optimizer.optimizer, name)
        stand_in = getattr(stand_ins, name)(function)
        monkeypatch.setattr(mx.optimizer.optimizer, name, stand_in)
    return launcher


class Joined(nn.HybridBlock):
    """Adds its input to a convolution of it, and keeps it beside the sum."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(4, 3, padding=1, use_bias=False)  # before a batch norm it is noise
        self.norm = nn.BatchNorm()

    def hybrid_forward(self, F, x):
        return F.concat(x + F.Activation(self.norm(self.conv(x)), "relu"), x, dim=1)


def small_net(dropout=0.0):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, activation="relu"), nn.MaxPool2D(2, 2), Joined(), nn.Dropout(dropout))
    net.add(nn.Dense(16, activation="sigmoid"), nn.Dense(5))
    return net


def batches(number=5):
    random = np.random.RandomState(2)
    return [
        (
            nd.array(random.uniform(size=(8, 1, 12, 12))),
            nd.array(random.randint(5, size=8), dtype="int32"),
        )
        for _ in range(number)
    ]


def trained(optimizer="sgd", settings=None, net=None, loss=None):
    mx.random.seed(3)
    net = net or small_net()
    net.initialize(mx.init.Xavier(), force_reinit=True)
    trainer = gluon.Trainer(net.collect_params(), optimizer, settings or {"learning_rate": 0.1})
    data = batches()
    if loss is None:
        history = gb.train_ch5(net, data, data, 8, trainer, mx.cpu(), 1)
    else:
        history = gb.train(data, data, net, loss, trainer, mx.cpu(), 1)
    return [param.data().asnumpy() for param in net.collect_params().values()], history[0]


OPTIMIZERS = [
    ("sgd", {"learning_rate": 0.1}),
    ("sgd", {"learning_rate": 0.1, "wd": 0.01, "clip_gradient": 0.05}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}),
    ("adam", {"learning_rate": 0.01, "wd": 0.01}),
]


@pytest.mark.parametrize(("optimizer", "settings"), OPTIMIZERS)
def test_five_steps_are_the_usual_ones(optimizer, settings, monkeypatch, request, capsys):
    expected, row = trained(optimizer, settings)
    launcher = request.getfixturevalue("without_code")
    found, same_row = trained(optimizer, settings)
    for ours, theirs in zip(found, expected):
        # Adam divides by the size of a gradient, and with it by that of its rounding.
        allowed = (1e-3 if optimizer == "adam" else 1e-5) * max(np.linalg.norm(theirs), 0.1)
        assert np.linalg.norm(ours - theirs) < allowed
    assert same_row.loss == pytest.approx(row.loss, rel=1e-5)
    assert same_row.train_acc == row.train_acc and same_row.test_acc == row.test_acc
    assert {"max_pool", "add_bias", "add", "join", "split", "cross_entropy"} <= launcher.launched


def test_dropout_leaves_out_by_mxnets_own_seed(without_code):
    first, _ = trained(net=small_net(dropout=0.5))
    again, _ = trained(net=small_net(dropout=0.5))
    without, _ = trained(net=small_net())
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[-2], without[-2])
    assert "dropout" in without_code.launched


def test_each_size_of_batch_is_checked_once(without_code, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        by_operations, "check", lambda o, f, k, X, y: seen.append((len(X), y is None))
    )
    net = small_net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    whole = batches(3)
    last, other = ((X[:n], y[:n]) for (X, y), n in zip(whole, (3, 2)))
    gb.train_ch5(net, [*whole, last], [*whole, other], 8, trainer, mx.cpu(), 2)
    assert seen == [(8, False), (3, False), (2, True)]


def test_a_net_that_a_gpu_computes_wrongly_goes_on_on_the_cpu(without_code, monkeypatch, caplog):
    expected, row = trained("sgd", {"learning_rate": 0.1, "momentum": 0.9})

    def wrong(ops, functions, kernels, X, labels):
        raise check.Differs("the output of conv0 differs from the CPU's by 0.1 (of 1)")

    monkeypatch.setattr(by_operations, "check", wrong)
    found, same_row = trained("sgd", {"learning_rate": 0.1, "momentum": 0.9})
    assert "the output of conv0 differs from the CPU's by 0.1 (of 1) on cpu(0): the CPU trains" in (
        caplog.text
    )
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert same_row.test_acc == row.test_acc


REFUSED = [
    (lambda net: net.add(nn.LeakyReLU(0.1)), "leaky relu"),
    (lambda net: net.add(nn.BatchNorm(scale=False)), "without scale or center"),
    (lambda net: net.add(net[-1]), "the weights of another layer"),
    (lambda net: net.add(nn.HybridLambda(lambda F, x: x * 2)), "mul"),
]


@pytest.mark.parametrize(("change", "told"), REFUSED)
def test_an_operation_that_is_not_computed_there_is_named(change, told, without_code):
    net = nn.HybridSequential()
    net.add(nn.Dense(5))
    change(net)
    with pytest.raises(Unsupported, match=f"{told}.* train on the CPU, with --device cpu"):
        trained(net=net)


def test_what_else_is_not_computed_there(without_code):
    with pytest.raises(Unsupported, match="L2Loss"):
        trained(loss=gluon.loss.L2Loss())
    with pytest.raises(Unsupported, match="SoftmaxCrossEntropyLoss as it is given"):
        trained(loss=gluon.loss.SoftmaxCrossEntropyLoss(axis=2))
    with pytest.raises(Unsupported, match="optimizer RMSProp .* there are SGD and Adam"):
        trained("rmsprop", {"learning_rate": 0.1})
    net = small_net()
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(Unsupported, match="cannot share a batch"):
        gb.train_ch5(net, batches(), batches(), 8, trainer, [mx.cpu(0), mx.cpu(1)], 1)


@pytest.mark.parametrize(
    ("X", "y", "told"),
    [
        (np.ones((4, 1, 12, 12), np.float64), [0, 1, 2, 3], "images of float64"),
        (np.ones((4, 1, 12, 12), np.float32), [0, 1, 2], "4 examples and 3 labels"),
        (np.ones((4, 1, 12, 12), np.float32), [[0, 1]] * 4, r"labels of shape \(4, 2\)"),
        (np.ones((4, 1, 12, 12), np.float32), [0, 1, 2, 9], "labels from 0 to 9"),
        (np.ones((4, 1, 12, 12), np.float32), [0, 1, 2, 2.5], "not whole numbers"),
        (np.full((4, 1, 12, 12), np.nan, np.float32), [0, 1, 2, 3], "holds infinity or NaN"),
    ],
)
def test_batches_that_cannot_be_trained_on(X, y, told, without_code, monkeypatch):
    monkeypatch.setattr(by_operations, "check", lambda *given: None)
    net = small_net()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    data = [(nd.array(X, dtype=X.dtype), nd.array(y))]
    with pytest.raises(BatchError, match=told):
        gb.train_ch5(net, data, data, 4, trainer, mx.cpu(), 1)
