"""ResNet, as the PyTorch edition has it; the Gluon net is in `gluonbook.nets.resnet`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ...nets.resnet import NUM_CHANNELS, num_residuals_of


class Residual(nn.Module):
    """Two 3×3 convolutions with batch normalisation, around which the input is added."""

    def __init__(
        self, input_channels: int, num_channels: int, use_1x1conv: bool = False, strides: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            input_channels, num_channels, kernel_size=3, padding=1, stride=strides
        )
        self.conv2 = nn.Conv2d(num_channels, num_channels, kernel_size=3, padding=1)
        self.conv3 = (
            nn.Conv2d(input_channels, num_channels, kernel_size=1, stride=strides)
            if use_1x1conv
            else None
        )
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.bn2 = nn.BatchNorm2d(num_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.conv3 is not None:
            x = self.conv3(x)
        return F.relu(y + x)


def resnet_block(
    input_channels: int, num_channels: int, num_residuals: int, first_block: bool = False
) -> list[Residual]:
    """`num_residuals` residual blocks, as a list for ``nn.Sequential(*...)``."""
    blocks = []
    for i in range(num_residuals):
        if i == 0 and not first_block:
            blocks.append(Residual(input_channels, num_channels, use_1x1conv=True, strides=2))
        else:
            blocks.append(Residual(num_channels, num_channels))
    return blocks


def resnet(num_classes: int = 10, *, depth: int = 18) -> nn.Sequential:
    """For input (N, 1, 96, 96); output (N, num_classes). `depth` as in `gluonbook.resnet`."""
    stem = nn.Sequential(
        nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )
    stages: list[nn.Module] = []
    input_channels = 64
    for num_channels, n in zip(NUM_CHANNELS, num_residuals_of(depth)):
        first = not stages
        stages.append(nn.Sequential(*resnet_block(input_channels, num_channels, n, first)))
        input_channels = num_channels
    return nn.Sequential(
        stem,
        *stages,
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(input_channels, num_classes),
    )
