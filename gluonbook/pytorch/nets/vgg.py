"""VGG, as the PyTorch edition has it; the Gluon net is in `gluonbook.nets.vgg`."""

from __future__ import annotations

from torch import nn

from ...nets.vgg import conv_arch


def vgg_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """`num_convs` convolutions 3×3 with ReLU, then 2×2 max pooling with stride 2."""
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def vgg(num_classes: int = 10, *, depth: int = 11, ratio: int = 4) -> nn.Sequential:
    """For input (N, 1, 224, 224); output (N, num_classes). The rest as in `gluonbook.vgg`."""
    blocks, in_channels = [], 1
    for num_convs, out_channels in conv_arch(depth, ratio):
        blocks.append(vgg_block(num_convs, in_channels, out_channels))
        in_channels = out_channels
    return nn.Sequential(
        *blocks,
        nn.Flatten(),
        nn.Linear(in_channels * 7 * 7, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, num_classes),
    )
