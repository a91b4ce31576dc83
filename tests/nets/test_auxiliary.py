"""Nets with auxiliary classifiers: all outputs train them, the first is their answer."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.data.batches import BatchError
from gluonbook.export import export_symbol, import_symbol
from gluonbook.nets.auxiliary import WithAuxiliary
from gluonbook.operations import gluon_ops
from gluonbook.training.graphs import _OneGraph, inference_of, step_of
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest


def small():
    """Three rows; the second is looked at by one classifier, the first by another."""
    net = nn.HybridSequential()
    net.add(nn.Dense(8, activation="relu"), nn.Dense(6, activation="relu"), nn.Dense(3))
    net = WithAuxiliary(net, {1: nn.Dense(3), 0: nn.Dense(3)})
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 5)))
    return net


@pytest.fixture
def batch():
    return nd.random.normal(shape=(6, 5)), nd.array([0, 1, 2, 0, 1, 1])


def cross_entropy(outputs, labels):
    """One number for each example, by NumPy."""
    shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return -np.log(shares[np.arange(len(labels)), labels.astype(int)])


def test_each_classifier_sees_its_row(batch):
    net, (X, _) = small(), batch
    first, second, third = net.net
    later, earlier = net.heads
    rows = first(X), second(first(X))
    for hybridize in (False, True):
        net.hybridize(hybridize)
        found = net(X)
        assert len(found) == 3
        for output, expected in zip(found, (third(rows[1]), earlier(rows[0]), later(rows[1]))):
            np.testing.assert_allclose(output.asnumpy(), expected.asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [0.3, 0.4])
def test_the_loss_adds_that_of_each_classifier(weight, batch):
    net, (X, y) = small(), batch
    loss = gb.AuxiliaryLoss(weight) if weight != 0.3 else gb.AuxiliaryLoss()
    answer, *auxiliary = (cross_entropy(output.asnumpy(), y.asnumpy()) for output in net(X))
    expected = answer + weight * sum(auxiliary)
    np.testing.assert_allclose(loss(net(X), y).asnumpy(), expected, rtol=1e-5)


def test_one_loss_takes_nets_with_other_numbers_of_outputs(batch):
    net, loss, (X, y) = small(), gb.AuxiliaryLoss(), batch
    outputs = net(X)
    answer, auxiliary, _ = (cross_entropy(output.asnumpy(), y.asnumpy()) for output in outputs)
    loss(outputs, y)
    np.testing.assert_allclose(loss(outputs[:2], y).asnumpy(), answer + 0.3 * auxiliary, rtol=1e-5)
    np.testing.assert_allclose(loss(net.net(X), y).asnumpy(), answer, rtol=1e-5)


def one_step(net, step, X, y):
    with autograd.record():
        outcome = step(X, y)
    outcome.losses.backward()
    gradients = {name: p.grad().asnumpy() for name, p in net.collect_params().items()}
    return outcome.losses.asnumpy(), outcome.read(), gradients


def test_a_step_in_one_graph_is_the_plain_one(batch):
    """The figures are those of the first output, the gradients those of all."""
    net, (X, y) = small(), batch
    loss = gb.AuxiliaryLoss()
    plain = step_of(net, loss)
    assert not isinstance(plain, _OneGraph)
    expected = one_step(net, plain, X, y)
    net.hybridize(static_alloc=True, static_shape=True)
    fast = step_of(net, loss)
    assert isinstance(fast, _OneGraph)
    found = one_step(net, fast, X, y)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert found[1] == pytest.approx(expected[1], rel=1e-5)
    right = (net(X)[0].asnumpy().argmax(axis=1) == y.asnumpy()).sum()
    assert expected[1].correct == right
    for name, gradient in expected[2].items():
        assert np.abs(gradient).max() > 0, name
        np.testing.assert_allclose(found[2][name], gradient, rtol=1e-4, atol=1e-6)


def test_the_sum_of_several_losses_is_not_taken_for_that_of_guessing(caplog):
    """All is answered rightly here, though the loss is ln 3, that of guessing among 3 classes."""
    a = np.log(2 / (3 ** (1 / 1.6) - 1))  # of the right class, so that 1.6 times its loss is ln 3
    net = nn.HybridSequential()
    net.add(nn.Dense(3), nn.Dense(3))
    net = WithAuxiliary(net, {0: nn.Dense(3)})
    net.initialize()
    X, y = nd.array(np.eye(3)), nd.array([0, 1, 2])
    net(X)
    for dense, scale in zip((*net.net, *net.heads), (1, a, a)):
        dense.weight.set_data(scale * X)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0})
    loss = gb.AuxiliaryLoss(0.6)
    history = gb.train(100 * [(X, y)], [(X, y)], net, loss, trainer, mx.cpu(), 1)
    assert history[0].loss == pytest.approx(np.log(3), rel=1e-5) and history[0].train_acc == 1
    assert "guessing" not in caplog.text


class Counted(gluon.loss.SoftmaxCrossEntropyLoss):
    """A loss of one's own, which is Python for each batch."""

    calls = 0

    def hybrid_forward(self, F, pred, label, sample_weight=None):
        self.calls += 1
        return super().hybrid_forward(F, pred, label, sample_weight)


