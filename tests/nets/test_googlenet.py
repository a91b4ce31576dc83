"""GoogLeNet with batch normalisation, with auxiliary classifiers, and with neither."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.nets.googlenet import INCEPTION_3, INCEPTION_4, INCEPTION_5
from gluonbook.operations import gluon_ops
import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import pytest

from ..conftest import inferred_shapes, initialized, num_inferred


def test_googlenet_with_batch_norm_trades_each_bias_for_a_scale_and_a_shift():
    convolutions = 64 + 64 + 192
    for c1, c2, c3, c4 in INCEPTION_3 + INCEPTION_4 + INCEPTION_5:
        convolutions += c1 + sum(c2) + sum(c3) + c4
    assert convolutions == 7_280
    assert num_inferred(gb.googlenet(batch_norm=True), 96, 1) == 5_977_530 + convolutions


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


def test_googlenets_classifiers_have_the_papers_layers():
    """Section 5: 128 channels of 1×1 over 4×4 averages, 1,024 units, and the classes."""
    net = gb.googlenet(1000, auxiliary=True)
    heads = sum((inputs + 1) * 128 + (16 * 128 + 1) * 1024 + 1025 * 1000 for inputs in (512, 528))
    plain = num_inferred(gb.googlenet(1000), 224)
    assert num_inferred(net, 224) == plain + heads
    assert inferred_shapes(net, 224)[1] == 3 * [(1, 1000)]
    for head, channels in zip(net.heads, (512, 528)):
        x, found = mx.sym.var("data"), []
        for layer in head:
            x = layer(x)
            found += x.infer_shape(data=(1, channels, 14, 14))[1]
        assert found[:2] == [(1, channels, 4, 4), (1, 128, 4, 4)]
        assert head[3]._rate == 0.7


def test_googlenet_without_its_classifiers_is_the_sections_net():
    """The same operations on the same parameters, though the fourth module is in three parts."""
    ours, plain = (gluon_ops(gb.googlenet(auxiliary=auxiliary)) for auxiliary in (True, False))
    assert [(op.kind, op.settings, op.inputs) for op in ours] == [
        (op.kind, op.settings, op.inputs) for op in plain
    ]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_googlenet_trains_all_its_classifiers(batch_norm, dataset):
    """Through `gb.train`, on real images, in one graph with the loss."""
    net = initialized(gb.googlenet(auxiliary=True, batch_norm=batch_norm), 65)
    net.hybridize(static_alloc=True, static_shape=True)
    before = {
        name: parameter.data().copy()
        for name, parameter in net.collect_params().items()
        if parameter.grad_req != "null"
    }
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    images = nd.array(np.pad(dataset.train.images[:4], ((0, 0), (0, 0), (18, 19), (18, 19))) / 255)
    batches = 4 * [(images, nd.array(dataset.train.labels[:4]))]
    history = gb.train(batches, batches[:1], net, gb.AuxiliaryLoss(), trainer, mx.cpu(), 3)
    # It begins as three guesses among ten classes, two of which are weighted.
    assert history[0].loss == pytest.approx(1.6 * np.log(10), rel=0.3)
    assert history[-1].loss < history[0].loss
    params = net.collect_params()
    unchanged = [name for name in before if (params[name].data() == before[name]).asnumpy().all()]
    assert not unchanged
