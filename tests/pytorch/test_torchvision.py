"""torchvision's nets and ours: the same numbers from the same weights."""

from __future__ import annotations

import importlib.util
import sys

import gluonbook as gb
from gluonbook.compare import numbers, speed
from gluonbook.pytorch import torchvision
from gluonbook.pytorch.architecture import architecture
from gluonbook.pytorch.torchvision import TorchvisionUnavailable
from gluonbook.pytorch.transfer import to_gluon, to_torch
from gluonbook.system.errors import Failure
import mxnet as mx
import numpy as np
import pytest
import torch
from torch import nn

from ..conftest import python, randomized

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None,
    reason="needs torchvision: pip install -e '.[pytorch]'",
)


def theirs_of(name: str, num_classes: int = 10) -> nn.Module:
    """torchvision's net in inference, with random weights and running statistics."""
    with torch.device("meta"):  # without drawing weights that are drawn anew below
        net = torchvision.net(name, num_classes)
        if name.startswith("vgg"):
            # At 32×32 one pixel is left; torchvision would stretch it to the 7×7 of ImageNet.
            net.avgpool, net.classifier[0] = nn.Identity(), nn.Linear(512, 4096)
    for layer in net.to_empty(device="cpu").modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -0.5, 0.5)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return net.eval()


def test_torchvision_may_be_imported_first_under_another_device():
    """The import computes, and PyTorch 2.8 cannot do that on the device meta."""
    code = """
import torch
from gluonbook.pytorch import torchvision
with torch.device("meta"):
    net = torchvision.net("resnet18_v1b")
print({parameter.device.type for parameter in net.parameters()})
"""
    done = python(code)
    assert done.stdout == "{'meta'}\n", done.stderr


def outputs(theirs, ours, size):
    X = np.random.rand(1, 3, size, size).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(X)).numpy()
    return ours(mx.nd.array(X)).asnumpy(), expected


@pytest.mark.parametrize("name", torchvision.NAMES)
def test_outputs_are_torchvisions(name):
    theirs, ours = theirs_of(name), gb.get_model(name, 10)
    to_gluon(theirs, ours)
    size = {"v": 32, "i": 96}.get(name[0], 64)
    found, expected = outputs(theirs, ours, size)
    assert found.shape == (1, 10)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["resnet50_v1b", "densenet121", "vgg11_bn"])
def test_every_operation_is_torchvisions(name):
    with torch.device("meta"):
        theirs = torchvision.net(name)
    differences = [
        difference
        for layer in architecture(gb.get_model(name), theirs)
        for difference in layer.differences
    ]
    # At 224×224 it leaves the 7×7 pixels as they are.
    assert differences == (["only in PyTorch: adaptive average pool"] if "vgg" in name else [])


def test_the_comparison_takes_torchvisions_nets(monkeypatch):
    """One step in float64 ≤ 1e-8, relative, from the same weights, with Fashion-MNIST's images."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the script sets its own
    parser = importlib.import_module("gluonbook.compare.__main__")._parser()
    name = parser.parse_args(["resnet18_v1b"]).section
    both = numbers.build(name, "pytorch", seed=1)
    assert both.mismatch is None and both.recipe.size == 96
    assert not any(layer.differences for layer in architecture(both.gluon, both.torch))
    train_iter, _ = gb.load_data_fashion_mnist(2, 32, limit=2, limit_test=1, seed=1)
    X, y = next(train_iter.arrays())
    assert X.shape == (2, 1, 32, 32)
    rows = {row.quantity: row for row in numbers.numbers(both, X, y)}
    assert {"outputs", "gradients", "running var"} <= set(rows)
    assert all(row.relative <= 1e-8 for row in rows.values())
    speed.TorchForm(speed.AS_WRITTEN, name, 0.01).train(X, y)


def test_weights_go_to_torchvision():
    theirs, ours = theirs_of("resnet18_v1b"), randomized(gb.get_model("resnet18_v1b", 10), 64)
    to_torch(ours, theirs)
    found, expected = outputs(theirs, ours, 64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_name_that_torchvision_has_not_is_told_the_others():
    with pytest.raises(
        ValueError, match="no model 'resnet50_v1': it has .*resnet50_v1b"
    ) as failure:
        torchvision.net("resnet50_v1")
    assert isinstance(failure.value, Failure)


def test_without_torchvision_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(TorchvisionUnavailable, match=r"pip install -e '.\[pytorch\]'"):
        torchvision.net("resnet18_v1b")
