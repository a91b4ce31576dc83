"""The Inception nets against the papers' figures, published sizes, GluonCV and arithmetic."""

from __future__ import annotations

import math

import gluonbook as gb
from gluonbook.export import export_symbol, import_symbol
from gluonbook.operations import gluon_ops
from gluonbook.system.messages import describe
from gluonbook.training.graphs import _OneGraph, inference_of, step_of
from gluonbook.zoo.gluoncv import model_zoo
from gluonbook.zoo.inception_tables import avg_pool, block_of, max_pool
from gluonbook.zoo.inceptionresnet import A_V1
import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import pytest

from ..conftest import inferred_shapes, initialized, needs_gluoncv, num_inferred

#: Trainable parameters for 1,000 classes and 3 channels, as published for these nets.
PARAMETERS = {
    "bninception": (224, 11_295_240),
    "inceptionv3": (299, 23_834_568),
    "inceptionv4": (299, 42_679_816),
    "inceptionresnetv1": (299, 23_995_624),
    "inceptionresnetv2": (299, 55_843_464),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name):
    size, parameters = PARAMETERS[name]
    net = gb.get_model(name)
    assert num_inferred(net, size) == parameters
    assert inferred_shapes(net, size)[1] == [(1, 1000)]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_stem_for_small_images_changes_no_size_but_bninceptions_first(name):
    """There 64 filters have 3·3 weights for each of 3 channels, not 7·7."""
    _, parameters = PARAMETERS[name]
    net = gb.get_model(name, small_images=True)
    parameters -= 64 * 3 * (49 - 9) if name == "bninception" else 0
    for size in (28, 33, 64, 96):
        assert num_inferred(net, size) == parameters
        assert inferred_shapes(net, size)[1] == [(1, 1000)]


def test_bninception_takes_the_sizes_that_its_docstring_names():
    """Its poolings and convolutions halve odd sizes differently, and that is told in a sentence."""
    net = initialized(gb.get_model("bninception", 10), 64, 3)
    for multiple in (64, 224):
        for size in (multiple - 1, multiple + 6):
            assert inferred_shapes(net, size)[1] == [(1, 10)]
    for size in (62, 71):
        with pytest.raises(mx.base.MXNetError) as failure:
            net(nd.zeros((1, 3, size, size)))
        assert "images" in describe(failure.value) and "size" in describe(failure.value)


