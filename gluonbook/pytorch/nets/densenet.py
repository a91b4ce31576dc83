"""DenseNet, as the PyTorch edition has it; the Gluon net is in `gluonbook.nets.densenet`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...nets.densenet import GROWTH_RATE, NUM_CONVS_IN_DENSE_BLOCKS, STEM_CHANNELS
from ...nets.edition import follows_pytorch


def conv_block(input_channels: int, num_channels: int) -> nn.Sequential:
    """Batch normalisation, ReLU and a 3×3 convolution."""
    return nn.Sequential(
        nn.BatchNorm2d(input_channels),
        nn.ReLU(),
        nn.Conv2d(input_channels, num_channels, kernel_size=3, padding=1),
    )


class DenseBlock(nn.Module):
    """`num_convs` convolution blocks, each over the input and all outputs so far."""

    def __init__(self, num_convs: int, input_channels: int, num_channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(conv_block(input_channels + i * num_channels, num_channels) for i in range(num_convs))
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.net:
            x = torch.cat((x, block(x)), dim=1)
        return x


def transition_block(input_channels: int, num_channels: int) -> nn.Sequential:
    """Batch normalisation, ReLU, a 1×1 convolution and 2×2 average pooling with stride 2."""
    return nn.Sequential(
        nn.BatchNorm2d(input_channels),
        nn.ReLU(),
        nn.Conv2d(input_channels, num_channels, kernel_size=1),
        nn.AvgPool2d(kernel_size=2, stride=2),
    )


def densenet(num_classes: int = 10, *, edition: str = "pytorch") -> nn.Sequential:
    """For input (N, 1, 96, 96); output (N, num_classes). `edition` as in `gluonbook.densenet`."""
    halve_running_count = follows_pytorch(edition)
    stem = nn.Sequential(
        nn.Conv2d(1, STEM_CHANNELS, kernel_size=7, stride=2, padding=3),
        nn.BatchNorm2d(STEM_CHANNELS),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )
    blocks: list[nn.Module] = []
    # What the text counts, and the channels that are there: the Gluon text lets them part.
    counted = channels = STEM_CHANNELS
    for i, num_convs in enumerate(NUM_CONVS_IN_DENSE_BLOCKS):
        blocks.append(DenseBlock(num_convs, channels, GROWTH_RATE))
        counted += num_convs * GROWTH_RATE
        channels += num_convs * GROWTH_RATE
        if i < len(NUM_CONVS_IN_DENSE_BLOCKS) - 1:
            blocks.append(transition_block(channels, counted // 2))
            channels = counted // 2
            if halve_running_count:
                counted //= 2
    return nn.Sequential(
        stem,
        *blocks,
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(channels, num_classes),
    )
