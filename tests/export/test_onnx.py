"""Nets as ONNX files: onnxruntime against Gluon; whole files or none."""

from __future__ import annotations

import json
import resource
import sys

import gluonbook as gb
from gluonbook.data.fashion_mnist import CLASSES
from gluonbook.export import (
    ParametersError,
    fashion_mnist_to_onnx,
    load_parameters,
    save_parameters,
    to_onnx,
)
from gluonbook.export.onnx import NotConvertible, ONNXUnavailable
from gluonbook.operations import TraceError
from gluonbook.system.files import FileFailure
from mxnet import gluon, nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import initialized, needs_onnx, python, randomized

pytestmark = needs_onnx


def session_of(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def assert_same_answers(net, path, shape, batches=(1, 7, 64)):
    session = session_of(path)
    for n in batches:
        X = nd.random.uniform(shape=(n, *shape))
        [found] = session.run(["logits"], {"images": X.asnumpy()})
        expected = net(X).asnumpy()
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


#: The book's nets, with images as small as each takes. AlexNet has 40 million weights even then.
BOOK = [
    (gb.lenet, {}, 28),
    (gb.lenet, {"edition": "pytorch"}, 28),
    pytest.param(gb.alexnet, {}, 96, marks=pytest.mark.slow),
    pytest.param(gb.alexnet, {"edition": "pytorch"}, 96, marks=pytest.mark.slow),
    (gb.vgg, {}, 32),
    (gb.nin, {}, 96),
    (gb.googlenet, {}, 32),
    (gb.googlenet, {"edition": "pytorch"}, 32),
    (gb.googlenet, {"batch_norm": True, "auxiliary": True}, 96),
    (gb.resnet, {}, 32),
    (gb.densenet, {}, 32),
    (gb.densenet, {"edition": "pytorch"}, 32),
]


@pytest.mark.parametrize(("build", "options", "size"), BOOK)
def test_the_books_nets(build, options, size, tmp_path, capfd):
    net = randomized(build(**options), size, num_channels=1)
    fashion_mnist_to_onnx(net, tmp_path / "net.onnx", size, "net")
    answer = net.net if "auxiliary" in options else net
    assert_same_answers(answer, tmp_path / "net.onnx", (1, size, size))
    assert capfd.readouterr() == ("", "")


#: A net of each kind; the others are slow.
QUICK = ("resnet18_v1", "preresnet18", "densenet121", "nin_cifar10")
FAMILIES = [name for name in gb.list_models() if not hasattr(gb, name)]


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES],
)
def test_the_families(name, tmp_path, capfd):
    size = 96 if name.startswith("inception") else 32
    net = randomized(gb.get_model(name, 10), size)
    to_onnx(net, tmp_path / "net.onnx", (1, 3, size, size))
    assert_same_answers(net, tmp_path / "net.onnx", (3, size, size))
    assert capfd.readouterr() == ("", "")


