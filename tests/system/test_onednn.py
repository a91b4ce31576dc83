"""What MXNet fuses on the CPU has the numbers of the net, and ends no process."""

from __future__ import annotations

from gluonbook.operations import trace
from gluonbook.system.onednn import nodes_of, separated
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

X = np.random.RandomState(1).randn(4, 3, 10, 10).astype(np.float32)


class Net(nn.HybridBlock):
    """`layers` put together by a function of MXNet's operators, the input and the layers."""

    def __init__(self, together, *layers):
        super().__init__()
        self._together, self._layers = together, layers
        for layer in layers:
            self.register_child(layer)

    def hybrid_forward(self, F, x):
        return self._together(F, x, *self._layers)


def as_trained(net, X=X):
    """`net` with Xavier's weights, and no scale or shift that changes nothing."""
    net.initialize(mx.init.Xavier())
    net(nd.array(X, dtype=X.dtype))
    nd.waitall()
    for name, parameter in net.collect_params().items():
        if not name.endswith("weight"):
            low, high = (0.5, 1.5) if name.endswith(("gamma", "running_var")) else (-0.5, 0.5)
            parameter.set_data(nd.random.uniform(low, high, parameter.shape))
    return net


def relu(F, x):
    return F.Activation(x, act_type="relu")


def conv(**settings):
    return nn.Conv2D(8, 3, **settings)


def fused(net):
    """`net` as MXNet fuses it, and the kinds of the operations."""
    symbol = separated(trace(net)).get_backend_symbol("MKLDNN")
    block = gluon.SymbolBlock(symbol, mx.sym.var("data"), params=net.collect_params())
    block.hybridize(static_alloc=True, static_shape=True)
    return block, [node["op"] for node in nodes_of(symbol)]


@pytest.mark.parametrize("axis", [1, -3, 0, 2, 3, -1])
def test_a_convolution_takes_up_a_batch_norm_over_its_channels_alone(axis):
    net = nn.HybridSequential()
    net.add(conv(), nn.BatchNorm(axis=axis), nn.Activation("relu"), conv(), nn.Dense(3))
    block, kinds = fused(as_trained(net))
    assert ("BatchNorm" in kinds) == (axis not in (1, -3))
    assert kinds.count("_sg_mkldnn_conv") == 2
    np.testing.assert_allclose(block(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy(), atol=1e-5)


@pytest.mark.parametrize("axis", [-4, -3])
def test_the_channels_are_counted_from_the_end_of_five_axes_too(axis):
    net = nn.HybridSequential()
    net.add(nn.Conv3D(4, 3), nn.BatchNorm(axis=axis))
    X = np.random.rand(2, 3, 6, 6, 6).astype(np.float32)
    block, kinds = fused(as_trained(net, X))
    assert ("BatchNorm" in kinds) == (axis == -3)
    np.testing.assert_allclose(block(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy(), atol=1e-5)


TWICE = {
    "relu and sum": lambda: Net(lambda F, x, a: (lambda y: relu(F, y) + y)(a(x)), conv()),
    "sum with itself": lambda: Net(lambda F, x, a: (lambda y: y + y)(a(x)), conv()),
    "batch norm and sum": lambda: Net(
        lambda F, x, a, norm: (lambda y: norm(y) + y)(a(x)), conv(), nn.BatchNorm()
    ),
    "a block that normalizes first": lambda: Net(
        lambda F, x, a, norm, b: (lambda y: y + b(relu(F, norm(y))))(a(x)),
        *(conv(), nn.BatchNorm(), conv(padding=1)),
    ),
    "relu of a batch norm, and sum": lambda: Net(
        lambda F, x, a, norm, b: (lambda y: b(relu(F, y)) + y)(norm(a(x))),
        *(conv(), nn.BatchNorm(), conv(padding=1)),
    ),
    "two activations of a dense layer": lambda: Net(
        lambda F, x, a: (lambda y: F.concat(relu(F, y), F.clip(y, 0, 0.1), dim=1))(a(x)),
        nn.Dense(8),
    ),
}


@pytest.mark.parametrize("name", TWICE)
def test_what_is_used_twice_keeps_both_uses(name):
    net = as_trained(TWICE[name]())
    block, _ = fused(net)
    np.testing.assert_allclose(block(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy(), atol=1e-5)


def test_a_residual_block_is_one_operator_for_each_convolution():
    net = Net(
        lambda F, x, a, b, norm: (lambda y: relu(F, norm(b(y)) + y))(relu(F, a(x))),
        *(conv(), conv(padding=1), nn.BatchNorm()),
    )
    block, kinds = fused(as_trained(net))
    assert [kind for kind in kinds if kind != "null"] == ["_sg_mkldnn_conv"] * 2
    np.testing.assert_allclose(block(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy(), atol=1e-5)
