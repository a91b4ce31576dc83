"""Wide residual networks for small images: fewer layers than ResNet's, of more channels.

Source: Zagoruyko and Komodakis, "Wide residual networks", 2016, table 1 (the structure) and table 4
(the nets on CIFAR-10, colour images of 32×32 pixels).
"""

from __future__ import annotations

from functools import partial
from typing import Callable

from mxnet.gluon import nn

from .cifar_resnet import NUM_CHANNELS
from .preresnet import PreActivationBlock
from .resnet_family import basic, convolution, stages

#: Layers, and how many times as many channels as in ResNet: the rows of table 4, and the two
#: smallest that are used elsewhere.
NETS = (
    *((40, 1), (40, 2), (40, 4), (40, 8), (28, 10), (28, 12), (22, 8), (22, 10)),
    *((16, 8), (16, 10)),
    *((16, 2), (28, 2)),
)


def wide_resnet(depth: int, widening_factor: int, num_classes: int = 10) -> nn.HybridSequential:
    """Wide ResNet for small images (N, C, 32, 32), or of about that size; output (N, num_classes).

    Parameters
    ----------
    depth
        Number of convolutions: 6 n + 4, in three groups of n pre-activation blocks, of which the
        last two halve the image. The 1×1 convolutions of three shortcuts count among them.
    widening_factor
        The groups have 16, 32 and 64 times so many channels.

    The layers are those of GluonCV's ``cifar_wideresnet28_10``, but for two batch normalisations
    that it has before and after the first convolution.

    Deviations from the paper: none known; its variant with dropout is not here.

    Raises
    ------
    ValueError
        If `depth` is not 6 n + 4.
    """
    num_blocks, rest = divmod(depth - 4, 6)
    if num_blocks < 1 or rest:
        raise ValueError(f"the depth must be 10, 16, 22, 28 and so on, not {depth!r}")
    net = nn.HybridSequential()
    with net.name_scope():
        # (N, C, 32, 32) → (N, 16, 32, 32) → 32, 16 and 8 pixels
        net.add(convolution(NUM_CHANNELS[0], 3))
        block = partial(PreActivationBlock, basic)
        rows = (num_blocks,) * len(NUM_CHANNELS)
        net.add(*stages(rows, widening_factor, block, small_images=True, widths=NUM_CHANNELS))
        net.add(nn.BatchNorm(), nn.Activation("relu"))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


#: The nets by name; GluonCV's names where it has them.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    f"cifar_wideresnet{depth}_{factor}": partial(wide_resnet, depth, factor)
    for depth, factor in NETS
}
