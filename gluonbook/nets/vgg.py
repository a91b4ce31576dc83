"""VGG: blocks of 3×3 convolutions, each block ending in a pooling that halves the image.

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", 2015, table 1.
"""

from __future__ import annotations

from typing import Sequence

from mxnet.gluon import nn

from .tables import row_of

#: Table 1, by number of weight layers: (convolutions, channels) of the five blocks.
CONV_ARCHS = {
    11: ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)),  # column A
    13: ((2, 64), (2, 128), (2, 256), (2, 512), (2, 512)),  # column B
    16: ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),  # column D
    19: ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),  # column E
}


def conv_arch(depth: int, ratio: int) -> tuple[tuple[int, int], ...]:
    """The row of `CONV_ARCHS` for `depth`, its channels divided by `ratio`.

    Raises
    ------
    ValueError
        If `depth` is not in table 1, or `ratio` is not from 1 to 64.
    """
    rows = row_of(CONV_ARCHS, depth)
    if not 1 <= ratio <= 64:
        raise ValueError(f"ratio must be from 1 to 64, not {ratio!r}")
    return tuple((num_convs, num_channels // ratio) for num_convs, num_channels in rows)


def vgg_block(num_convs: int, num_channels: int) -> nn.HybridSequential:
    """`num_convs` convolutions 3×3 with ReLU, then 2×2 max pooling with stride 2.

    Input (N, C, H, W); output (N, num_channels, H // 2, W // 2).
    """
    block = nn.HybridSequential()
    with block.name_scope():
        for _ in range(num_convs):
            block.add(nn.Conv2D(num_channels, kernel_size=3, padding=1, activation="relu"))
        block.add(nn.MaxPool2D(pool_size=2, strides=2))
    return block


def vgg(
    num_classes: int | Sequence[tuple[int, int]] = 10, *, depth: int = 11, ratio: int = 4
) -> nn.HybridSequential:
    """The net of the section on VGG, for input (N, C, 224, 224); output (N, num_classes).

    Parameters
    ----------
    num_classes
        Also, as in the book's text, ``vgg(conv_arch)``: the number of convolutions and the channels
        of each block, in place of `depth` and `ratio`, for 10 classes.
    depth
        Number of layers with weights: 11, 13, 16 or 19 (table 1, columns A, B, D and E).
    ratio
        What the channels of the convolutions are divided by. The section trains a quarter of
        the paper's width, which is the default; 1 gives the paper's.

    Raises
    ------
    ValueError
        If `depth` is not in table 1, or `ratio` is not from 1 to 64.
    """
    if isinstance(num_classes, Sequence):
        blocks, num_classes = num_classes, 10
    else:
        blocks = conv_arch(depth, ratio)
    net = nn.HybridSequential(prefix="")
    for num_convs, num_channels in blocks:
        net.add(vgg_block(num_convs, num_channels))
    net.add(
        # (N, 512 // ratio, 7, 7)
        nn.Dense(4096, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(4096, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(num_classes),
    )
    return net
