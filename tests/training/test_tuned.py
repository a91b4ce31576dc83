"""Weight decay, the schedule and smoothed labels, against NumPy."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.data.image_batches import ImageBatches
from gluonbook.recipes import Tuning
from gluonbook.training.tuned import SmoothedCrossEntropy, tuned, tuned_trainer
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest


@pytest.fixture
def net():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, kernel_size=3), nn.BatchNorm(), nn.Dense(3))
    net.initialize()
    net(nd.zeros((1, 1, 4, 4)))
    return net


def values(net):
    return {name: param.data().asnumpy() for name, param in net.collect_params().items()}


def rates(trainer, net, num_steps):
    """The learning rate of each step, from how far a gradient of ones moves a bias."""
    bias = net[2].bias
    found = []
    for _ in range(num_steps):
        before = bias.data().asnumpy()[0]
        with autograd.record():
            net(nd.ones((1, 1, 4, 4))).sum().backward()  # its gradient is 1
        trainer.step(1)
        found.append(before - bias.data().asnumpy()[0])
    return found


def test_only_the_weights_of_convolutions_and_dense_layers_decay(net):
    trainer = tuned_trainer(net, 0.5, Tuning(weight_decay=0.1), 10)
    before = values(net)
    with autograd.record():
        (0 * net(nd.ones((1, 1, 4, 4)))).sum().backward()
    trainer.step(1)
    for name, value in values(net).items():
        decays = name.endswith("weight")
        expected = before[name] * (1 - 0.5 * 0.1) if decays else before[name]
        if "running" not in name:
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)
    assert sum(name.endswith("weight") for name in before) == 2


def test_without_a_schedule_the_learning_rate_stays(net):
    trainer = tuned_trainer(net, 0.25, Tuning(), 4)
    np.testing.assert_allclose(rates(trainer, net, 6), 0.25, rtol=1e-5)


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine(net):
    trainer = tuned_trainer(net, 0.5, Tuning(warm_up=0.2), 10)
    after = np.arange(3, 11) - 2  # steps behind the two of the warm-up
    expected = [0.25, *0.25 * (1 + np.cos(np.pi * np.r_[0, after] / 8))]
    np.testing.assert_allclose(rates(trainer, net, 10), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("warm_up", [0.95, 1.0])
def test_a_warm_up_of_all_steps_leaves_the_last_for_the_fall(net, warm_up):
    trainer = tuned_trainer(net, 0.75, Tuning(warm_up=warm_up), 4)
    expected = [0.25, 0.5, 0.75, 0]
    np.testing.assert_allclose(rates(trainer, net, 4), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("warm_up", [-0.1, 1.5, float("nan")])
def test_a_warm_up_that_is_no_share_is_refused(net, warm_up):
    with pytest.raises(ValueError, match="warm_up must be a share of the steps, from 0 to 1, not"):
        tuned_trainer(net, 0.5, Tuning(warm_up=warm_up), 4)


def test_momentum_adds_up_the_gradients(net):
    trainer = tuned_trainer(net, 0.1, Tuning(momentum=0.5), 4)
    np.testing.assert_allclose(rates(trainer, net, 4), [0.1, 0.15, 0.175, 0.1875], rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_labels(smoothing):
    scores = np.random.RandomState(0).randn(5, 4).astype(np.float32)
    labels = np.array([3, 0, 1, 1, 2])
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    wanted = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(wanted * log_p).sum(axis=1)
    found = SmoothedCrossEntropy(smoothing)(nd.array(scores), nd.array(labels))
    np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-5)


def test_a_smoothed_loss_of_no_smoothing_is_mxnets():
    scores, labels = nd.random.normal(shape=(6, 10)), nd.array([0, 9, 3, 3, 5, 1])
    mxnets = gluon.loss.SoftmaxCrossEntropyLoss()(scores, labels)
    np.testing.assert_allclose(
        SmoothedCrossEntropy(0)(scores, labels).asnumpy(), mxnets.asnumpy(), rtol=1e-6
    )


def test_a_run_in_two_pieces_is_that_of_one_piece(tmp_path):
    """Momentum, the place in the schedule and the moved images are those of an unbroken run."""
    random = np.random.RandomState(3)
    images = random.randint(256, size=(12, 1, 8, 8)).astype(np.uint8)
    labels = random.randint(3, size=12).astype(np.int32)
    tuning = Tuning(momentum=0.9, weight_decay=0.01, warm_up=0.25, smoothing=0.1, augment=True)

    def run(num_epochs, folder):
        mx.random.seed(1)
        net = nn.HybridSequential()
        net.add(nn.Conv2D(2, kernel_size=3), nn.BatchNorm(), nn.Dense(3))
        net.initialize()
        net(nd.zeros((1, 1, 8, 8)))
        net.hybridize(static_alloc=True)
        test_iter = ImageBatches(images, labels, 4)
        train_iter = ImageBatches(images, labels, 4, shuffle=True, augment=tuning.augment, seed=2)
        trainer, loss = tuned(net, 0.1, tuning, num_steps=2 * len(train_iter))
        gb.train(train_iter, test_iter, net, loss, trainer, mx.cpu(), num_epochs, checkpoint=folder)
        return list(values(net).values())

    whole, half = run(2, tmp_path / "whole"), run(1, tmp_path / "pieces")
    assert any((a != b).any() for a, b in zip(whole, half))
    for found, expected in zip(run(2, tmp_path / "pieces"), whole):
        np.testing.assert_array_equal(found, expected)
