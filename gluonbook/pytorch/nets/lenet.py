"""LeNet, as the PyTorch edition has it; the Gluon net is in `gluonbook.nets.lenet`."""

from __future__ import annotations

from torch import nn

from ...nets.edition import follows_pytorch


def lenet(num_classes: int = 10, *, edition: str = "pytorch") -> nn.Sequential:
    """For input (N, 1, 28, 28); output (N, num_classes). `edition` as in `gluonbook.lenet`."""
    pytorch = follows_pytorch(edition)
    pool = nn.AvgPool2d if pytorch else nn.MaxPool2d
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2 if pytorch else 0),
        nn.Sigmoid(),
        pool(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.Sigmoid(),
        pool(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * (5 * 5 if pytorch else 4 * 4), 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, num_classes),
    )
