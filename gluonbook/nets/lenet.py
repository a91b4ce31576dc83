"""LeNet: two convolutions and three dense layers, with sigmoids between them.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", 1998, section II.B and figure 2 (LeNet-5).
"""

from __future__ import annotations

from mxnet.gluon import nn

from .edition import follows_pytorch


def lenet(num_classes: int = 10, *, edition: str = "gluon") -> nn.HybridSequential:
    """The net of the section on LeNet, for input (N, 1, 28, 28); output (N, num_classes).

    ``edition="pytorch"`` pads the first convolution by 2 pixels, as the paper's 32×32 input
    does, and pools by the average; the Gluon text does not pad and pools by the maximum.

    Deviations from the paper: every pair of channels is connected in the second convolution
    (table I connects some), pooling has no weights, and the last layer is linear, where the
    paper has Gaussian radial basis functions.

    Raises
    ------
    ValueError
        If `edition` is neither ``"gluon"`` nor ``"pytorch"``.
    """
    pytorch = follows_pytorch(edition)
    pool = nn.AvgPool2D if pytorch else nn.MaxPool2D
    net = nn.HybridSequential(prefix="")
    net.add(
        # (N, 1, 28, 28)
        nn.Conv2D(6, kernel_size=5, padding=2 if pytorch else 0, activation="sigmoid"),
        pool(pool_size=2, strides=2),  # (N, 6, 12, 12); PyTorch edition (N, 6, 14, 14)
        nn.Conv2D(16, kernel_size=5, activation="sigmoid"),
        pool(pool_size=2, strides=2),  # (N, 16, 4, 4); PyTorch edition (N, 16, 5, 5)
        nn.Dense(120, activation="sigmoid"),
        nn.Dense(84, activation="sigmoid"),
        nn.Dense(num_classes),
    )
    return net
