"""Nets computed operation by operation, by the kernels compiled for the CPU, beside MXNet's way."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.gpu import check
from gluonbook.gpu.functions import CrossEntropy
from gluonbook.gpu.network import Network, functions_of
from gluonbook.operations import gluon_ops
from gluonbook.recipes import RECIPES
from gluonbook.system import mxnet_private
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

SECTIONS = [(name, edition) for name in RECIPES for edition in ("gluon", "pytorch")]
#: Images as small as the nets take.
SIZES = {"lenet": 28, "alexnet": 127, "vgg": 64, "nin": 127, "googlenet": 64}
ZOO = {
    **{"resnet18_v1b": 64, "resnet50_v1b": 64, "preresnet18": 64, "preresnet50": 64},
    **{"cifar_resnet20_v1": 32, "cifar_resnet32_v1": 32, "nin_cifar10": 32},
    **{"vgg11": 64, "vgg11_bn": 64, "densenet121": 64},
}


def network_of(net, launcher):
    ops = gluon_ops(net)

    def values(op):
        return [param.data() for param in op.weights.values()]

    return ops, Network(ops, functions_of(ops, launcher), values, launcher)


def compare(net, X, launcher, monkeypatch):
    """Each operation alone, then the whole net, which is where its gradients are joined."""
    y = nd.array(np.arange(len(X)) % 7, dtype="int32")
    net.apply(mxnet_private.switch_off_dropout)
    net.initialize(mx.init.Xavier())
    net(X[:1])
    ops, network = network_of(net, launcher)
    monkeypatch.setattr(check, "tolerance", lambda: 1e-5)
    check.check(ops, functions_of(ops, launcher), launcher, X, y, set())

    params = [param for param in net.collect_params().values() if param.grad_req != "null"]
    logits = network.forward(X, train=True)
    loss = CrossEntropy(launcher)
    losses, answers = loss.forward(logits, y).asnumpy()
    network.backward(loss.backward())
    found = [param.grad().asnumpy() for param in params]
    with autograd.record():
        outputs = net(X)
        expected = gluon.loss.SoftmaxCrossEntropyLoss()(outputs, y)
    expected.backward()
    # oneDNN's batch norm adds up naively, in an order that goes by where its input comes from.
    norms = sum(op.kind == "batch norm" for op in ops)
    tolerance = 1e-5 * (1 + norms)
    logits = logits.reshape((len(X), -1)).asnumpy()
    assert apart(logits, outputs.asnumpy()) < tolerance
    assert apart(losses, expected.asnumpy()) < tolerance
    np.testing.assert_array_equal(answers, logits.argmax(axis=1))
    # There rounding moves inputs of a ReLU past zero too, where the gradient jumps. What a branch
    # lacks, or has twice, would be as great as the gradient.
    gradients = [param.grad().asnumpy() for param in params]
    assert apart(joined(found), joined(gradients)) < (3e-2 if norms else 1e-5)


def joined(arrays):
    return np.concatenate([array.reshape(-1) for array in arrays])


def apart(found, expected):
    """The difference of two arrays as a share of the second, by their L2 norms."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(("name", "edition"), SECTIONS)
def test_each_section(name, edition, launcher, monkeypatch):
    size = SIZES.get(name, 96)
    X = nd.random.uniform(shape=(4, 1, size, size))
    compare(RECIPES[name].net(edition), X, launcher, monkeypatch)


@pytest.mark.parametrize("name", ZOO)
def test_nets_of_the_zoo(name, launcher, monkeypatch):
    X = nd.random.uniform(shape=(4, 1, ZOO[name], ZOO[name]))
    compare(gb.get_model(name, num_classes=7), X, launcher, monkeypatch)


class Joined(nn.HybridBlock):
    """What `join` makes of the outputs of some blocks on the same input."""

    def __init__(self, join, *blocks):
        super().__init__()
        self._join, self._parts = join, blocks
        for block in blocks:
            self.register_child(block)

    def hybrid_forward(self, F, x):
        return self._join(F, *[block(x) for block in self._parts])


def joined_rows(F, *parts):
    return F.concat(*[F.flatten(part) for part in parts], dim=1)


def twice(F, x):
    return F.concat(x + x, x, dim=1)


FLATTENED = {
    "parts of other sizes": lambda: [Joined(joined_rows, nn.Conv2D(3, 3), nn.Conv2D(2, 5))],
    "rows beside images": lambda: [Joined(joined_rows, nn.Dense(3), nn.Conv2D(2, 3))],
    "a sum of rows and images": lambda: [
        Joined(lambda F, x, y: F.flatten(x) + y, nn.Conv2D(2, 3), nn.Dense(200))
    ],
    "a batch norm of rows": lambda: [nn.Conv2D(2, 3), nn.Flatten(), nn.BatchNorm()],
    "one behind a ReLU": lambda: [
        nn.Conv2D(2, 3),
        nn.Flatten(),
        nn.Activation("relu"),
        nn.BatchNorm(),
    ],
    "an array added to itself": lambda: [Joined(twice, nn.Conv2D(2, 3))],
}


@pytest.mark.parametrize("name", FLATTENED)
def test_what_joins_or_norms_arrays_knows_what_was_flattened(name, launcher, monkeypatch):
    net = nn.HybridSequential()
    net.add(*FLATTENED[name](), nn.Dense(7))
    compare(net, nd.random.uniform(shape=(8, 1, 12, 12)), launcher, monkeypatch)
