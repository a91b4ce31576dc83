"""Channels of zeros, which oneDNN is given besides few channels, change no number."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.operations import trace
from gluonbook.recipes import RECIPES
from gluonbook.system import few_channels
from gluonbook.system.few_channels import for_training, widened, with_means
from gluonbook.system.onednn import nodes_of
import mxnet as mx
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from .test_onednn import Net, X, as_trained, relu


def channels_of(symbol):
    """The channels that each convolution computes."""
    return [
        int(node["attrs"]["num_filter"])
        for node in nodes_of(symbol)
        if "num_filter" in node.get("attrs", {})
    ]


def outputs_and_gradients(net, X):
    """Of the sum of the outputs' squares, by the parameters and the input, each as an array."""
    X = nd.array(X, dtype=X.dtype)
    X.attach_grad()
    with autograd.record():
        outputs = net(X)
        (outputs**2).sum().backward()
    parameters = [p for p in net.collect_params().values() if p.grad_req != "null"]
    return [value.asnumpy() for value in (outputs, X.grad, *(p.grad() for p in parameters))]


NARROW = {
    "LeNet's": lambda: [nn.Conv2D(6, 3, activation="sigmoid"), nn.AvgPool2D(), nn.Conv2D(16, 2)],
    "one behind another": lambda: [
        nn.Conv2D(6, 3),
        nn.Activation("tanh"),
        nn.Conv2D(10, 2),
        nn.MaxPool2D(),
        nn.Conv2D(8, 1),
    ],
    "without biases": lambda: [nn.Conv2D(12, 3, use_bias=False), nn.Conv2D(16, 2, use_bias=False)],
    "taken by two": lambda: [
        nn.Conv2D(6, 3),
        Net(lambda F, x, a, b: a(x) + b(relu(F, x)), nn.Conv2D(8, 2), nn.Conv2D(8, 2)),
    ],
}


