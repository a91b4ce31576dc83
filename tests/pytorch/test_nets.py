"""The PyTorch edition's nets: the published sizes and the table that edition prints."""

from __future__ import annotations

import inspect

from gluonbook.pytorch import nets
from gluonbook.recipes import RECIPES
import pytest
import torch

#: Trainable parameters, from the book's texts; LeNet's by hand (16·25 inputs of the first
#: dense layer).
PARAMETERS = {
    "lenet": 156 + 2_416 + 120 * 401 + 84 * 121 + 10 * 85,
    "alexnet": 46_764_746,
    "vgg": 43_093_322,
    "nin": 1_992_166,
    "googlenet": 5_977_530,
    "resnet": 11_178_378,
    "densenet": 758_226,
}


@pytest.mark.parametrize("section", PARAMETERS)
def test_parameters_and_gradients(section):
    net = getattr(nets, section)()
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[section]
    size = RECIPES[section].size
    net(torch.rand(2, 1, size, size)).pow(2).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name


def test_resnets_table_is_the_one_the_edition_prints():
    X = torch.zeros(1, 1, 224, 224)
    lines = []
    for layer in nets.resnet().eval():
        X = layer(X)
        lines.append(f"{layer.__class__.__name__} output shape:\t {X.shape}")
    assert lines == [
        "Sequential output shape:\t torch.Size([1, 64, 56, 56])",
        "Sequential output shape:\t torch.Size([1, 64, 56, 56])",
        "Sequential output shape:\t torch.Size([1, 128, 28, 28])",
        "Sequential output shape:\t torch.Size([1, 256, 14, 14])",
        "Sequential output shape:\t torch.Size([1, 512, 7, 7])",
        "AdaptiveAvgPool2d output shape:\t torch.Size([1, 512, 1, 1])",
        "Flatten output shape:\t torch.Size([1, 512])",
        "Linear output shape:\t torch.Size([1, 10])",
    ]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Residual", ["input_channels", "num_channels", "use_1x1conv", "strides"]),
        ("resnet_block", ["input_channels", "num_channels", "num_residuals", "first_block"]),
        ("conv_block", ["input_channels", "num_channels"]),
        ("DenseBlock", ["num_convs", "input_channels", "num_channels"]),
        ("transition_block", ["input_channels", "num_channels"]),
        ("nin_block", ["in_channels", "out_channels", "kernel_size", "strides", "padding"]),
        ("Inception", ["in_channels", "c1", "c2", "c3", "c4", "kwargs"]),
        ("vgg_block", ["num_convs", "in_channels", "out_channels"]),
    ],
)
def test_signatures_are_the_editions(name, parameters):
    assert list(inspect.signature(getattr(nets, name)).parameters) == parameters
