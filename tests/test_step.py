"""The fast form of a step gives the numbers of the plain form, and leaves the net as it is."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.recipes import RECIPES
from gluonbook.step import _Graph, step_of
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from .conftest import initialized

LOSS = gluon.loss.SoftmaxCrossEntropyLoss()


def one_step(net, step, X, y):
    """Losses, right answers and all gradients; dropout drawn alike each time."""
    mx.random.seed(9)
    with autograd.record():
        losses, correct = step(X, y)
    losses.backward()
    params = net.collect_params().values()
    gradients = [param.grad().asnumpy() for param in params if param.grad_req != "null"]
    return losses.asnumpy(), float(correct.asscalar()), gradients


def relative(a, b):
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)


#: Smaller images than the recipes', where the net allows it.
SIZES = {"lenet": 28, "alexnet": 224, "vgg": 32, "nin": 96}


@pytest.mark.parametrize("section", RECIPES)
def test_the_fast_form_has_the_numbers_of_the_plain_one(section, dataset):
    """In float64, where rounding cannot decide which side of a kink a value falls on."""
    size = SIZES.get(section, 48)
    net = initialized(RECIPES[section].net(), size)
    net.cast("float64")
    images = gb.fashion_mnist.resize(dataset.train.images[:4], size)
    X, y = nd.array(images / 255, dtype="float64"), nd.array(dataset.train.labels[:4])
    plain = step_of(net, LOSS)
    assert not isinstance(plain, _Graph)
    expected = one_step(net, plain, X, y)
    net.hybridize(static_alloc=True, static_shape=True)
    fast = step_of(net, LOSS)
    assert isinstance(fast, _Graph)
    found = one_step(net, fast, X, y)
    assert relative(found[0], expected[0]) < 1e-5
    assert found[1] == expected[1]
    assert len(found[2]) == len(expected[2]) > 0
    for a, b in zip(found[2], expected[2]):
        assert relative(a, b) < 1e-5


def small(*more):
    net = nn.HybridSequential()
    net.add(nn.Dense(8, activation="relu"), nn.Dense(3), *more)
    net.initialize()
    return net


def test_the_net_keeps_its_own_form():
    net = small()
    net.hybridize(inline_limit=7)
    before = (net._active, list(net._flags), [child._active for child in net])
    step = step_of(net, LOSS)
    step(nd.ones((2, 5)), nd.array([0, 1]))
    assert before == (net._active, list(net._flags), [child._active for child in net])
    assert set(step.collect_params()) == set(net.collect_params())


def test_input_sizes_may_be_unknown_and_batches_of_two_sizes():
    net = small()
    net.hybridize()
    step = step_of(net, LOSS)
    for size in (4, 2, 4):
        X, y = nd.random.uniform(shape=(size, 5)), nd.array(np.arange(size) % 3)
        losses, correct = step(X, y)
        np.testing.assert_allclose(losses.asnumpy(), LOSS(net(X), y).asnumpy(), rtol=1e-5)
        assert correct.asscalar() == (net(X).asnumpy().argmax(axis=1) == y.asnumpy()).sum()


class WithShape(gluon.HybridBlock):
    """A block that needs its input's values, which a graph does not have as it is made."""

    def hybrid_forward(self, F, x):
        return x * float(x.shape[0])


def hooked(net, hook=lambda block, inputs, output: None):
    """MXNet warns if it is hybridized after it has hooks."""
    net.hybridize()
    net.register_forward_hook(hook)
    return net


@pytest.mark.parametrize(
    ("net", "loss", "hybridize"),
    [
        (small, LOSS, False),
        (lambda: small(WithShape()), LOSS, True),
        (lambda: hooked(small()), LOSS, True),
        (small, lambda y_hat, y: LOSS(y_hat, y), True),
    ],
    ids=["not hybridized", "cannot be traced", "hooks", "a function as loss"],
)
def test_what_cannot_be_one_graph_is_called_as_it_is(net, loss, hybridize):
    net = net()
    if hybridize and not net._active:
        net.hybridize()
    step = step_of(net, loss)
    assert not isinstance(step, _Graph)


def test_hooks_are_called_for_each_batch():
    calls = []
    net = hooked(small(), lambda block, inputs, output: calls.append(type(output)))
    step = step_of(net, LOSS)
    for _ in range(3):
        step(nd.ones((2, 5)), nd.array([0, 1]))
    assert calls == [nd.NDArray] * 3
