"""Nets by name."""

from __future__ import annotations

import gluonbook as gb
from gluonbook.summary import num_parameters
from gluonbook.system.errors import Failure
from mxnet import nd
import pytest

from ..nets.test_nets import NETS

SECTIONS = ["alexnet", "densenet", "googlenet", "lenet", "nin", "resnet", "vgg"]


def test_the_list_has_the_sections_and_all_families_in_order():
    names = gb.list_models()
    assert names == sorted(names) and len(set(names)) == len(names)
    families = [f"resnet{depth}_{v}" for depth in (18, 34, 50, 101, 152) for v in ("v1", "v1b")]
    families += [f"preresnet{depth}" for depth in (18, 34, 50, 101, 152, 200)]
    families += [f"cifar_resnet{depth}_v1" for depth in (20, 32, 44, 56, 110)]
    families += [f"densenet{depth}" for depth in (121, 161, 169, 201, 264)]
    families += [f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")]
    families += [f"cifar_wideresnet40_{factor}" for factor in (1, 2, 4, 8)]
    families += [f"cifar_wideresnet28_{factor}" for factor in (2, 10, 12)]
    families += [f"cifar_wideresnet{name}" for name in ("22_8", "22_10", "16_2", "16_8", "16_10")]
    families += [f"inception{name}" for name in ("v3", "v4", "resnetv1", "resnetv2")]
    assert set(names) == {*SECTIONS, *families, "bninception", "nin_cifar10"}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_sections_net_is_had_by_its_name(name):
    [(_, _, size, parameters)] = [case.values for case in NETS if case.id == name]
    net = gb.get_model(name, 10)
    net.infer_shape(nd.zeros((1, 1, size, size)))
    assert num_parameters(net) == parameters


@pytest.mark.parametrize("name", ["resnet50_v1b", "vgg"])
def test_there_are_1000_classes_unless_told_otherwise(name):
    for options, num_classes in (({}, 1000), ({"num_classes": 7}, 7)):
        net = gb.get_model(name, **options)
        assert net[-1].weight.shape[0] == num_classes


def test_options_reach_the_function_that_makes_the_net():
    assert len(gb.get_model("nin", num_1x1_convs=0)[0]) == 1
    with pytest.raises(TypeError, match="small_images"):
        gb.get_model("lenet", small_images=True)


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet51_v1b", "resnet50_v1b"), ("ResNet50_v1b", "resnet50_v1b"), ("vgg16bn", "vgg16_bn")],
)
def test_an_unknown_name_is_told_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"there is no model '{name}': .*{near}") as failure:
        gb.get_model(name)
    assert isinstance(failure.value, Failure) and "\n" not in str(failure.value)


def test_what_is_no_name_is_refused_as_well():
    with pytest.raises(ValueError, match="there is no model None"):
        gb.get_model(None)
