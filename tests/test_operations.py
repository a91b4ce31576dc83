"""Nets as lists of operations, by which they are matched."""

from __future__ import annotations

from gluonbook.operations import gluon_ops
from mxnet.gluon import nn


def test_a_net_deeper_than_pythons_recursion():
    net = nn.HybridSequential()
    net.add(*(nn.Activation("relu") for _ in range(1500)))
    ops = gluon_ops(net)
    assert [op.inputs for op in ops] == [(i - 1,) for i in range(1500)]


class Joined(nn.HybridBlock):
    """Three activations of the input, joined by `join`."""

    def __init__(self, join):
        super().__init__()
        self.join = join

    def hybrid_forward(self, F, x):
        return self.join(F, F.sigmoid(x), F.tanh(x), F.Activation(x, act_type="relu"))


def test_joining_what_is_joined_already_is_joining_all():
    nets = [
        Joined(lambda F, a, b, c: F.concat(a, b, c, dim=1)),
        Joined(lambda F, a, b, c: F.concat(F.concat(a, b, dim=1), c, dim=1)),
        Joined(lambda F, a, b, c: F.concat(F.concat(a, dim=1), F.identity(F.concat(b, c)), dim=1)),
    ]
    for net in nets:
        ops = gluon_ops(net)
        assert [op.kind for op in ops] == ["sigmoid", "tanh", "relu", "concat"]
        assert ops[-1].inputs == (0, 1, 2)


def test_joining_along_another_axis_is_told_apart():
    ops = gluon_ops(Joined(lambda F, a, b, c: F.concat(F.concat(a, b, dim=1), c, dim=2)))
    assert [(op.kind, op.inputs) for op in ops if op.kind == "concat"] == [
        ("concat", (0, 1)),
        ("concat", (2, 3)),
    ]


def test_a_join_that_something_else_reads_too_stays():
    """As in DenseNet: the next layer reads what is joined so far, and its output is joined too."""

    def join(F, a, b, c):
        so_far = F.concat(a, b, dim=1)
        return F.concat(so_far, F.sigmoid(so_far), dim=1)

    ops = gluon_ops(Joined(join))
    assert [(op.kind, op.inputs) for op in ops] == [
        ("sigmoid", (-1,)),
        ("tanh", (-1,)),
        ("concat", (0, 1)),
        ("sigmoid", (2,)),
        ("concat", (0, 1, 3)),
    ]
