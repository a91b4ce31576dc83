"""The section's Inception net with batch normalisation, against arithmetic."""

from __future__ import annotations

import math

import gluonbook as gb
from gluonbook.nets.googlenet import INCEPTION_3, INCEPTION_4, INCEPTION_5
from gluonbook.operations import gluon_ops
import mxnet as mx
import pytest


def shapes(net, size, num_channels=3):
    """Shapes of the parameters that train, and of the output, without a single array."""
    symbol = net(mx.sym.var("data"))
    symbol = mx.sym.Group(list(symbol)) if isinstance(symbol, (list, tuple)) else symbol
    arguments, outputs, _ = symbol.infer_shape(data=(1, num_channels, size, size))
    of = dict(zip(symbol.list_arguments(), arguments))
    return [of[name] for name in net.collect_params() if name in of], outputs


def num_parameters(net, size, num_channels=3):
    return sum(math.prod(shape) for shape in shapes(net, size, num_channels)[0])


def test_googlenet_with_batch_norm_trades_each_bias_for_a_scale_and_a_shift():
    convolutions = 64 + 64 + 192
    for c1, c2, c3, c4 in INCEPTION_3 + INCEPTION_4 + INCEPTION_5:
        convolutions += c1 + sum(c2) + sum(c3) + c4
    assert convolutions == 7_280
    assert num_parameters(gb.googlenet(batch_norm=True), 96, 1) == 5_977_530 + convolutions


@pytest.mark.parametrize("edition", ["gluon", "pytorch"])
def test_googlenet_with_batch_norm_has_it_after_each_convolution(edition):
    kinds = [op.kind for op in gluon_ops(gb.googlenet(edition=edition, batch_norm=True))]
    plain = [op.kind for op in gluon_ops(gb.googlenet(edition=edition))]
    without = [kind for kind in kinds if kind != "batch norm"]
    assert without == plain and kinds.count("batch norm") == plain.count("conv") == 57
    assert all(b == "batch norm" for a, b in zip(kinds, kinds[1:]) if a == "conv")


def test_googlenet_as_the_section_has_it_is_unchanged():
    block = gb.Inception(1, (2, 3), (4, 5), 6, prefix="inception_")
    assert [
        layer.name for layer in (block.p1_1, block.p2_1, block.p2_2, block.p3_1, block.p3_2)
    ] == [f"inception_conv{i}" for i in range(5)]
    assert block.p4_1.name == "inception_pool0" and block.p4_2.name == "inception_conv5"
    assert list(block.collect_params()) == [
        f"inception_conv{i}_{what}" for i in range(6) for what in ("weight", "bias")
    ]
    names = list(gb.googlenet()._collect_params_with_prefix())
    assert names[:3] == ["0.0.weight", "0.0.bias", "1.0.weight"]
    assert names[-4:] == ["4.1.p4_2.weight", "4.1.p4_2.bias", "5.weight", "5.bias"]