#: What the papers print after each row: channels, and height and width. BN-Inception's rows 3c and
#: 4e print the size before their stride of 2, and 4c to 4e fewer channels than their filters have.
V3_STEM = [(32, 149), (32, 147), (64, 147), (64, 73), (80, 73), (192, 71), (192, 35)]
ROWS = {
    "bninception": [(64, 112), (64, 56), (192, 56), (192, 28)]
    + [(256, 28), (320, 28), (576, 14), (576, 14), (576, 14), (608, 14), (608, 14)]
    + [(1056, 7), (1024, 7), (1024, 7), (1024, 1)],
    "inceptionv3": V3_STEM
    + [(256, 35), (288, 35), (288, 35), (768, 17), (768, 17), (768, 17), (768, 17), (768, 17)]
    + [(1280, 8), (2048, 8), (2048, 8), (2048, 1), (2048, 1)],
    "inceptionv4": [(32, 149), (32, 147), (64, 147), (160, 73), (192, 71), (384, 35)]
    + [(384, 35), (1024, 17), (1024, 17), (1536, 8), (1536, 8), (1536, 1), (1536, 1)],
    "inceptionresnetv1": V3_STEM[:-1]
    + [(256, 35), (256, 35), (896, 17), (896, 17), (1792, 8), (1792, 8), (1792, 1), (1792, 1)],
    "inceptionresnetv2": V3_STEM
    + [(320, 35), (320, 35), (1088, 17), (1088, 17), (2080, 8), (2080, 8), (1536, 8)]
    + [(1536, 1), (1536, 1)],
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_have_the_papers_shapes(name):
    size, _ = PARAMETERS[name]
    x, found = mx.sym.var("data"), []
    for row in gb.get_model(name):
        x = row(x)
        _, [shape], _ = x.infer_shape(data=(1, 3, size, size))
        found.append(shape[1:])
    images = [shape for shape in found if len(shape) == 3]
    assert images == [(channels, size, size) for channels, size in ROWS[name]]
    assert found[-1] == (1000,)


def randomized(net, size, num_channels=3):
    """With weights that keep the signal's size, and running statistics as after training."""
    net.initialize(mx.init.Xavier(factor_type="in", magnitude=6))
    net(nd.zeros((1, num_channels, size, size)))
    nd.waitall()
    for name, parameter in net.collect_params().items():
        low, high = RANGES.get(name.rpartition("_")[2], (-0.5, 0.5))
        if not name.endswith("weight"):
            parameter.set_data(nd.random.uniform(low, high, shape=parameter.shape))
    return net


#: Of what is not around 0: the scale and the running variance.
RANGES = {"gamma": (0.5, 1.5), "var": (0.5, 2)}


def two_images(num_channels, size):
    """The second with three times the contrast."""
    return nd.random.normal(shape=(2, num_channels, size, size)) * nd.array([[[[1]]], [[[3]]]])


def close(found, expected, rtol=1e-4):
    """Within `rtol` of the greatest output, where the outputs depend on the image."""
    found, expected = found.asnumpy(), expected.asnumpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.03 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("name", PARAMETERS)
def test_hybrid_fused_exported_and_backward(name, tmp_path):
    net = randomized(gb.get_model(name, 7, small_images=True), 28, 1)
    X, y = two_images(1, 28), nd.array([1, 5])
    imperative = net(X)
    net.hybridize(static_alloc=True, static_shape=True)
    close(net(X), imperative)
    close(inference_of(net, [mx.cpu()])(X), imperative)
    export_symbol(net, tmp_path / "net", X.shape)
    close(import_symbol(tmp_path / "net")(X), imperative)

    with autograd.record():
        outcome = step_of(net, gluon.loss.SoftmaxCrossEntropyLoss())(X, y)
    outcome.losses.backward()
    for parameter in net.collect_params().values():
        if parameter.grad_req != "null":
            gradient = parameter.grad().asnumpy()
            assert np.isfinite(gradient).all(), parameter.name
            # A convolution's bias before batch normalisation has gradient 0, but for rounding.
            assert np.abs(gradient).max() > 0, parameter.name


@needs_gluoncv
def test_inceptionv3_equals_gluoncvs():
    """Layer by layer in the order of computation: theirs are named and nested otherwise."""
    theirs = model_zoo().get_model("inceptionv3", classes=10)
    randomized(theirs, 299)
    ours = initialized(gb.get_model("inceptionv3", 10), 299, 3)
    layers = [[op for op in gluon_ops(net) if op.weights] for net in (theirs, ours)]
    assert [op.settings for op in layers[0]] == [op.settings for op in layers[1]]
    for source, target in zip(*layers):
        for role, parameter in target.weights.items():
            parameter.set_data(source.weights[role].data())
    X = two_images(3, 299)
    close(ours(X), theirs(X))


def conv(inputs, outputs, *kernel):
    """Weights of a convolution without bias, and its batch normalisation's scale and shift."""
    return inputs * outputs * math.prod(kernel) + 2 * outputs


def test_the_blocks_of_inceptionv3_by_arithmetic():
    rows = {row.name: row for row in gb.get_model("inceptionv3")}
    # Figure 5 over 192 channels, with 32 channels after the pooling.
    a = conv(192, 64, 1) + conv(192, 48, 1) + conv(48, 64, 5, 5) + conv(192, 64, 1)
    a += conv(64, 96, 3, 3) + conv(96, 96, 3, 3) + conv(192, 32, 1)
    assert num_inferred(rows["mixed_5b"], 35, 192) == a
    # Figure 6 over 768 channels, with 128 channels between the one-sided convolutions.
    b = conv(768, 192, 1) + 2 * conv(768, 128, 1) + 4 * conv(128, 128, 7) + 2 * conv(128, 192, 7)
    b += conv(768, 192, 1)
    assert num_inferred(rows["mixed_6b"], 17, 768) == b
    # Figure 7 over 1,280 channels.
    c = conv(1280, 320, 1) + conv(1280, 384, 1) + 4 * conv(384, 384, 3)
    c += conv(1280, 448, 1) + conv(448, 384, 3, 3) + conv(1280, 192, 1)
    assert num_inferred(rows["mixed_7b"], 8, 1280) == c


def test_a_residual_block_by_arithmetic():
    paths = 3 * conv(256, 32, 1) + 3 * conv(32, 32, 3, 3)
    expansion = 96 * 256 + 256  # with a bias and no batch normalisation
    assert num_inferred(A_V1(), 5, 256) == paths + expansion


def test_a_residual_block_adds_its_scaled_paths():
    block = initialized(A_V1(), 5, 256)
    block.expand.weight.set_data(nd.zeros((256, 96, 1, 1)))
    block.expand.bias.set_data(nd.full(256, 2))
    X = nd.random.normal(shape=(2, 256, 5, 5))
    np.testing.assert_allclose(block(X).asnumpy(), np.maximum(X.asnumpy() + 0.34, 0), atol=1e-6)


def test_entries_of_a_table():
    """Stride 2 without padding takes 31 to (31 − 3) // 2 + 1; paths are joined along channels."""
    entry = [(4, 3, 2), ([(3, (1, 3))], [avg_pool, (5, 1)]), (2, 3, 1, 0), (1, 3, 2, 1), max_pool]
    x, found = mx.sym.var("data"), []
    for layer in block_of(entry):
        x = layer(x)
        found += x.infer_shape(data=(1, 1, 31, 31))[1]
    assert found == [(1, 4, 15, 15), (1, 8, 15, 15), (1, 2, 13, 13), (1, 1, 7, 7), (1, 1, 3, 3)]


def test_bninception_overfits_one_batch(dataset):
    net = initialized(gb.get_model("bninception", 10, small_images=True), 28)
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.05})
    X, y = nd.array(dataset.train.images[:4] / 255), nd.array(dataset.train.labels[:4])
    step = step_of(net, gluon.loss.SoftmaxCrossEntropyLoss())
    losses = []
    for _ in range(10):
        with autograd.record():
            outcome = step(X, y)
        outcome.losses.backward()
        trainer.step(4)
        losses.append(outcome.read().loss / 4)
    assert losses[-1] < 0.1 < 2 < losses[0]


def test_inceptionv3s_classifier_has_the_published_size():
    """With it, torchvision counts 27,161,264."""
    net = gb.get_model("inceptionv3", auxiliary=True)
    assert num_inferred(net, 299) == 27_161_264
    assert inferred_shapes(net, 299)[1] == 2 * [(1, 1000)]


def test_inceptionv3_trains_its_classifier_on_small_images():
    net = initialized(gb.get_model("inceptionv3", 10, small_images=True, auxiliary=True), 28)
    net.hybridize(static_alloc=True, static_shape=True)
    X, y = nd.random.normal(shape=(2, 1, 28, 28)), nd.array([1, 5])
    step = step_of(net, gb.AuxiliaryLoss())
    assert isinstance(step, _OneGraph)
    with autograd.record():
        outcome = step(X, y)
    outcome.losses.backward()
    for name, parameter in net.collect_params().items():
        if parameter.grad_req != "null":
            assert np.abs(parameter.grad().asnumpy()).max() > 0, name
