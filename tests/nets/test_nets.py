"""Every net against the book's printed tables and against arithmetic."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.nets.googlenet import INCEPTION_3, INCEPTION_4, INCEPTION_5
from gluonbook.summary import num_parameters
from gluonbook.zoo import gluoncv
import mxnet as mx
from mxnet import autograd, nd
import numpy as np
import pytest

from ..conftest import initialized, needs_gluoncv, num_inferred

#: Net, image size, the parameters that the book's text gives it.
NETS = [
    pytest.param(gb.lenet, {}, 28, 44_426, id="lenet"),
    pytest.param(gb.lenet, {"edition": "pytorch"}, 28, 61_706, id="lenet-pytorch"),
    pytest.param(gb.alexnet, {}, 224, 46_764_746, id="alexnet"),
    pytest.param(gb.alexnet, {"edition": "pytorch"}, 224, 46_764_746, id="alexnet-pytorch"),
    pytest.param(gb.vgg, {}, 224, 43_093_322, id="vgg"),
    pytest.param(gb.nin, {}, 224, 1_992_166, id="nin"),
    pytest.param(gb.googlenet, {}, 96, 5_977_530, id="googlenet"),
    pytest.param(gb.googlenet, {"edition": "pytorch"}, 96, 5_977_530, id="googlenet-pytorch"),
    pytest.param(gb.resnet, {}, 96, 11_178_378, id="resnet"),
    # Its 3×3 stem has 64 · (49 − 9) weights fewer than the 7×7 one.
    pytest.param(gb.resnet18, {"num_classes": 10}, 32, 11_178_378 - 64 * 40, id="resnet18"),
    pytest.param(gb.densenet, {}, 96, 982_506, id="densenet"),
    pytest.param(gb.densenet, {"edition": "pytorch"}, 96, 758_226, id="densenet-pytorch"),
]


@pytest.mark.parametrize(("build", "options", "size", "parameters"), NETS)
def test_parameters_gradients_hybrid_and_export(build, options, size, parameters, tmp_path):
    net = initialized(build(**options), size)
    assert num_parameters(net) == parameters

    X = nd.random.uniform(shape=(2, 1, size, size))
    with autograd.record():
        loss = (net(X) ** 2).sum()
    loss.backward()
    for name, parameter in net.collect_params().items():
        if parameter.grad_req != "null":
            gradient = parameter.grad().asnumpy()
            assert np.isfinite(gradient).all(), name
            # A convolution's bias before batch normalisation has gradient 0, but for rounding.
            assert np.abs(gradient).max() > 0, name

    imperative = net(X).asnumpy()
    assert imperative.shape == (2, 10)
    net.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(net(X).asnumpy(), imperative, rtol=1e-5, atol=1e-5)

    net.export(str(tmp_path / "net"))
    imported = mx.gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    np.testing.assert_allclose(imported(X).asnumpy(), imperative, rtol=1e-5, atol=1e-5)

    net.save_parameters(str(tmp_path / "net.params"))
    other = build(**options)
    other.load_parameters(str(tmp_path / "net.params"))
    np.testing.assert_array_equal(other(X).asnumpy(), imperative)


#: Output shapes of the layers as the book prints them, without the batch's 1.
SHAPES = {
    "lenet": (28, [(6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4), (120,), (84,), (10,)]),
    "alexnet": (
        224,
        [(96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (384, 12, 12)]
        + [(256, 12, 12), (256, 5, 5), (4096,), (4096,), (4096,), (4096,), (10,)],
    ),
    "vgg": (
        224,
        [(16, 112, 112), (32, 56, 56), (64, 28, 28), (128, 14, 14), (128, 7, 7)]
        + [(4096,), (4096,), (4096,), (4096,), (10,)],
    ),
    "nin": (
        224,
        [(96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (384, 5, 5)]
        + [(384, 5, 5), (10, 5, 5), (10, 1, 1), (10,)],
    ),
    "googlenet": (
        96,
        [(64, 24, 24), (192, 12, 12), (480, 6, 6), (832, 3, 3), (1024, 1, 1), (10,)],
    ),
    "resnet": (
        224,
        [(64, 112, 112), (64, 112, 112), (64, 112, 112), (64, 56, 56), (64, 56, 56)]
        + [(128, 28, 28), (256, 14, 14), (512, 7, 7), (512, 1, 1), (10,)],
    ),
    "densenet": (
        96,
        [(64, 48, 48), (64, 48, 48), (64, 48, 48), (64, 24, 24), (192, 24, 24), (96, 12, 12)]
        + [(224, 12, 12), (160, 6, 6), (288, 6, 6), (224, 3, 3), (352, 3, 3), (352, 3, 3)]
        + [(352, 3, 3), (352, 1, 1), (10,)],
    ),
}


@pytest.mark.parametrize("section", SHAPES)
def test_layer_shapes_are_the_books(section):
    size, expected = SHAPES[section]
    net = getattr(gb, section)()
    net.initialize()
    X = nd.zeros((1, 1, size, size))
    shapes = []
    for layer in net:
        X = layer(X)
        shapes.append(X.shape[1:])
    assert shapes == expected


def test_densenet_pytorch_edition_halves_what_a_transition_gets():
    net = initialized(gb.densenet(edition="pytorch"), 96)
    X, channels = nd.zeros((1, 1, 96, 96)), []
    for layer in net:
        X = layer(X)
        channels.append(X.shape[1])
    assert [channels[i] for i in (5, 7, 9, 10)] == [96, 112, 120, 248]


#: Sizes the book gives for 3a to 5b, in order.
INCEPTION_SIZES = [163_696, 388_736, 376_176, 449_160, 510_104, 605_376, 868_352, 1_043_456]
INCEPTION_SIZES += [1_444_080]
INCEPTION_INPUTS = [192, 256, 480, 512, 512, 512, 528, 832, 832]


@pytest.mark.parametrize(
    ("row", "channels", "parameters"),
    list(zip(INCEPTION_3 + INCEPTION_4 + INCEPTION_5, INCEPTION_INPUTS, INCEPTION_SIZES)),
)
def test_inception_blocks(row, channels, parameters):
    block = initialized(gb.Inception(*row), 6, channels)
    assert num_parameters(block) == parameters
    assert block(nd.zeros((1, channels, 6, 6))).shape == (
        1,
        row[0] + row[1][1] + row[2][1] + row[3],
        6,
        6,
    )


@pytest.mark.parametrize(
    ("depth", "ratio", "parameters"),
    # Table 2 of the paper counts 133, 133, 138 and 144 million for 3 channels and 1000 classes;
    # one channel and ten classes take 64 · 18 and 4097 · 990 off.
    [
        (11, 1, 132_863_336 - 1_152 - 4_056_030),
        (13, 1, 133_047_848 - 1_152 - 4_056_030),
        (16, 1, 138_357_544 - 1_152 - 4_056_030),
        (19, 1, 143_667_240 - 1_152 - 4_056_030),
    ],
)
def test_vgg_family(depth, ratio, parameters):
    assert num_inferred(gb.vgg(depth=depth, ratio=ratio), 224, 1) == parameters


@needs_gluoncv
def test_vgg_equals_gluoncvs():
    theirs = initialized(gluoncv.model_zoo().get_model("vgg11", classes=10), 64, 3)
    ours = gb.vgg(ratio=1)
    gluoncv.copy_parameters(theirs, ours)
    X = nd.random.uniform(shape=(1, 3, 64, 64))
    np.testing.assert_allclose(ours(X).asnumpy(), theirs(X).asnumpy(), rtol=1e-5, atol=1e-6)


def test_resnet34_by_arithmetic():
    def conv(inputs, outputs, kernel):
        return inputs * outputs * kernel**2 + outputs

    def residual(inputs, outputs):
        shortcut = conv(inputs, outputs, 1) if inputs != outputs else 0
        return conv(inputs, outputs, 3) + conv(outputs, outputs, 3) + 4 * outputs + shortcut

    stem = conv(1, 64, 7) + 2 * 64
    stages = 3 * residual(64, 64)
    for inputs, outputs, n in (64, 128, 4), (128, 256, 6), (256, 512, 3):
        stages += residual(inputs, outputs) + (n - 1) * residual(outputs, outputs)
    assert num_parameters(initialized(gb.resnet(depth=34), 96)) == stem + stages + 512 * 10 + 10


@pytest.mark.parametrize("num_1x1_convs", [0, 1, 2])
def test_nins_number_of_1x1_convolutions(num_1x1_convs):
    """Each takes n² + n numbers from a block of n channels."""
    one_by_ones = sum(n * n + n for n in (96, 256, 384, 10))
    net = initialized(gb.nin(num_1x1_convs=num_1x1_convs), 224)
    assert num_parameters(net) == 1_992_166 - (2 - num_1x1_convs) * one_by_ones


def test_nins_parameters_keep_their_names():
    """Those that the section's net has had, up to the number that its blocks count by."""
    names = [name.split("_", 1)[1] for name in gb.nin().collect_params()]
    assert names == [
        f"conv{i}_{kind}" for _ in range(4) for i in range(3) for kind in ("weight", "bias")
    ]


