"""AlexNet, as the PyTorch edition has it; the Gluon net is in `gluonbook.nets.alexnet`."""

from __future__ import annotations

from torch import nn

from ...nets.edition import follows_pytorch


def alexnet(num_classes: int = 10, *, edition: str = "pytorch") -> nn.Sequential:
    """For input (N, 1, 224, 224); output (N, num_classes). `edition` as in `gluonbook.alexnet`."""
    padding = 1 if follows_pytorch(edition) else 0
    return nn.Sequential(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        nn.Linear(256 * 5 * 5, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, num_classes),
    )
