"""Parameters and multiply-adds against counts made by hand."""

from __future__ import annotations

import os

import gluonbook as gb
from gluonbook.summary import format_table, layer_table, num_parameters, planned_memory, totals
import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn
import pytest


@pytest.fixture
def lenet():
    net = gb.lenet()
    net.initialize()
    return net


def test_lenets_layers(lenet):
    rows = layer_table(lenet, (1, 1, 28, 28))
    assert [row.kind for row in rows] == ["Conv2D", "MaxPool2D"] * 2 + ["Dense"] * 3
    assert [row.parameters for row in rows if row.parameters] == [
        6 * (25 + 1),
        16 * (6 * 25 + 1),
        120 * (256 + 1),
        84 * (120 + 1),
        10 * (84 + 1),
    ]
    assert [row.multiply_adds for row in rows if row.multiply_adds] == [
        24 * 24 * 6 * 25,
        8 * 8 * 16 * 150,
        256 * 120,
        120 * 84,
        84 * 10,
    ]


def test_multiply_adds_are_for_one_example(lenet):
    one, four = (layer_table(lenet, (n, 1, 28, 28)) for n in (1, 4))
    assert [row.multiply_adds for row in one] == [row.multiply_adds for row in four]


def test_nested_layers_are_counted():
    net = nn.HybridSequential()
    net.add(gb.Residual(4, use_1x1conv=True, strides=2))
    net.initialize()
    [row] = layer_table(net, (1, 2, 8, 8))
    assert row.multiply_adds == 16 * 4 * (2 * 9 + 4 * 9 + 2)


def test_resnet18_has_the_papers_multiply_adds():
    """Table 1: 1.8 · 10⁹ at 224×224, three channels and 1000 classes."""
    net = gb.resnet(1000)
    parameters, multiply_adds = totals(layer_table(net, (1, 3, 224, 224)))
    net.initialize()
    net(nd.zeros((1, 3, 32, 32)))  # from here on the net knows its shapes
    assert parameters == num_parameters(net)
    assert round(multiply_adds / 1e9, 1) == 1.8


def test_a_net_that_is_on_a_device_and_hybridized_is_left_as_it_is(lenet):
    expected = layer_table(gb.lenet(), (1, 1, 28, 28))
    lenet.initialize(ctx=mx.cpu(1), force_reinit=True)
    lenet.hybridize(static_alloc=True, static_shape=True)
    before = mx.nd.random.uniform(ctx=mx.cpu(1), shape=(2, 1, 28, 28))
    answer = lenet(before).asnumpy()
    found = layer_table(lenet, (1, 1, 28, 28))
    assert [row[1:] for row in found] == [row[1:] for row in expected]
    assert (lenet(before).asnumpy() == answer).all()


def test_table_lines_up_and_adds_up(lenet):
    lines = format_table(layer_table(lenet, (1, 1, 28, 28))).splitlines()
    assert len(lines) == 9 and len({len(line) for line in lines}) == 1
    assert lines[-1].split() == ["total", "44,426", "281,640"]
    assert lines[1].split()[1:] == ["Conv2D", "1×6×24×24", "156", "86,400"]


def test_planned_memory_is_what_the_results_of_the_operators_take(capfd):
    """A result of 64 channels at 96×96 for 64 images in float32 takes 144 MiB."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(64, kernel_size=3, padding=1), nn.Activation("sigmoid"))
    net.add(nn.Conv2D(64, kernel_size=3, padding=1), nn.GlobalAvgPool2D())
    assert planned_memory(net, (64, 1, 96, 96), training=False) == 2 * 144 * 2**20
    net.add(nn.Flatten(), nn.Dense(10))
    # Training keeps both results for their gradients, which take as much again.
    assert planned_memory(net, (64, 1, 96, 96)) == 4 * 144 * 2**20
    half = planned_memory(net, (32, 1, 96, 96))
    assert half == 2 * 144 * 2**20
    assert "MXNET_SUBGRAPH_BACKEND" not in os.environ
    assert capfd.readouterr().err == ""
