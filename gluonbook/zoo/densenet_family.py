"""The DenseNets of ImageNet, 121 to 264 layers deep: DenseNet-BC, with bottleneck and compression.

Source: Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", 2017,
table 1 and section 3.
"""

from __future__ import annotations

from functools import partial
from typing import Callable

from mxnet.gluon import nn

from ..nets.densenet import DenseBlock
from ..nets.tables import row_of

#: Table 1, by the number of layers with weights: growth rate k, and layers in the dense blocks.
#: DenseNet-161 is the authors' too; the paper's last version has DenseNet-264 in its place.
TABLE_1 = {
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
    264: (32, (6, 12, 64, 48)),
}
#: A 1×1 convolution leaves this many times k channels ("bottleneck layers").
BOTTLENECK = 4


def bottleneck_block(num_channels: int) -> nn.HybridSequential:
    """BN-ReLU-Conv(1×1)-BN-ReLU-Conv(3×3): the function H of DenseNet-B (section 3).

    Input (N, C, H, W); output (N, num_channels, H, W).
    """
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(
            _conv_block(BOTTLENECK * num_channels, kernel_size=1),
            _conv_block(num_channels, kernel_size=3),
        )
    return block


def densenet_bc(
    depth: int, num_classes: int = 1000, *, small_images: bool = False
) -> nn.HybridSequential:
    """DenseNet of table 1 for input (N, C, 224, 224); output (N, num_classes), logits.

    The first convolution has 2k channels, and each transition halves the channels (θ = 0.5,
    "compression"). No convolution has a bias. Batch normalisation has ε = 10⁻⁵ and keeps 0.9 of its
    running statistics. The layers are those of GluonCV's and torchvision's ``densenet121`` and so
    on. Neither library has DenseNet-264: its outputs are compared with no other net's, its
    parameters with table 1 by arithmetic.

    Parameters
    ----------
    depth
        Number of layers with weights: 121, 161, 169, 201 or 264.
    small_images
        For images of 28 to 64 pixels: the first convolution is 3×3 with stride 1, and no pooling
        follows it, so that 32×32 pixels end as 4×4. All else is the same.

    Raises
    ------
    ValueError
        If `depth` is none of these.
    """
    growth_rate, num_layers = row_of(TABLE_1, depth)
    num_channels = 2 * growth_rate
    net = nn.HybridSequential()
    with net.name_scope():
        # (N, C, 224, 224)
        kernel_size, strides = (3, 1) if small_images else (7, 2)
        net.add(
            nn.Conv2D(num_channels, kernel_size, strides, kernel_size // 2, use_bias=False),
            nn.BatchNorm(),
            nn.Activation("relu"),
        )  # (N, 2k, 112, 112)
        if not small_images:
            net.add(nn.MaxPool2D(pool_size=3, strides=2, padding=1))
        for i, n in enumerate(num_layers, 1):  # 56, 28, 14 and 7 pixels
            net.add(_dense_block(n, growth_rate, prefix=f"denseblock{i}_"))
            num_channels += n * growth_rate
            if i < len(num_layers):
                num_channels //= 2
                net.add(_transition_block(num_channels, prefix=f"transition{i}_"))
        net.add(nn.BatchNorm(), nn.Activation("relu"))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


def _conv_block(
    num_channels: int, *, kernel_size: int, prefix: str | None = None
) -> nn.HybridSequential:
    """The section's `conv_block`, with a window of any size and without a bias."""
    block = nn.HybridSequential(prefix=prefix)
    with block.name_scope():
        block.add(
            nn.BatchNorm(),
            nn.Activation("relu"),
            nn.Conv2D(num_channels, kernel_size, padding=kernel_size // 2, use_bias=False),
        )
    return block


def _dense_block(num_layers: int, growth_rate: int, *, prefix: str) -> DenseBlock:
    """The section's `DenseBlock`, of `bottleneck_block`s."""
    block = DenseBlock(0, growth_rate, prefix=prefix)
    with block.net.name_scope():
        for _ in range(num_layers):
            block.net.add(bottleneck_block(growth_rate))
    return block


def _transition_block(num_channels: int, *, prefix: str) -> nn.HybridSequential:
    """The section's `transition_block`, without a bias."""
    block = _conv_block(num_channels, kernel_size=1, prefix=prefix)
    with block.name_scope():
        block.add(nn.AvgPool2D(pool_size=2, strides=2))
    return block


#: The nets by name; GluonCV's names.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    f"densenet{depth}": partial(densenet_bc, depth) for depth in TABLE_1
}
