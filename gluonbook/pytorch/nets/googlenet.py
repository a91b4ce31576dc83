"""GoogLeNet, as the PyTorch edition has it; the Gluon net is in `gluonbook.nets.googlenet`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nets.edition import follows_pytorch
from ...nets.googlenet import INCEPTION_3, INCEPTION_4, INCEPTION_5


class Inception(nn.Module):
    """Four parallel paths over (N, in_channels, H, W), joined along the channels."""

    def __init__(
        self,
        in_channels: int,
        c1: int,
        c2: tuple[int, int],
        c3: tuple[int, int],
        c4: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.p1_1 = nn.Conv2d(in_channels, c1, kernel_size=1)
        self.p2_1 = nn.Conv2d(in_channels, c2[0], kernel_size=1)
        self.p2_2 = nn.Conv2d(c2[0], c2[1], kernel_size=3, padding=1)
        self.p3_1 = nn.Conv2d(in_channels, c3[0], kernel_size=1)
        self.p3_2 = nn.Conv2d(c3[0], c3[1], kernel_size=5, padding=2)
        self.p4_1 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.p4_2 = nn.Conv2d(in_channels, c4, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        p1 = F.relu(self.p1_1(x))
        p2 = F.relu(self.p2_2(F.relu(self.p2_1(x))))
        p3 = F.relu(self.p3_2(F.relu(self.p3_1(x))))
        p4 = F.relu(self.p4_2(self.p4_1(x)))
        return torch.cat((p1, p2, p3, p4), dim=1)


def googlenet(num_classes: int = 10, *, edition: str = "pytorch") -> nn.Sequential:
    """For input (N, 1, 96, 96); output (N, num_classes). `edition` as in `gluonbook.googlenet`."""
    activation = nn.ReLU if follows_pytorch(edition) else nn.Identity
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ),
        nn.Sequential(
            nn.Conv2d(64, 64, kernel_size=1),
            activation(),
            nn.Conv2d(64, 192, kernel_size=3, padding=1),
            activation(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ),
        nn.Sequential(
            *_inceptions(192, INCEPTION_3),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ),
        nn.Sequential(
            *_inceptions(480, INCEPTION_4),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ),
        nn.Sequential(*_inceptions(832, INCEPTION_5), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()),
        nn.Linear(1024, num_classes),
    )


def _inceptions(in_channels: int, rows: tuple[Any, ...]) -> list[Inception]:
    blocks = []
    for c1, c2, c3, c4 in rows:
        blocks.append(Inception(in_channels, c1, c2, c3, c4))
        in_channels = c1 + c2[1] + c3[1] + c4
    return blocks
