"""The papers' families: their sizes as published, and what every net must be able to do."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.export import export_symbol, import_symbol
from gluonbook.operations import gluon_ops
from gluonbook.summary import layer_table
from gluonbook.training.graphs import step_of
from gluonbook.zoo import cifar_resnet, densenet_family, preresnet, resnet_family, vgg_family
from gluonbook.zoo.wide_resnet import wide_resnet
import mxnet as mx
from mxnet import autograd, gluon, nd
import numpy as np
import pytest

from ..conftest import num_inferred, randomized

#: Trainable parameters for three channels and 1000 classes, as torchvision, GluonCV (``_v1``) and
#: imgclsmob (preresnet) publish them.
PARAMETERS = {
    "resnet18_v1": 11_689_512,
    "resnet34_v1": 21_797_672,
    "resnet50_v1": 25_575_912,
    "resnet101_v1": 44_589_800,
    "resnet152_v1": 60_252_648,
    "resnet18_v1b": 11_689_512,
    "resnet34_v1b": 21_797_672,
    "resnet50_v1b": 25_557_032,
    "resnet101_v1b": 44_549_160,
    "resnet152_v1b": 60_192_808,
    "preresnet18": 11_687_848,
    "preresnet34": 21_796_008,
    "preresnet50": 25_549_480,
    "preresnet101": 44_541_608,
    "preresnet152": 60_185_256,
    "preresnet200": 64_666_280,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name):
    assert num_inferred(gb.get_model(name), 224) == PARAMETERS[name]


def test_densenet264_by_arithmetic():
    """No one publishes it to the last digit; the paper's figure 3 has it at 33 million."""
    total, channels = 3 * 64 * 49 + 2 * 64, 64
    for block, num_layers in enumerate((6, 12, 64, 48)):
        for _ in range(num_layers):
            total += 2 * channels + channels * 128 + 2 * 128 + 128 * 32 * 9
            channels += 32
        if block < 3:
            total += 2 * channels + channels * (channels // 2)
            channels //= 2
    total += 2 * channels + 1000 * (channels + 1)
    assert num_inferred(gb.get_model("densenet264"), 224) == total
    assert round(total / 1e6) == 33


def test_nin_for_cifar10_by_arithmetic():
    weights = 3 * 192 * 25 + 192 * 160 + 160 * 96
    weights += 96 * 192 * 25 + 2 * 192 * 192
    weights += 192 * 192 * 9 + 192 * 192 + 192 * 10
    biases = (192 + 160 + 96) + 3 * 192 + (192 + 192 + 10)
    assert num_inferred(gb.get_model("nin_cifar10", 10), 32) == weights + biases == 966_986


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_resnets_for_cifar10_by_arithmetic_and_table_6(depth, millions):
    """The 1×1 convolutions of the two shortcuts, with batch norm, are not the paper's."""
    num_blocks = (depth - 2) // 6
    total, channels = 3 * 16 * 9 + 2 * 16, 16
    for width in (16, 32, 64):
        for _ in range(num_blocks):
            total += (channels + width) * width * 9 + 2 * 2 * width
            channels = width
    total += 64 * 10 + 10
    shortcuts = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert num_inferred(gb.get_model(f"cifar_resnet{depth}_v1", 10), 32) == total + shortcuts
    assert round(total / 1e6, 1 if depth == 110 else 2) == millions


#: Table 4, in millions; 16-2 and 28-2 are not in it.
WIDE = {
    **{(40, 1): 0.6, (40, 2): 2.2, (40, 4): 8.9, (40, 8): 35.7, (28, 10): 36.5, (28, 12): 52.5},
    **{(22, 8): 17.2, (22, 10): 26.8, (16, 8): 11.0, (16, 10): 17.1, (16, 2): None, (28, 2): None},
}


@pytest.mark.parametrize(("depth", "factor"), WIDE)
def test_wide_resnets_by_arithmetic_and_table_4(depth, factor):
    total, channels = 3 * 16 * 9, 16
    for width in (16 * factor, 32 * factor, 64 * factor):
        for _ in range((depth - 4) // 6):
            total += 2 * channels + channels * width * 9 + 2 * width + width * width * 9
            total += channels * width if channels != width else 0
            channels = width
    total += 2 * channels + 10 * channels + 10
    assert num_inferred(gb.get_model(f"cifar_wideresnet{depth}_{factor}", 10), 32) == total
    assert WIDE[depth, factor] in (None, round(total / 1e6, 1))


def test_the_depth_of_a_wide_resnet_is_6n_plus_4():
    for depth in (4, 12, 18, 20, 30):
        with pytest.raises(ValueError, match=f"10, 16, 22, 28 and so on, not {depth}"):
            wide_resnet(depth, 2)


@pytest.mark.parametrize("name", ["resnet18_v1b", "preresnet50", "densenet161"])
def test_a_stem_for_small_images_is_3_by_3(name):
    channels = 96 if name == "densenet161" else 64
    small = num_inferred(gb.get_model(name, small_images=True), 32)
    assert small == num_inferred(gb.get_model(name), 224) - 3 * channels * (49 - 9)


@pytest.mark.parametrize("name", ["resnet18_v1", "resnet50_v1b", "preresnet18", "densenet121"])
@pytest.mark.parametrize("size", [28, 32, 64])
def test_small_images_are_halved_three_times(name, size):
    ops = gluon_ops(gb.get_model(name, small_images=True), (1, 1, size, size))
    [last] = [op.inputs[0] for op in ops if op.kind == "global average pool"]
    # A convolution rounds 7 / 2 up, DenseNet's pooling down.
    assert ops[last].shape[2] == (3 if (name, size) == ("densenet121", 28) else -(-size // 8))


@pytest.mark.parametrize("name", ["vgg11", "vgg19_bn"])
@pytest.mark.parametrize(("size", "last"), [(28, 1), (32, 2), (64, 4)])
def test_small_images_are_halved_four_times_by_vgg(name, size, last):
    small, large = gb.get_model(name, 10, small_images=True), gb.get_model(name, 10)
    fewer = 4096 * 512 * (7 * 7 - last * last)
    assert num_inferred(small, size) == num_inferred(large, 224) - fewer


#: Table 1 of "Deep residual learning" at 224×224.
RESNET_ROWS = [("conv1", 64, 112), ("conv2_x", 64, 56), ("conv3_x", 128, 28), ("conv4_x", 256, 14)]
RESNET_ROWS += [("conv5_x", 512, 7)]


@pytest.mark.parametrize("name", ["resnet18_v1b", "preresnet18"])
def test_the_top_level_is_the_rows_of_table_1(name):
    net = gb.get_model(name)
    net.initialize()
    rows = [row for row in layer_table(net, (1, 3, 224, 224)) if row.kind == "HybridSequential"]
    assert [(row.name, *row.output_shape[1:3]) for row in rows] == RESNET_ROWS
    # Table 1: 1.8 · 10⁹ multiply-adds, for both orders of the block.
    assert round(sum(row.multiply_adds for row in rows) / 1e9, 1) == 1.8


def test_densenets_rows_have_table_1s_shapes():
    net = gb.get_model("densenet121", 10)
    net.initialize()
    rows = {row.name: row.output_shape[1:3] for row in layer_table(net, (1, 3, 224, 224))}
    assert rows["conv0"] == (64, 112) and rows["pool0"] == (64, 56)
    blocks = [rows[f"denseblock{i}"] for i in (1, 2, 3, 4)]
    assert blocks == [(256, 56), (512, 28), (1024, 14), (1024, 7)]
    assert [rows[f"transition{i}"] for i in (1, 2, 3)] == [(128, 28), (256, 14), (512, 7)]


@pytest.mark.parametrize(("size", "sizes"), [(32, (32, 32, 16, 8)), (28, (28, 28, 14, 7))])
def test_resnets_for_cifar10_halve_the_image_twice(size, sizes):
    net = gb.get_model("cifar_resnet20_v1", 10)
    net.initialize()
    rows = [row.output_shape for row in layer_table(net, (1, 3, size, size))]
    channels = (16, 16, 32, 64)
    assert rows[1:5] == [(1, *shape, shape[1]) for shape in zip(channels, sizes)]


def test_nin_for_cifar10_pools_to_16_and_8():
    net = gb.get_model("nin_cifar10", 10)
    net.initialize()
    rows = [row.output_shape for row in layer_table(net, (1, 3, 32, 32)) if "pool" in row.name]
    assert rows == [(1, 96, 16, 16), (1, 192, 8, 8), (1, 10, 1, 1)]


#: Nets that are run, with the image size of a quick run.
RUN = {
    "resnet18_v1b": 64,
    "resnet50_v1b": 64,
    "preresnet50": 64,
    "densenet121": 64,
    "vgg13_bn": 32,
    "nin_cifar10": 32,
    "cifar_resnet20_v1": 32,
    "cifar_wideresnet16_2": 32,
}


@pytest.mark.parametrize("name", RUN)
def test_gradients_hybrid_and_export(name, tmp_path):
    size = RUN[name]
    net = randomized(gb.get_model(name, 10), size)
    X = nd.random.uniform(shape=(2, 3, size, size))
    with autograd.record():
        loss = (net(X) ** 2).sum()
    loss.backward()
    for parameter in net.collect_params().values():
        if parameter.grad_req != "null":
            gradient = parameter.grad().asnumpy()
            # A convolution's bias before batch normalisation has gradient 0, but for rounding.
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, parameter.name

    imperative = net(X).asnumpy()
    assert imperative.shape == (2, 10)
    scale = np.abs(imperative).max()
    export_symbol(net, tmp_path / "net", X.shape)
    imported = import_symbol(tmp_path / "net")
    np.testing.assert_allclose(imported(X).asnumpy(), imperative, rtol=0, atol=1e-5 * scale)
    net.hybridize(static_alloc=True, static_shape=True)
    for _ in range(3):
        np.testing.assert_allclose(net(X).asnumpy(), imperative, rtol=0, atol=1e-5 * scale)


def waves(n, size):
    """Images (n, 1, size, size) of stripes: one period, two, three, …"""
    phases = np.outer(np.arange(1, n + 1), np.linspace(0, 2 * np.pi, size))
    return nd.array(np.broadcast_to(np.sin(phases)[:, None, None], (n, 1, size, size)))


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18_v1b", {"small_images": True}, 28),
        ("preresnet18", {"small_images": True}, 28),
        ("densenet121", {}, 64),
        ("vgg11_bn", {"small_images": True}, 28),
        ("nin_cifar10", {}, 28),
        ("cifar_resnet20_v1", {}, 28),
    ],
)
def test_the_step_of_training_overfits_one_batch(name, options, size):
    net = gb.get_model(name, 4, **options)
    net.initialize(mx.init.MSRAPrelu())
    X, y = waves(4, size), nd.array([0, 1, 2, 3])
    net(X)
    if name == "nin_cifar10":  # its scores end in a ReLU, and a class of scores 0 learns nothing
        net[-3][-1].bias.set_data(nd.full(4, 3))
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.0005})
    step = step_of(net, gluon.loss.SoftmaxCrossEntropyLoss())
    for _ in range(30):
        with autograd.record():
            outcome = step(X, y)
        outcome.losses.backward()
        trainer.step(len(X))
        figures = outcome.read()
        if figures.correct == len(X) and figures.loss < 0.5 * len(X):
            return
    pytest.fail(f"{figures}")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: resnet_family.resnet_v1(20),
            "depth must be one of 18, 34, 50, 101, 152, not 20",
        ),
        (
            lambda: preresnet.preresnet(20),
            "depth must be one of 18, 34, 50, 101, 152, 200, not 20",
        ),
        (
            lambda: cifar_resnet.cifar_resnet(18),
            "depth must be one of 20, 32, 44, 56, 110, not 18",
        ),
        (
            lambda: densenet_family.densenet_bc(100),
            "depth must be one of 121, 161, 169, 201, 264, not 100",
        ),
        (
            lambda: vgg_family.vgg_imagenet(12),
            "depth must be one of 11, 13, 16, 19, not 12",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
