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


def test_which_of_several_outputs_is_read_is_told():
    """As in a channel shuffle: the halves of an input, one of them changed, swapped or not."""

    class Halves(nn.HybridBlock):
        def __init__(self, changed):
            super().__init__()
            self.changed = changed

        def hybrid_forward(self, F, x):
            halves = F.split(x, num_outputs=2)
            return F.concat(F.sigmoid(halves[self.changed]), halves[0])

    one, other = (
        [(op.kind, op.settings, op.inputs) for op in gluon_ops(Halves(i))] for i in (0, 1)
    )
    assert [kind for kind, *_ in one] == [kind for kind, *_ in other]
    assert one != other


def test_a_parameter_of_an_operator_that_is_not_known_is_seen():
    net = nn.Embedding(4, 3)
    [op] = gluon_ops(net)
    assert op.weights == {"parameter 1": net.weight} and op.inputs == (-1,)