def sequential(layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def assert_the_same_numbers(symbol, net, layers, tolerance, least=0.0):
    """That a graph with the weights of `net` gives what its layers give in float64."""
    exact = sequential(layers)
    exact.cast("float64")
    as_trained(exact, X.astype(np.float64))
    for param, of in zip(exact.collect_params().values(), net.collect_params().values()):
        param.set_data(of.data().astype("float64"))
    block = gluon.SymbolBlock(symbol, mx.sym.var("data"), params=net.collect_params())
    block.hybridize(static_alloc=True, static_shape=True)
    found = outputs_and_gradients(block, X)
    for values, right in zip(found, outputs_and_gradients(exact, X.astype(np.float64))):
        atol = tolerance * np.abs(right).max() + least
        np.testing.assert_allclose(values, right, rtol=0, atol=atol)


@pytest.mark.parametrize("avx512", [True, False], ids=["blocks of 16", "blocks of 8"])
@pytest.mark.parametrize("name", NARROW)
def test_channels_of_zeros_change_no_number(monkeypatch, name, avx512):
    monkeypatch.setattr(few_channels, "may_use_avx512", lambda: avx512)
    net = as_trained(sequential(NARROW[name]()))
    symbol = widened(trace(net), net.collect_params())
    block = 16 if avx512 else 8
    *narrow, _ = channels_of(trace(net))
    assert channels_of(symbol)[0] == -(-narrow[0] // block) * block
    assert_the_same_numbers(symbol, net, NARROW[name](), 1e-5)


LEFT_ALONE = {
    "a batch norm, whose weights are as few": lambda: [
        nn.Conv2D(6, 3),
        nn.BatchNorm(),
        nn.Conv2D(8, 2),
    ],
    "an end": lambda: [nn.Conv2D(6, 3), nn.Activation("relu")],
    "a dense layer": lambda: [nn.Conv2D(6, 3), nn.Dense(3)],
    "groups": lambda: [nn.Conv2D(6, 3), nn.Conv2D(8, 2, groups=2)],
    "another use": lambda: [
        nn.Conv2D(6, 3),
        Net(lambda F, x, a: F.concat(a(x), x, dim=1), nn.Conv2D(8, 1)),
        nn.Conv2D(8, 1),
    ],
    "enough channels": lambda: [nn.Conv2D(8, 3), nn.Conv2D(24, 2), nn.Conv2D(8, 1)],
    "too few channels": lambda: [nn.Conv2D(2, 3), nn.Conv2D(8, 1)],
    "a pooling of channels that come last": lambda: [
        nn.Conv2D(6, 3),
        Net(lambda F, x: F.Pooling(x, kernel=(2, 2), pool_type="max", layout="NHWC")),
        nn.Conv2D(8, 2),
    ],
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_graphs_stay_as_they_are(name):
    net = as_trained(sequential(LEFT_ALONE[name]()))
    symbol = trace(net)
    assert widened(symbol, net.collect_params()) is symbol


def test_input_channels_may_be_unknown():
    net = sequential(NARROW["one behind another"]())
    net.initialize()
    symbol = widened(trace(net), net.collect_params())
    assert channels_of(symbol)[0] in (8, 16)
    shapes, outputs, _ = symbol.infer_shape(data=X.shape)
    assert dict(zip(symbol.list_arguments(), shapes)) == {
        "data": X.shape,
        net[0].weight.name: (6, 3, 3, 3),
        net[0].bias.name: (6,),
        net[2].weight.name: (10, 6, 2, 2),
        net[2].bias.name: (10,),
        net[4].weight.name: (8, 10, 1, 1),
        net[4].bias.name: (8,),
    }
    assert outputs == [(4, 8, 3, 3)]


@pytest.mark.filterwarnings("ignore:Cannot decide type")
def test_of_a_net_read_from_a_file_the_weights_tell_the_shapes(tmp_path):
    net = as_trained(sequential(NARROW["LeNet's"]()))
    net.hybridize()
    expected = net(nd.array(X)).asnumpy()
    net.export(f"{tmp_path}/net")
    read = gluon.SymbolBlock.imports(
        f"{tmp_path}/net-symbol.json", ["data"], f"{tmp_path}/net-0000.params"
    )
    symbol = widened(trace(read), read.collect_params())
    assert channels_of(symbol)[0] in (8, 16)
    block = gluon.SymbolBlock(symbol, mx.sym.var("data"), params=read.collect_params())
    np.testing.assert_allclose(block(nd.array(X)).asnumpy(), expected, rtol=0, atol=1e-5)


def test_weights_without_values_stay_as_they_are():
    net = sequential([nn.Conv2D(6, 3, in_channels=3), nn.Conv2D(8, 1, in_channels=6)])
    symbol = trace(net)
    assert widened(symbol, net.collect_params()) is symbol


def test_weights_that_two_convolutions_share_stay_as_they_are():
    first = nn.Conv2D(6, 3, in_channels=6)
    net = as_trained(
        sequential(
            [
                nn.Conv2D(6, 1),
                first,
                nn.Conv2D(6, 3, in_channels=6, params=first.params),
                nn.Dense(3),
            ]
        )
    )
    symbol = trace(net)
    assert widened(symbol, net.collect_params()) is symbol


def test_other_types_of_numbers_and_what_is_no_graph_stay_as_they_are():
    for layers in (NARROW["LeNet's"], AVERAGED["a batch norm"]):
        net = sequential(layers())
        net.cast("float64")
        as_trained(net, X.astype(np.float64))
        symbol = trace(net)
        assert for_training(symbol, net.collect_params()) is symbol
        outputs = (symbol, symbol)
        assert for_training(outputs, net.collect_params()) is outputs


def test_of_the_sections_lenet_and_the_end_of_nin_have_so_few_channels():
    for section, recipe in RECIPES.items():
        net = recipe.net()
        net.initialize()
        net(nd.zeros((1, 1, recipe.size, recipe.size)))
        symbol = trace(net)
        assert (for_training(symbol, net.collect_params()) is symbol) == (
            section not in ("lenet", "nin")
        )


# --- global average poolings of few channels -----------------------------------------------------

AVERAGED = {
    "a batch norm": lambda: [
        *(nn.Conv2D(16, 3, use_bias=False), nn.BatchNorm(), nn.Activation("relu")),
        nn.GlobalAvgPool2D(),
        nn.Dense(3),
    ],
    "a sum": lambda: [
        Net(lambda F, x, a, b: relu(F, a(x) + b(x)), nn.Conv2D(64, 3), nn.Conv2D(64, 3)),
        nn.GlobalAvgPool2D(),
    ],
    "96 channels": lambda: [nn.Conv2D(96, 3), nn.GlobalAvgPool2D(), nn.Dense(3)],
    "no kernel": lambda: [
        nn.Conv2D(16, 3),
        Net(lambda F, x: F.Pooling(x, global_pool=True, pool_type="avg")),
    ],
}


def kinds_of(symbol):
    return [node["op"] for node in nodes_of(symbol)]


@pytest.mark.parametrize("name", AVERAGED)
def test_means_are_what_global_poolings_give(name):
    net = as_trained(sequential(AVERAGED[name]()))
    symbol = with_means(trace(net), net.collect_params())
    assert "mean" in kinds_of(symbol) and "Pooling" not in kinds_of(symbol)
    assert_the_same_numbers(symbol, net, AVERAGED[name](), 1e-4, least=1e-6)


@pytest.mark.parametrize(
    ("conv", "pool", "shape", "axis"),
    [
        (nn.Conv1D, nn.GlobalAvgPool1D, (2, 3, 9), "(2,)"),
        (nn.Conv3D, nn.GlobalAvgPool3D, (2, 3, 5, 5, 5), "(2, 3, 4)"),
    ],
)
def test_means_are_over_all_axes_behind_the_channels(conv, pool, shape, axis):
    X = np.random.RandomState(2).randn(*shape).astype(np.float32)
    net = as_trained(sequential([conv(8, 3), pool()]), X)
    symbol = with_means(trace(net), net.collect_params())
    [mean] = [node for node in nodes_of(symbol) if node["op"] == "mean"]
    assert mean["attrs"]["axis"] == axis
    block = gluon.SymbolBlock(symbol, mx.sym.var("data"), params=net.collect_params())
    np.testing.assert_allclose(block(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy(), atol=1e-6)


STAYING_POOLINGS = {
    "the greatest": lambda: [nn.Conv2D(16, 3), nn.GlobalMaxPool2D()],
    "not global": lambda: [nn.Conv2D(16, 3), nn.AvgPool2D(8)],
    "many channels": lambda: [nn.Conv2D(104, 3), nn.GlobalAvgPool2D()],
    "channels that are no multiple of 8": lambda: [nn.Conv2D(10, 3), nn.GlobalAvgPool2D()],
    "no convolution": lambda: [nn.GlobalAvgPool2D()],
    "a concatenation": lambda: [
        Net(lambda F, x, a, b: F.concat(a(x), b(x), dim=1), nn.Conv2D(8, 3), nn.Conv2D(8, 3)),
        nn.GlobalAvgPool2D(),
    ],
}


@pytest.mark.parametrize("name", STAYING_POOLINGS)
def test_other_poolings_stay_as_they_are(name):
    net = as_trained(sequential(STAYING_POOLINGS[name]()))
    symbol = trace(net)
    assert with_means(symbol, net.collect_params()) is symbol


def test_the_papers_nets_for_small_images_get_means():
    for name in ("cifar_resnet20_v1", "cifar_resnet56_v1"):
        net = gb.get_model(name, 10)
        net.initialize()
        net(nd.zeros((1, 1, 28, 28)))
        assert kinds_of(for_training(trace(net), net.collect_params())).count("mean") == 1
