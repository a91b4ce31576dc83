"""``npx.set_np()``: what does not work in that mode says so, in one sentence."""

from __future__ import annotations

import inspect

import gluonbook as gb
from gluonbook.system.errors import Failure
from gluonbook.system.numpy_mode import NumpyMode
import mxnet as mx
from mxnet import gluon
import pytest


@pytest.fixture
def numpy_mode():
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


def dense():
    net = gluon.nn.Dense(3)
    net.initialize()
    return net


def data():
    return [(mx.np.ones((4, 2)), mx.np.zeros(4))]


def trainer(net):
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})


def train_ch3():
    net, loss = dense(), gluon.loss.SoftmaxCrossEntropyLoss()
    gb.train_ch3(net, data(), data(), loss, 1, 4, trainer=trainer(net))


def train_ch5():
    net = dense()
    gb.train_ch5(net, data(), data(), 4, trainer(net), mx.cpu(), 1)


def train():
    net, loss = dense(), gluon.loss.SoftmaxCrossEntropyLoss()
    gb.train(data(), data(), net, loss, trainer(net), mx.cpu(), 1)


CALLS = {
    "load_data_fashion_mnist": lambda: gb.load_data_fashion_mnist(256),
    "train_ch3": train_ch3,
    "train_ch5": train_ch5,
    "train": train,
    "evaluate_accuracy": lambda: gb.evaluate_accuracy(data(), dense()),
    "accuracy": lambda: gb.accuracy(mx.np.ones((4, 2)), mx.np.zeros(4)),
    "corr2d": lambda: gb.corr2d(mx.np.ones((3, 3)), mx.np.ones((2, 2))),
    "Residual": lambda: gb.Residual(3),
    "Inception": lambda: gb.Inception(8, (4, 8), (2, 4), 4),
    "DenseBlock": lambda: gb.DenseBlock(2, 10),
    "resnet_block": lambda: gb.resnet_block(8, 2),
    "googlenet": gb.googlenet,
    "resnet": gb.resnet,
    "resnet18": lambda: gb.resnet18(10),
    "densenet": gb.densenet,
    "get_model": lambda: gb.get_model("resnet50_v1b"),
}


@pytest.mark.usefixtures("numpy_mode")
@pytest.mark.parametrize("name", CALLS)
def test_what_does_not_work_says_what_to_do(name):
    with pytest.raises(NumpyMode, match=r"npx\.set_np\(\) is on.*reset_np\(\)") as failure:
        CALLS[name]()
    assert "\n" not in str(failure.value) and isinstance(failure.value, Failure)


@pytest.mark.usefixtures("numpy_mode")
@pytest.mark.parametrize(
    ("name", "make", "shape"),
    [
        ("lenet", gb.lenet, (1, 1, 28, 28)),
        ("vgg_block", lambda: gb.vgg_block(1, 8), (1, 1, 8, 8)),
        ("nin_block", lambda: gb.nin_block(8, 3, 1, 1), (1, 1, 8, 8)),
        ("conv_block", lambda: gb.conv_block(3), (1, 3, 8, 8)),
        ("transition_block", lambda: gb.transition_block(3), (1, 3, 8, 8)),
    ],
)
def test_blocks_of_gluons_own_layers_work_in_that_mode(name, make, shape):
    net = make()
    net.initialize()
    assert isinstance(net(mx.np.ones(shape)), mx.np.ndarray)


def test_all_works_again_once_the_mode_is_left():
    mx.npx.set_np()
    mx.npx.reset_np()
    block = gb.Residual(3)
    block.initialize()
    assert block(mx.nd.ones((4, 3, 6, 6))).shape == (4, 3, 6, 6)
    assert gb.accuracy(mx.nd.array([[0, 1]]), mx.nd.array([1])) == 1


def test_the_blocks_keep_their_signature():
    assert list(inspect.signature(gb.Residual).parameters)[:3] == [
        *("num_channels", "use_1x1conv", "strides")
    ]