def test_a_loss_of_ones_own_runs_for_each_batch_and_classifier(batch):
    net, (X, y) = small(), batch
    net.hybridize()
    loss = gb.AuxiliaryLoss(loss=Counted())
    step = step_of(net, loss)
    for _ in range(2):
        step(X, y)
    assert loss.loss.calls == 6


@pytest.mark.parametrize("ctx", [mx.cpu(), [mx.cpu(0), mx.cpu(1)]], ids=["one", "two devices"])
def test_a_run_is_kept_and_resumed(ctx, batch, tmp_path):
    """In two pieces it ends with the parameters of one piece, those of the classifiers too."""

    def run(num_epochs, folder):
        net = small()
        net.collect_params().reset_ctx(ctx)
        net.hybridize(static_alloc=True)
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
        loss = gb.AuxiliaryLoss()
        gb.train([batch], [batch], net, loss, trainer, ctx, num_epochs, checkpoint=folder)
        return [p.list_data()[0].asnumpy() for p in net.collect_params().values()]

    mx.random.seed(1)
    whole = run(2, tmp_path / "whole")
    mx.random.seed(1)
    run(1, tmp_path / "pieces")
    for found, expected in zip(run(2, tmp_path / "pieces"), whole):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("hybridize", [False, True])
def test_only_the_first_output_is_evaluated(hybridize, batch):
    net, (X, _) = small(), batch
    if hybridize:
        net.hybridize(static_alloc=True, static_shape=True)
    right = net(X)[0].argmax(axis=1)
    assert gb.accuracy(net(X), right) == 1
    # Of the labels turned round, only those in the middle are right.
    middle = (right.asnumpy() == 1).sum()
    assert gb.evaluate_accuracy([(X, right), (X, 2 - right)], net) == (6 + middle) / 12


def test_inference_does_not_compute_the_classifiers(batch):
    net, (X, _) = small(), batch
    net.hybridize(static_alloc=True, static_shape=True)
    infer = inference_of(net, [mx.cpu()])
    np.testing.assert_allclose(infer(X).asnumpy(), net(X)[0].asnumpy(), rtol=1e-5)
    assert infer is not net
    assert [op.kind for op in gluon_ops(net)] == ["dense", "relu", "dense", "relu", "dense"]


def test_the_exported_net_has_no_classifiers(tmp_path, batch):
    net, (X, _) = small(), batch
    export_symbol(net, tmp_path / "net", X.shape)
    imported = import_symbol(tmp_path / "net")
    assert list(imported.collect_params()) == list(net.net.collect_params())
    np.testing.assert_allclose(imported(X).asnumpy(), net(X)[0].asnumpy(), rtol=1e-6)


@pytest.mark.parametrize("hybridize", [False, True])
def test_a_loss_of_one_output_is_refused_by_name(hybridize, batch):
    net = small()
    net.hybridize(hybridize)
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(BatchError, match="3 outputs and SoftmaxCrossEntropyLoss takes one"):
        gb.train_ch5(net, [batch], [batch], 6, trainer, mx.cpu(), 1)


@pytest.mark.parametrize("hybridize", [False, True])
def test_labels_that_do_not_fit_are_refused(hybridize, batch):
    net, (X, y) = small(), batch
    net.hybridize(hybridize)
    with pytest.raises(BatchError, match=r"labels of shape \(3,\)"), autograd.record():
        step_of(net, gb.AuxiliaryLoss())(X, y[:3])
