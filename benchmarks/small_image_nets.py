"""PyTorch's forms of nets for small images that the package has in `gluonbook.zoo`.

The layers come in the same order, so that `gluonbook.pytorch.transfer` brings the weights across.
"""

from __future__ import annotations

from typing import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

STEM_CHANNELS = 16


def conv(input_channels: int, num_channels: int, kernel_size: int, strides: int = 1) -> nn.Conv2d:
    """Padded by half its kernel, without a bias."""
    padding = kernel_size // 2
    return nn.Conv2d(input_channels, num_channels, kernel_size, strides, padding, bias=False)


class BasicBlock(nn.Module):
    """`gluonbook.zoo.resnet_family.ResidualBlock` of two 3×3 convolutions."""

    def __init__(self, input_channels: int, num_channels: int, strides: int) -> None:
        super().__init__()
        self.conv1 = conv(input_channels, num_channels, 3, strides)
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.conv2 = conv(num_channels, num_channels, 3)
        self.bn2 = nn.BatchNorm2d(num_channels)
        self.shortcut = nn.Sequential()
        if input_channels != num_channels:
            self.shortcut.append(conv(input_channels, num_channels, 1, strides))
            self.shortcut.append(nn.BatchNorm2d(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class PreActivationBlock(nn.Module):
    """`gluonbook.zoo.preresnet.PreActivationBlock` of two 3×3 convolutions."""

    def __init__(self, input_channels: int, num_channels: int, strides: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(input_channels)
        self.conv1 = conv(input_channels, num_channels, 3, strides)
        self.bn2 = nn.BatchNorm2d(num_channels)
        self.conv2 = conv(num_channels, num_channels, 3)
        self.shortcut = None
        if input_channels != num_channels:
            self.shortcut = conv(input_channels, num_channels, 1, strides)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        return y + (x if self.shortcut is None else self.shortcut(activated))


def stages(
    block: Callable[[int, int, int], nn.Module], widths: Sequence[int], num_blocks: int
) -> list[nn.Module]:
    """`num_blocks` blocks of each width; where the width doubles, the image is halved."""
    blocks, channels = [], STEM_CHANNELS
    for i, width in enumerate(widths):
        for j in range(num_blocks):
            blocks.append(block(channels, width, 2 if i > 0 and j == 0 else 1))
            channels = width
    return blocks


def answer(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def cifar_resnet20() -> nn.Sequential:
    """``cifar_resnet20_v1``."""
    stem = [conv(1, STEM_CHANNELS, 3), nn.BatchNorm2d(STEM_CHANNELS)]
    return nn.Sequential(*stem, *stages(BasicBlock, (16, 32, 64), 3), *answer(64))


def wide_resnet(depth: int, factor: int) -> nn.Sequential:
    """``cifar_wideresnet{depth}_{factor}``."""
    widths = [factor * width for width in (16, 32, 64)]
    blocks = stages(PreActivationBlock, widths, (depth - 4) // 6)
    end = [nn.BatchNorm2d(widths[-1]), nn.ReLU()]
    return nn.Sequential(conv(1, STEM_CHANNELS, 3), *blocks, *end, *answer(widths[-1]))
