"""GluonCV's models and ours: the same numbers from the same parameters."""

from __future__ import annotations

import sys

import gluonbook as gb
from gluonbook.summary import num_parameters
from gluonbook.system.errors import Failure
from gluonbook.zoo.gluoncv import (
    GluonCVUnavailable,
    ModelMismatch,
    WeightsUnavailable,
    copy_parameters,
    from_gluoncv,
    model_zoo,
    pairs,
)
from mxnet import nd
from mxnet.gluon import nn
import numpy as np
import pytest

from ..conftest import NO_MIRROR, needs_gluoncv, python, randomized

pytestmark = needs_gluoncv

#: Models that both have, with the image size at which their outputs are compared. Those without one
#: are compared by their operations. The outputs of all but ``*_v1`` are torchvision's too.
SHARED = {
    "resnet18_v1": 32,
    "resnet34_v1": 32,
    "resnet50_v1": 32,
    "resnet101_v1": None,
    "resnet152_v1": None,
    "resnet18_v1b": None,
    "resnet34_v1b": None,
    "resnet50_v1b": 32,
    "resnet101_v1b": None,
    "resnet152_v1b": None,
    "cifar_resnet20_v1": 32,
    "cifar_resnet56_v1": None,
    "cifar_resnet110_v1": None,
    "densenet121": 224,
    "densenet161": None,
    "densenet169": None,
    "densenet201": None,
    "vgg11": None,
    "vgg13": None,
    "vgg16": None,
    "vgg19": None,
    "vgg11_bn": None,
    "vgg13_bn": None,
    "vgg16_bn": 32,
    "vgg19_bn": None,
}


