"""What a PyTorch net computes, as a list of described operations."""

from __future__ import annotations

from gluonbook.pytorch.operations import torch_ops
from torch import nn
from torch.nn import functional as F


class Functions(nn.Module):
    """Poolings that are called, not built as layers."""

    def forward(self, x):
        x = F.avg_pool2d(x, 5, stride=3) + F.max_pool2d(x, kernel_size=3, stride=3, padding=1)
        return F.adaptive_avg_pool2d(x, (1, 1))


def test_pooling_functions_are_described_as_the_layers_of_their_names():
    settings = {"kernel": (5, 5), "stride": (3, 3), "padding": (0, 0)}
    found = torch_ops(Functions())
    assert [(op.kind, op.settings) for op in found if "pool" in op.kind] == [
        ("average pool", settings),
        ("max pool", {"kernel": (3, 3), "stride": (3, 3), "padding": (1, 1)}),
        ("global average pool", {}),
    ]
