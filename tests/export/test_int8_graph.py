"""In 8 bits, every operation has the numbers of float32: what would not, is not quantized."""

from __future__ import annotations

from gluonbook.export import (
    QuantizationError,
    int8,
    int8_graph,
    quantizable_layers,
    quantize,
)
from gluonbook.operations import trace
from gluonbook.system.onednn import nodes_of
from mxnet import nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import python
from ..system.test_onednn import TWICE, Net, as_trained, conv, relu

X = np.random.RandomState(1).randn(32, 3, 12, 12).astype(np.float32)


def one_after_another(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    return net


def pooling(**settings):
    return nn.HybridLambda(lambda F, x: F.Pooling(x, kernel=(3, 3), stride=(2, 2), **settings))


NETS = {
    "GELU": lambda: (conv(), nn.GELU(), conv()),
    "GELU after batch norm": lambda: (conv(), nn.BatchNorm(), nn.GELU(), conv()),
    "leaky ReLU after a dense layer": lambda: (
        conv(),
        nn.Dense(16),
        nn.LeakyReLU(0.3),
        nn.Dense(8),
    ),
    "Swish": lambda: (conv(), nn.Swish(), conv()),
    "groups": lambda: (nn.Conv2D(16, 3, activation="relu"), nn.Conv2D(16, 3, groups=8), conv()),
    "average pool that rounds up": lambda: (
        conv(),
        pooling(pool_type="avg", pooling_convention="full"),
        conv(),
    ),
    "sum pool": lambda: (conv(), pooling(pool_type="sum"), conv()),
    "batch norm over the last axis": lambda: (conv(), nn.BatchNorm(axis=-1), nn.Dense(8)),
    "batch norm of rows": lambda: (nn.BatchNorm(axis=2), conv()),
    "transposed": lambda: (nn.Conv2DTranspose(8, 3), nn.BatchNorm(), nn.Activation("relu"), conv()),
    "negative term, ReLU": lambda: (
        Net(lambda F, x, a, b: (lambda y: relu(F, b(y) + y))(a(x)), conv(), conv(padding=1)),
        conv(),
    ),
    "positive term, no ReLU": lambda: (
        Net(lambda F, x, a, b: (lambda y: b(y) + y)(relu(F, a(x))), conv(), conv(padding=1)),
        conv(),
    ),
    "terms of another net": lambda: (
        Net(lambda F, x, a, b: relu(F, a(x)) + b(x), conv(), conv()),
        conv(),
    ),
    **{name: lambda name=name: (conv(), TWICE[name](), nn.Dense(8)) for name in TWICE},
}


def error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def layers_in_int8(net):
    """Kinds of the convolutions and dense layers in int8, in the net's order."""
    return [
        {"_sg_mkldnn_conv": "conv", "_sg_mkldnn_fully_connected": "dense"}[node["op"]]
        for node in nodes_of(trace(net))
        if node.get("attrs", {}).get("quantized", "").lower() == "true"
    ]


@pytest.mark.parametrize("name", NETS)
def test_the_numbers_are_those_of_float32(name):
    """8 bits give an error of 0.01 to 0.03 here; what they replace gave 0.07 to 0.8, or died."""
    net = as_trained(one_after_another(*NETS[name]()), X)
    expected = net(nd.array(X)).asnumpy()
    quantized = quantize(net, X)
    assert error(quantized(nd.array(X)).asnumpy(), expected) < 0.06
    assert layers_in_int8(quantized)


def test_convolutions_of_some_groups_stay_in_float32():
    """Of one group, and of one for each channel, they do not."""
    net = one_after_another(*(nn.Conv2D(16, 3, in_channels=16, groups=n) for n in (1, 2, 8, 16)))
    net.initialize()
    assert list(quantizable_layers(net)) == ["0", "3"]
    X = np.random.rand(4, 16, 10, 10).astype(np.float32)
    assert layers_in_int8(quantize(net, X)) == ["conv", "conv"]
    assert layers_in_int8(quantize(net, X, excluded=["0"])) == ["conv"]


@pytest.mark.parametrize(
    ("seven_bits", "dense"), [(False, ["2", "3", "4", "5"]), (True, ["3", "4"])]
)
def test_seven_bits_are_for_dense_layers_whose_input_is_never_negative(seven_bits, dense):
    """Inputs of the four dense layers: of a batch norm, of ReLU, of a sigmoid, of a dense layer."""
    net = one_after_another(
        *(conv(padding=1), nn.BatchNorm(), nn.Dense(16, activation="relu")),
        *(nn.Dense(16, activation="sigmoid"), nn.Dense(16), nn.Dense(4)),
    )
    nodes = int8_graph.fused_nodes(int8_graph.separated_for_int8(trace(net), unsigned_images=False))
    in_float32 = int8_graph.float32_nodes(nodes, seven_bits=seven_bits, unsigned_images=False)
    in_int8 = [place for place, node in quantizable_layers(net).items() if node not in in_float32]
    assert in_int8 == ["0", *dense]


def test_images_tell_the_sign_of_a_first_dense_layers_input(monkeypatch):
    monkeypatch.setattr(int8, "needs_seven_bits", lambda: True)
    net = as_trained(one_after_another(nn.Dense(8)), X)
    assert layers_in_int8(quantize(net, np.abs(X))) == ["dense"]
    with pytest.raises(QuantizationError, match="no convolution or dense layer left that"):
        quantize(net, X)


SIGNED = """
import gluonbook
import numpy as np
from mxnet import nd
from mxnet.gluon import nn
from tests.export.test_int8_graph import X, as_trained, conv, error, one_after_another, quantize

net = as_trained(one_after_another(conv(), nn.BatchNorm(), conv(), nn.BatchNorm(), nn.Dense(8)), X)
print(error(quantize(net, X)(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy()))
"""


def test_sums_of_a_processor_without_vnni_are_not_cut_off():
    """The variable makes oneDNN choose the instructions of such a processor; cut off, 0.2."""
    result = python(SIGNED, DNNL_MAX_CPU_ISA="AVX2")
    assert float(result.stdout) < 0.06, result.stderr


@pytest.mark.parametrize(
    ("sets", "most", "needs"),
    [
        (["AVX-512 VNNI"], None, False),
        (["AVX-512 VNNI"], "AVX512_CORE_VNNI", False),
        (["AVX-512 VNNI"], "AVX512_CORE", True),
        (["AVX-512 VNNI"], "AVX2", True),
        (["AVX-512 VNNI"], "no such set", False),
        (["AVX2"], None, True),
    ],
)
def test_who_needs_seven_bits(sets, most, needs, monkeypatch):
    monkeypatch.setattr(int8, "instruction_sets", lambda: sets)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    if most:
        monkeypatch.setenv("DNNL_MAX_CPU_ISA", most)
    assert int8.needs_seven_bits() is needs


def test_a_layer_that_is_wrong_for_a_reason_unknown_stays_in_float32(monkeypatch):
    """GELU in a convolution, which is not fused otherwise, loses what is below zero."""
    monkeypatch.setattr(int8_graph, "_is_right_behind", lambda node, source: True)
    net = as_trained(one_after_another(conv(), nn.GELU(), conv(activation="relu"), nn.Dense(8)), X)
    quantized = quantize(net, X)
    assert layers_in_int8(quantized) == ["conv", "dense"]
    assert error(quantized(nd.array(X)).asnumpy(), net(nd.array(X)).asnumpy()) < 0.06


def test_a_layer_that_stays_wrong_is_named(monkeypatch):
    net = as_trained(one_after_another(conv(), nn.Dense(8)), X)
    monkeypatch.setattr(int8, "wrong_operations", lambda *each: ["sg_mkldnn_fully_connected_0"])
    with pytest.raises(QuantizationError, match="the numbers of 1 are wrong"):
        quantize(net, X)


def test_numbers_that_eight_bits_do_not_hold_are_refused():
    """The large weights of one unit leave no bits to the others, and its ReLU is always 0."""
    net = as_trained(one_after_another(nn.Dense(8, activation="sigmoid"), nn.Dense(4)), X)
    weight = net[0].weight.data()
    weight[0] = 1000
    net[0].weight.set_data(weight)
    with pytest.raises(QuantizationError, match=r"differ by \d+% from those in float32"):
        quantize(net, np.abs(X))


def test_layers_that_share_a_weight_are_excluded_together():
    layer = nn.Dense(4, in_units=4)
    net = one_after_another(nn.Dense(4), layer, nn.Activation("relu"), layer)
    as_trained(net, X)
    assert layers_in_int8(quantize(net, np.abs(X), excluded=["3"])) == ["dense"]


def test_what_mxnet_cannot_quantize_ends_in_a_sentence():
    """It calibrates with 32 images at a time, and this net is of 40."""
    images = np.concatenate([X, X[:8]])
    net = as_trained(one_after_another(nn.BatchNorm(axis=0), conv()), images)
    with pytest.raises(QuantizationError, match=r"MXNet cannot quantize the net \(.*: use float32"):
        quantize(net, images)