def assert_equal_outputs(theirs, ours, size):
    X = nd.random.uniform(shape=(1, 3, size, size))
    expected = theirs(X).asnumpy()
    np.testing.assert_allclose(
        ours(X).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize("name", [name for name, size in SHARED.items() if size])
def test_outputs_are_gluoncvs(name):
    size = SHARED[name]
    theirs, ours = randomized(model_zoo().get_model(name, classes=10), size), gb.get_model(name, 10)
    copy_parameters(theirs, ours)
    assert_equal_outputs(theirs, ours, size)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_preactivation_is_gluoncvs_after_it_has_normalized_the_images(depth):
    name, whole = f"preresnet{depth}", model_zoo().get_model(f"resnet{depth}_v2", classes=10)
    theirs = nn.HybridSequential()
    theirs.add(*whole.features[1:], whole.output)
    ours = gb.get_model(name, 10)
    copy_parameters(randomized(theirs, 32), ours)
    assert_equal_outputs(theirs, ours, 32)


@pytest.mark.parametrize("name", ["16_10", "28_10", "40_8"])
def test_wide_resnets_are_gluoncvs_but_for_two_batch_norms_at_the_beginning(name):
    whole = model_zoo().get_model(f"cifar_wideresnet{name}", classes=10)
    theirs = nn.HybridSequential()
    theirs.add(whole.features[1], *whole.features[3:], whole.output)
    ours = gb.get_model(f"cifar_wideresnet{name}", 10)
    if name == "16_10":  # the others only have more of the same blocks
        copy_parameters(randomized(theirs, 32), ours)
        assert_equal_outputs(theirs, ours, 32)
    for net, parameters in zip((theirs, ours), zip(*pairs(theirs, ours))):
        matched = [id(parameter) for parameter in parameters]
        assert sorted(matched) == sorted(map(id, net.collect_params().values()))


@pytest.mark.parametrize("name", [name for name, size in SHARED.items() if not size])
def test_operations_are_gluoncvs_and_no_parameter_is_left_over(name):
    theirs, ours = model_zoo().get_model(name, classes=10), gb.get_model(name, 10)
    for net, parameters in zip((theirs, ours), zip(*pairs(theirs, ours))):
        matched = [id(parameter) for parameter in parameters]
        assert sorted(matched) == sorted(map(id, net.collect_params().values()))


def test_every_model_of_ours_that_gluoncv_has_is_compared():
    """Its AlexNet and GoogLeNet are others than the book's."""
    both = set(gb.list_models()) & set(model_zoo().get_model_list())
    elsewhere = [name for name in both if "inception" in name or "wideresnet" in name]
    assert both - {*elsewhere, "alexnet", "googlenet"} == set(SHARED)


def test_a_net_is_built_with_the_parameters_of_gluoncvs():
    net = from_gluoncv("resnet18_v1b", num_classes=10)
    assert num_parameters(net) == 11_689_512 - 990 * 513
    assert net(nd.zeros((1, 3, 64, 64))).shape == (1, 10)


def test_parameters_of_operators_that_are_not_known_are_copied():
    theirs, ours = nn.Embedding(4, 3), nn.Embedding(4, 3)
    theirs.initialize(init="normal")
    copy_parameters(theirs, ours)
    np.testing.assert_array_equal(ours.weight.data().asnumpy(), theirs.weight.data().asnumpy())


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (
            lambda: from_gluoncv("alexnet"),
            ModelMismatch,
            r"GluonCV's has \w+ \(conv, channels 64, .* where ours has \w+ \(conv, channels 96, ",
        ),
        (
            lambda: copy_parameters(model_zoo().get_model("vgg11_bn"), gb.get_model("vgg11")),
            ModelMismatch,
            r"GluonCV's has \w+ \(batch norm, .* where ours has \w+ \(relu\)",
        ),
        (
            lambda: copy_parameters(gb.get_model("nin"), gb.get_model("nin", 10)),
            ModelMismatch,
            r"\(conv, channels 1000, .* \(conv, channels 10, ",
        ),
        (
            lambda: copy_parameters(nn.Dense(2, in_units=3), nn.Dense(2, in_units=4)),
            ModelMismatch,
            r"\(dense, units 2\) where ours has \w+ \(dense, units 2\)",
        ),
        (
            lambda: copy_parameters(nn.Dense(2), gb.get_model("lenet")),
            ModelMismatch,
            r"\(dense, .* where ours has \w+ \(conv, ",
        ),
        (
            lambda: copy_parameters(
                nn.AvgPool2D(3, 1, 1, count_include_pad=False), nn.AvgPool2D(3, 1, 1)
            ),
            ModelMismatch,
            r"padding 1, count_include_pad False\) where ours has \w+ \(average pool, [^_]*\)$",
        ),
        (
            lambda: copy_parameters(nn.BatchNorm(axis=2), nn.BatchNorm()),
            ModelMismatch,
            r"\(batch norm, .*axis 2\) where ours has \w+ \(batch norm, [^x]*\)$",
        ),
        (lambda: from_gluoncv("preresnet18"), ModelMismatch, "GluonCV has no model 'preresnet18'"),
        (lambda: from_gluoncv("resnet51_v1"), ValueError, "there is no model 'resnet51_v1'"),
        (
            lambda: from_gluoncv("vgg11", True, num_classes=10),
            WeightsUnavailable,
            "GluonCV's weights of vgg11 are for 1000 classes, not 10",
        ),
        (
            lambda: from_gluoncv("cifar_resnet20_v1", True, num_classes=1000),
            WeightsUnavailable,
            "GluonCV's weights of cifar_resnet20_v1 are for 10 classes, not 1000",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(call, kind, told):
    with pytest.raises(kind, match=told) as failure:
        call()
    assert isinstance(failure.value, Failure) and "\n" not in str(failure.value)


def test_without_a_network_trained_weights_end_in_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MXNET_GLUON_REPO", NO_MIRROR)
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match=r"weights of resnet18_v1b .* \(no connection\)"):
        from_gluoncv("resnet18_v1b", pretrained=True)


@pytest.mark.parametrize("name", ["resnet18_v1b", "cifar_resnet20_v1"])
def test_trained_weights_are_taken_from_the_folder_that_gluoncv_keeps(name, monkeypatch, tmp_path):
    """Random ones, in a file that GluonCV is made to take for its own."""
    theirs = randomized(model_zoo().get_model(name), 32)
    theirs.save_parameters(str(tmp_path / "weights.params"))
    store = sys.modules["gluoncv.model_zoo.model_store"]
    monkeypatch.setattr(store, "get_model_file", lambda *_, **__: str(tmp_path / "weights.params"))
    assert_equal_outputs(theirs, from_gluoncv(name, pretrained=True), 32)


def test_without_gluoncv_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "gluoncv.model_zoo", None)
    with pytest.raises(GluonCVUnavailable, match=r"pip install -e '.\[gluoncv\]'"):
        from_gluoncv("resnet18_v1b")


def test_gluoncv_is_imported_beside_pytorch_2():
    code = """
import sys, types
torch = sys.modules["torch"] = types.ModuleType("torch")
torch.__version__ = "2.13.0"
from gluonbook.zoo.gluoncv import model_zoo
assert model_zoo().get_model("resnet18_v1b") is not None
assert sys.modules["torch"] is torch
"""
    run = python(code)
    assert run.returncode == 0 and run.stderr == ""


def test_without_pytorch_nothing_stands_for_it_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    model_zoo()
    assert "torch" not in sys.modules
