"""Images of any type train as plain NumPy batches do, or one sentence names them."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.data.batches import BatchError
from gluonbook.training import images
from gluonbook.training.images import type_taken_by
import mxnet as mx
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

NUMBER, BATCH_SIZE, CLASSES = 12, 4, 3
TYPES = ("float64", "float16", "uint8", "int8", "int32", "int64", "bool")


def pixels(dtype="uint8", channels_last=False):
    """Whole numbers, which each of the types holds exactly, but for bool."""
    shape = (NUMBER, 9, 9, 1) if channels_last else (NUMBER, 1, 9, 9)
    return np.random.RandomState(0).randint(0, 100, shape).astype(dtype)


LABELS = np.arange(NUMBER, dtype=np.int32) % CLASSES


def loader(X, y=LABELS, **options):
    return gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), BATCH_SIZE, **options)


def plain(X, y=LABELS):
    """Batches of NumPy's arrays."""
    return [(X[i : i + BATCH_SIZE], y[i : i + BATCH_SIZE]) for i in range(0, len(X), BATCH_SIZE)]


def a_net(dtype="float32", hybridize=True):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=1, activation="relu"), nn.Dense(CLASSES, in_units=196))
    net.cast(dtype)
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    if hybridize:
        net.hybridize()
    return net


def trained(data, net, ctx=None):
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-4})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    history = gb.train(data, data, net, loss, trainer, ctx or mx.cpu(), 2)
    return [row[:-1] for row in history]


@pytest.mark.parametrize("hybridize", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
def test_images_of_a_loader_train_as_plain_numpy_batches_do(dtype, hybridize):
    X = pixels(dtype)
    expected = trained(plain(X.astype(np.float32)), a_net(hybridize=hybridize))
    assert trained(loader(X), a_net(hybridize=hybridize)) == expected
    accuracy = gb.evaluate_accuracy(loader(X), a_net())
    assert accuracy == gb.evaluate_accuracy(plain(X.astype(np.float32)), a_net())


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_a_net_in_float64_computes_in_float64(dtype):
    X = pixels(dtype)
    net = a_net("float64")
    found = trained(loader(X), net)
    np.testing.assert_allclose(found, trained(loader(X.astype(np.float64)), a_net("float64")))
    assert net[0].weight.data().dtype == np.float64


def test_the_own_loader_serves_a_net_in_float64(tiny):
    train_iter, _ = gb.load_data_fashion_mnist(16)
    net = gb.lenet()
    net.cast("float64")
    net.initialize()
    assert 0 <= gb.evaluate_accuracy(train_iter, net) <= 1


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float64", "int64"])
def test_labels_of_any_type_are_counted(dtype):
    X, y = pixels("float32"), LABELS % 2
    expected = trained(loader(X, y), a_net())
    assert trained(loader(X, y.astype(dtype)), a_net()) == expected
    assert trained(plain(X, y.astype(dtype)), a_net()) == expected


@pytest.mark.parametrize(
    ("X", "y", "named"),
    [(pixels("uint16"), LABELS, "uint16"), (pixels(), LABELS.astype("uint32"), "uint32")],
)
def test_a_type_that_mxnet_lacks_is_named(X, y, named):
    with pytest.raises(BatchError, match=f"MXNet has no arrays of {named}: give images") as failure:
        gb.evaluate_accuracy(loader(X, y), a_net())
    assert "\n" not in str(failure.value)


def test_a_key_that_a_data_set_lacks_stays_what_it_is():
    class Own(list):
        def __iter__(self):
            raise KeyError("shirt.jpg")

    with pytest.raises(KeyError, match="shirt.jpg"):
        gb.evaluate_accuracy(Own(), a_net())


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("hybridize", [True, False])
def test_channels_as_files_have_them_are_named_with_what_helps(dtype, hybridize):
    data = loader(pixels(dtype, channels_last=True))
    net = a_net(hybridize=hybridize)
    told = r"images of shape \(4, 9, 9, 1\), whose channels are the last axis.*ToTensor\(\)"
    with pytest.raises(BatchError, match=told) as failure:
        trained(data, net)
    assert "\n" not in str(failure.value)
    with pytest.raises(BatchError, match=told):
        gb.evaluate_accuracy(data, net)


def test_what_is_advised_helps():
    to_tensor = gluon.data.vision.transforms.ToTensor()
    data = gluon.data.ArrayDataset(nd.array(pixels(channels_last=True), dtype="uint8"), LABELS)
    tensors = gluon.data.DataLoader(data.transform_first(to_tensor), BATCH_SIZE)
    expected = trained(plain(pixels(channels_last=True).transpose(0, 3, 1, 2) / 255), a_net())
    np.testing.assert_allclose(trained(tensors, a_net()), expected, rtol=1e-5)


def test_a_net_that_takes_channels_last_gets_them():
    class Last(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.body = a_net()

        def hybrid_forward(self, F, x):
            return self.body(F.transpose(x, (0, 3, 1, 2)))

    X = pixels(channels_last=True)
    net = Last()
    assert trained(loader(X), net) == trained(loader(X.transpose(0, 3, 1, 2)), a_net())


def test_another_error_stays_what_it_is():
    with pytest.raises(mx.base.MXNetError):
        gb.evaluate_accuracy(loader(np.zeros((NUMBER, 2, 9, 9), np.float32)), a_net())


def test_on_two_devices():
    ctx = [mx.cpu(0), mx.cpu(1)]
    net = a_net()
    net.collect_params().reset_ctx(ctx)
    found = trained(loader(pixels()), net, ctx)
    np.testing.assert_allclose(found, trained(plain(pixels("float32")), a_net()), rtol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_on_a_gpu_without_code_numpy_converts(dtype, monkeypatch):
    monkeypatch.setattr(images, "lacks_code", lambda ctx: True)
    X = nd.array(pixels(dtype), dtype=dtype)
    found = images.converted(X, "float32")
    assert found.dtype == np.float32 and found.context == X.context
    assert np.array_equal(found.asnumpy(), pixels(dtype).astype(np.float32))


def test_the_type_is_that_of_the_weights():
    def typed(net, dtype):
        net.cast(dtype)
        return type_taken_by(net)

    assert typed(gb.lenet(), "bfloat16") is None  # for which MXNet has no NumPy type
    for dtype in ("float16", "float32", "float64"):
        assert typed(gb.resnet(), dtype) == dtype  # batch norm keeps float32 beside float16
    assert type_taken_by(nn.Activation("relu")) is None
    assert type_taken_by(lambda X: X) is None


def test_images_of_the_right_type_are_not_copied():
    X = nd.ones((2, 1, 3, 3))
    assert images.converted(X, "float32") is X and images.converted(X, None) is X
    assert images.converted(X, "float64").dtype == np.float64
