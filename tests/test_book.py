"""The forms in which code of the book calls this package, under each of its names."""

from __future__ import annotations

import functools
import inspect

import gluonbook as d2l
import mxnet as mx
from mxnet import gluon, init, nd
import numpy as np
import pytest

#: What the printed book's sections on convolutional nets call as ``d2l.X``, where the package is
#: ``d2lzh``; and what its other sections call that train such nets.
NAMES = {
    "layers and channels": ("corr2d",),
    "LeNet": ("load_data_fashion_mnist", "try_gpu", "evaluate_accuracy", "train_ch5"),
    "AlexNet to DenseNet": ("load_data_fashion_mnist", "try_gpu", "train_ch5"),
    "softmax regression": ("train_ch3", "evaluate_accuracy", "accuracy", "sgd"),
    "its pictures": ("get_fashion_mnist_labels", "show_fashion_mnist", "semilogy", "plt"),
    "how they are drawn": ("set_figsize", "use_svg_display"),
    "speed": ("Benchmark",),
    "several GPUs": ("resnet18", "train", "try_all_gpus", "Residual"),
}


@pytest.mark.parametrize("section", NAMES)
def test_the_names_of_the_printed_book_are_here(section):
    for name in NAMES[section]:
        assert inspect.ismodule(getattr(d2l, name)) or callable(getattr(d2l, name)), name


@pytest.fixture
def batches():
    X = np.random.normal(size=(12, 2)).astype(np.float32)
    y = np.arange(12) % 3
    return [(nd.array(X[i : i + 4]), nd.array(y[i : i + 4])) for i in range(0, 12, 4)]


def dense(ctx):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(3, in_units=2))
    net.initialize(init.Constant(0.1), ctx=ctx)
    return net, gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})


def figures(history):
    return [row[:-1] for row in history]


def trained(batches, call, ctx=None):
    """The epochs and the weights that ``call(net, trainer)`` leaves."""
    net, trainer = dense(ctx or mx.cpu())
    history = call(net, trainer)
    return figures(history), net[0].weight.list_data()[0].asnumpy()


def test_the_loss_may_be_the_fourth_argument_as_in_2018(batches):
    """``train_ch5(net, train_iter, test_iter, loss, batch_size, trainer, ctx, num_epochs)``."""
    data, ctx = (batches, batches), mx.cpu()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def now(net, trainer, **options):
        return d2l.train_ch5(net, *data, 4, trainer, ctx, 2, **options)

    def in_2018(net, trainer, loss):
        return d2l.train_ch5(net, *data, loss, 4, trainer, ctx, 2)

    expected, weight = trained(batches, now)
    for call in (functools.partial(in_2018, loss=loss), functools.partial(now, loss=loss)):
        found = trained(batches, call)
        assert found[0] == expected and np.array_equal(found[1], weight)

    halved = gluon.loss.SoftmaxCrossEntropyLoss(weight=0.5)  # what is given is what is used
    found, _ = trained(batches, functools.partial(in_2018, loss=halved))
    assert found[0][1] == pytest.approx(0.5 * np.log(3), rel=0.2) != expected[0][1]
    net, trainer = dense(ctx)
    with pytest.raises(TypeError, match="loss"):
        d2l.train_ch5(net, *data, loss, 4, trainer, ctx, 2, loss=loss)


def test_train_ch5_takes_a_list_of_devices(batches, capsys):
    def on(ctx):
        return lambda net, trainer: d2l.train_ch5(net, batches, batches, 4, trainer, ctx, 2)

    expected, weight = trained(batches, on(mx.cpu()))
    capsys.readouterr()
    for ctx in ([mx.cpu()], [mx.cpu(0), mx.cpu(1)]):
        found = trained(batches, on(ctx), ctx)
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)
        np.testing.assert_allclose(found[1], weight, rtol=1e-5)
        assert capsys.readouterr().out.startswith(f"training on {ctx}\n")


def test_accuracies_are_scalars_of_numpys(batches):
    y_hat, y = nd.array([[0.1, 0.9], [0.8, 0.2]]), nd.array([1, 1])
    net, _ = dense(mx.cpu())
    for found in (d2l.accuracy(y_hat, y), d2l.evaluate_accuracy(batches, net)):
        assert isinstance(found, np.generic) and isinstance(found, float)
        assert found.mean() == found
    assert d2l.accuracy(y_hat, y).mean() == 0.5


def num_parameters(conv_arch, size):
    """Of convolutions 3×3 and three dense layers, each with biases, for gray images."""
    total, channels = 0, 1
    for num_convs, num_channels in conv_arch:
        for _ in range(num_convs):
            total, channels = total + (9 * channels + 1) * num_channels, num_channels
        size //= 2
    for inputs, outputs in ((channels * size**2, 4096), (4096, 4096), (4096, 10)):
        total += (inputs + 1) * outputs
    return total


@pytest.mark.parametrize(
    ("conv_arch", "size"), [(((1, 16), (2, 24)), 16), ([[1, 8], [1, 12], [3, 12]], 32)]
)
def test_vgg_takes_the_texts_conv_arch(conv_arch, size):
    net = d2l.vgg(conv_arch)
    net.initialize()
    assert net(nd.zeros((1, 1, size, size))).shape == (1, 10)
    assert sum(p.data().size for p in net.collect_params().values()) == num_parameters(
        conv_arch, size
    )
    assert len(net) == len(conv_arch) + 5
