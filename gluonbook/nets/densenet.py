"""DenseNet: blocks in which every convolution sees the outputs of all before it.

Source: Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks",
2017, equation 2 (dense connectivity) and table 1.
"""

from __future__ import annotations

from typing import Any

from mxnet.gluon import nn

from .edition import follows_pytorch

GROWTH_RATE = 32
STEM_CHANNELS = 64
NUM_CONVS_IN_DENSE_BLOCKS = (4, 4, 4, 4)


def conv_block(num_channels: int) -> nn.HybridSequential:
    """Batch normalisation, ReLU and a 3×3 convolution: the function H of equation 2.

    Input (N, C, H, W); output (N, num_channels, H, W).

    Deviations from the paper: the convolution has a bias.
    """
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(nn.BatchNorm(), nn.Activation("relu"))
        block.add(nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return block


class DenseBlock(nn.HybridBlock):
    """`num_convs` convolution blocks, each over the input and all outputs so far (equation 2).

    Input (N, C, H, W); output (N, C + num_convs · num_channels, H, W).

    Parameters
    ----------
    num_convs
        Number of convolution blocks.
    num_channels
        Channels that each of them adds: the growth rate.

    Deviations from the paper: no 1×1 "bottleneck" convolution before the 3×3 convolution.
    """

    def __init__(self, num_convs: int, num_channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.net = nn.HybridSequential()
            with self.net.name_scope():
                for _ in range(num_convs):
                    self.net.add(conv_block(num_channels))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        for block in self.net:
            x = F.concat(x, block(x), dim=1)
        return x


def transition_block(num_channels: int) -> nn.HybridSequential:
    """Batch normalisation, ReLU, a 1×1 convolution and 2×2 average pooling with stride 2.

    Input (N, C, H, W); output (N, num_channels, H // 2, W // 2).

    Deviations from the paper: the convolution has a bias.
    """
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(nn.BatchNorm(), nn.Activation("relu"))
        block.add(nn.Conv2D(num_channels, kernel_size=1), nn.AvgPool2D(pool_size=2, strides=2))
    return block


def densenet(num_classes: int = 10, *, edition: str = "gluon") -> nn.HybridSequential:
    """The net of the section on DenseNet, for input (N, C, 96, 96); output (N, num_classes).

    The editions differ in the channels that a transition leaves. The PyTorch text halves what
    it gets, as the paper does with θ = 0.5: 96, 112, 120, and the last block ends with 248.
    The Gluon text counts on as if earlier transitions had not halved: 96, 160, 224, and 352.

    Deviations from the paper: 4 convolutions in each block instead of 6, 12, 24 and 16
    (DenseNet-121), and no bottleneck.

    Raises
    ------
    ValueError
        If `edition` is neither ``"gluon"`` nor ``"pytorch"``.
    """
    halve_running_count = follows_pytorch(edition)
    net = nn.HybridSequential(prefix="")
    net.add(
        # (N, C, 96, 96)
        nn.Conv2D(STEM_CHANNELS, kernel_size=7, strides=2, padding=3),
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1),  # (N, 64, 24, 24)
    )
    num_channels = STEM_CHANNELS
    for i, num_convs in enumerate(NUM_CONVS_IN_DENSE_BLOCKS):
        net.add(DenseBlock(num_convs, GROWTH_RATE))
        num_channels += num_convs * GROWTH_RATE
        if i < len(NUM_CONVS_IN_DENSE_BLOCKS) - 1:
            net.add(transition_block(num_channels // 2))
            if halve_running_count:
                num_channels //= 2
    net.add(
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.GlobalAvgPool2D(),
        nn.Dense(num_classes),
    )
    return net
