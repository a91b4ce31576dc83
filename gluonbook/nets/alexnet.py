"""AlexNet: five convolutions and three dense layers, ReLU and dropout.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
neural networks", 2012, section 3.5 and figure 2.
"""

from __future__ import annotations

from mxnet.gluon import nn

from .edition import follows_pytorch


def alexnet(num_classes: int = 10, *, edition: str = "gluon") -> nn.HybridSequential:
    """The net of the section on AlexNet, for input (N, C, 224, 224); output (N, num_classes).

    ``edition="pytorch"`` pads the first convolution by 1 pixel; the Gluon text does not. The
    shapes of all layers are the same in both.

    Deviations from the paper: one stream of channels instead of two halves on two GPUs, no
    local response normalisation (section 3.3).

    Raises
    ------
    ValueError
        If `edition` is neither ``"gluon"`` nor ``"pytorch"``.
    """
    padding = 1 if follows_pytorch(edition) else 0
    net = nn.HybridSequential(prefix="")
    net.add(
        # (N, C, 224, 224)
        nn.Conv2D(96, kernel_size=11, strides=4, padding=padding, activation="relu"),
        nn.MaxPool2D(pool_size=3, strides=2),  # (N, 96, 26, 26)
        nn.Conv2D(256, kernel_size=5, padding=2, activation="relu"),
        nn.MaxPool2D(pool_size=3, strides=2),  # (N, 256, 12, 12)
        nn.Conv2D(384, kernel_size=3, padding=1, activation="relu"),
        nn.Conv2D(384, kernel_size=3, padding=1, activation="relu"),
        nn.Conv2D(256, kernel_size=3, padding=1, activation="relu"),
        nn.MaxPool2D(pool_size=3, strides=2),  # (N, 256, 5, 5)
        nn.Dense(4096, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(4096, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(num_classes),
    )
    return net
