"""NiN: after each convolution, two 1×1 convolutions that work as a dense layer on every pixel.

Source: Lin, Chen and Yan, "Network in network", 2014, sections 3.1 (mlpconv layers) and 3.2
(global average pooling).
"""

from __future__ import annotations

from mxnet.gluon import nn

from ..system.errors import whole_number


def nin_block(
    num_channels: int, kernel_size: int, strides: int, padding: int, *, num_1x1_convs: int = 2
) -> nn.HybridSequential:
    """A convolution and two 1×1 convolutions, each with ReLU: one mlpconv layer.

    Input (N, C, H, W); output (N, num_channels, H', W') with
    H' = (H + 2 · padding − kernel_size) // strides + 1, and W' likewise.

    Parameters
    ----------
    num_1x1_convs
        Number of 1×1 convolutions; none leaves a plain convolution with ReLU.

    Raises
    ------
    ValueError
        If `num_1x1_convs` is not a whole number of at least 0.
    """
    num_1x1_convs = whole_number("num_1x1_convs", num_1x1_convs)
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(nn.Conv2D(num_channels, kernel_size, strides, padding, activation="relu"))
        for _ in range(num_1x1_convs):
            block.add(nn.Conv2D(num_channels, kernel_size=1, activation="relu"))
    return block


def nin(num_classes: int = 10, *, num_1x1_convs: int = 2) -> nn.HybridSequential:
    """The net of the section on NiN, for input (N, C, 224, 224); output (N, num_classes).

    `num_1x1_convs` is the number of 1×1 convolutions of each block, as `nin_block` takes it.

    Deviations from the paper: the sizes of the convolutions are AlexNet's, and so is the one
    dropout. The last block ends in a ReLU before the global average pooling, in the book as in
    the paper, so a class score is never negative.
    """
    net = nn.HybridSequential(prefix="")
    net.add(
        # (N, C, 224, 224)
        nin_block(96, kernel_size=11, strides=4, padding=0, num_1x1_convs=num_1x1_convs),
        nn.MaxPool2D(pool_size=3, strides=2),  # (N, 96, 26, 26)
        nin_block(256, kernel_size=5, strides=1, padding=2, num_1x1_convs=num_1x1_convs),
        nn.MaxPool2D(pool_size=3, strides=2),  # (N, 256, 12, 12)
        nin_block(384, kernel_size=3, strides=1, padding=1, num_1x1_convs=num_1x1_convs),
        nn.MaxPool2D(pool_size=3, strides=2),  # (N, 384, 5, 5)
        nn.Dropout(0.5),
        nin_block(num_classes, kernel_size=3, strides=1, padding=1, num_1x1_convs=num_1x1_convs),
        nn.GlobalAvgPool2D(),  # (N, num_classes, 1, 1)
        nn.Flatten(),
    )
    return net