def test_residual_adds_its_input():
    """With the second batch normalisation's scale and shift at 0, only the input is left."""
    block = initialized(gb.Residual(3), 6, 3)
    block.bn2.gamma.set_data(nd.zeros(3))
    X = nd.random.normal(shape=(4, 3, 6, 6))
    np.testing.assert_array_equal(block(X).asnumpy(), np.maximum(X.asnumpy(), 0))


def test_dense_block_passes_its_input_on():
    block = initialized(gb.DenseBlock(2, 10), 8, 3)
    X = nd.random.normal(shape=(4, 3, 8, 8))
    Y = block(X)
    assert Y.shape == (4, 23, 8, 8)
    np.testing.assert_array_equal(Y[:, :3].asnumpy(), X.asnumpy())


@pytest.mark.parametrize(
    ("block", "shape", "expected"),
    [
        (lambda: gb.Residual(3), (4, 3, 6, 6), (4, 3, 6, 6)),
        (lambda: gb.Residual(6, use_1x1conv=True, strides=2), (4, 3, 6, 6), (4, 6, 3, 3)),
        (lambda: gb.resnet_block(8, 2), (2, 4, 7, 7), (2, 8, 4, 4)),
        (lambda: gb.resnet_block(4, 2, first_block=True), (2, 4, 7, 7), (2, 4, 7, 7)),
        (lambda: gb.conv_block(5), (1, 3, 8, 8), (1, 5, 8, 8)),
        (lambda: gb.transition_block(10), (4, 23, 8, 8), (4, 10, 4, 4)),
        (
            lambda: gb.nin_block(96, kernel_size=11, strides=4, padding=0),
            (1, 1, 64, 64),
            (1, 96, 14, 14),
        ),
        (lambda: gb.vgg_block(2, 6), (1, 3, 9, 9), (1, 6, 4, 4)),
    ],
)
def test_block_shapes(block, shape, expected):
    net = block()
    net.initialize()
    assert net(nd.zeros(shape)).shape == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gb.googlenet(edition="torch"),
            "edition must be 'gluon' or 'pytorch', not 'torch'",
        ),
        (lambda: gb.vgg(depth=12), "depth must be one of 11, 13, 16, 19, not 12"),
        (lambda: gb.vgg(ratio=0), "ratio must be from 1 to 64, not 0"),
        (lambda: gb.resnet(depth=50), "depth must be 18 or 34, not 50"),
        (lambda: gb.nin(num_1x1_convs=-1), "num_1x1_convs must be a whole number of at least 0"),
        (
            lambda: gb.nin_block(4, 3, 1, 1, num_1x1_convs=1.5),
            "num_1x1_convs must be a whole number of at least 0, not 1.5",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