def test_what_the_file_says_of_itself(tmp_path):
    import onnx

    net = initialized(gb.lenet(), 28)
    fashion_mnist_to_onnx(net, tmp_path / "net.onnx", 28, "lenet")
    session = session_of(tmp_path / "net.onnx")
    [images], [logits] = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape) == ("images", ["N", 1, 28, 28])
    assert (logits.name, logits.shape) == ("logits", ["N", 10])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["name"] == "lenet" and json.loads(metadata["classes"]) == list(CLASSES)
    assert json.loads(metadata["transform"])["to"] == [28, 28]

    save_parameters(net, tmp_path / "net.params")
    saved = nd.load(str(tmp_path / "net.params"))
    model = onnx.load(str(tmp_path / "net.onnx"))
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert stored.keys() == saved.keys()
    for name, value in saved.items():
        np.testing.assert_array_equal(stored[name], value.asnumpy())
    same = gb.lenet()
    load_parameters(same, tmp_path / "net.params")
    fashion_mnist_to_onnx(same, tmp_path / "same.onnx", 28, "lenet")
    assert (tmp_path / "same.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()

    to_onnx(net, tmp_path / "bare.onnx", (1, 1, 28, 28))
    metadata = session_of(tmp_path / "bare.onnx").get_modelmeta().custom_metadata_map
    assert metadata == {"name": "HybridSequential"}


class Own(nn.HybridBlock):
    """Of a user's own: operators that the package's nets do not have."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = nn.Conv2D(8, kernel_size=3, dilation=2, groups=2, in_channels=4)
        self.norm = nn.BatchNorm(scale=False)
        self.dense = nn.Dense(6)

    def hybrid_forward(self, F, x):
        x = F.tanh(self.norm(self.conv(x))) * 0.5
        gate = F.sigmoid(F.mean(x, axis=(2, 3), keepdims=True))
        return F.log_softmax(self.dense(F.broadcast_mul(x, gate)))


def test_a_users_own_net(tmp_path):
    net = randomized(Own(), 9, num_channels=4)
    to_onnx(net, tmp_path / "own.onnx", (1, 4, 9, 9))
    assert_same_answers(net, tmp_path / "own.onnx", (4, 9, 9))


def test_a_net_that_does_not_know_its_sizes_yet(tmp_path):
    net = gb.lenet()
    net.initialize()
    to_onnx(net, tmp_path / "net.onnx", (1, 3, 32, 32))
    assert_same_answers(net, tmp_path / "net.onnx", (3, 32, 32), batches=[2])


class Plain(gluon.Block):
    def forward(self, x):
        return x if float(x.sum().asscalar()) > 0 else -x


def own(*layers):
    net = nn.HybridSequential()
    net.add(*layers)
    net.initialize()
    return net


def cast(net):
    net.cast("float64")
    return net


@pytest.mark.parametrize(
    ("build", "error", "told"),
    [
        (Plain, TraceError, "cannot be traced .* build it of HybridBlocks"),
        (gb.lenet, ParametersError, r"no values yet: call net.initialize\(\)"),
        (
            lambda: cast(own(nn.Dense(2, in_units=784))),
            NotConvertible,
            "0.weight is of type float64, .* cast the net first",
        ),
        (
            lambda: own(nn.HybridLambda("erfinv")),
            NotConvertible,
            "cannot write this net .*for op type erfinv.*: use other operations",
        ),
        (
            lambda: own(nn.BatchNorm(axis=3)),
            NotConvertible,
            "batchnorm axis != 1 is currently not supported",
        ),
        (  # knorm is 2 by default in MXNet, and 1 in its exporter
            lambda: own(nn.HybridLambda(lambda F, x: F.LRN(x, nsize=3))),
            NotConvertible,
            "wrote a net that answers otherwise than this one: use other operations",
        ),
    ],
)
def test_a_net_that_cannot_be_written(build, error, told, tmp_path):
    with pytest.raises(error, match=told) as raised:
        to_onnx(build(), tmp_path / "net.onnx", (1, 1, 28, 28))
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


def test_onnxruntime_keeps_nothing_in_the_home_folder(tmp_path):
    """By default it keeps an identifier there, under which it reports its use."""
    code = f"""
import gluonbook as gb
from gluonbook.export import to_onnx
net = gb.lenet()
net.initialize()
to_onnx(net, {str(tmp_path / "net.onnx")!r}, (1, 1, 28, 28))
"""
    result = python(code, HOME=str(tmp_path), ORT_DISABLE_TELEMETRY="")
    assert result.returncode == 0, result
    assert [path for path in tmp_path.rglob("*") if "onnx" in path.name] == [tmp_path / "net.onnx"]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ONNXUnavailable, match=r"onnxruntime cannot .*install -e '.\[onnx\]'"):
        to_onnx(initialized(gb.lenet(), 28), tmp_path / "net.onnx", (1, 1, 28, 28))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    net = initialized(gb.lenet(), 28)
    (tmp_path / "net.onnx").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FileFailure, match="make room on that disk"):
            to_onnx(net, tmp_path / "net.onnx", (1, 1, 28, 28))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
