"""The ResNets for small images, 20 to 110 layers deep.

Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, section 4.2
and table 6. The paper trains them on CIFAR-10, colour images of 32×32 pixels.
"""

from __future__ import annotations

from functools import partial
from typing import Callable

from mxnet.gluon import nn

from ..nets.tables import row_of
from .resnet_family import ResidualBlock, basic, convolution, stages

#: Table 6: blocks in each of the three stages, by the number of layers with weights.
NUM_BLOCKS = {20: 3, 32: 5, 44: 7, 56: 9, 110: 18}
NUM_CHANNELS = (16, 32, 64)


def cifar_resnet(depth: int, num_classes: int = 10) -> nn.HybridSequential:
    """ResNet for small images (N, C, 32, 32), or of about that size; output (N, num_classes).

    Parameters
    ----------
    depth
        Number of layers with weights: 20, 32, 44, 56 or 110. A convolution, three stages of
        two-convolution blocks with 16, 32 and 64 channels, of which the last two halve the image,
        and a dense layer.

    The layers are those of GluonCV's ``cifar_resnet20_v1``.

    Deviations from the paper: a block that changes the shape has a 1×1 convolution in its shortcut
    (option B), where the paper pads with zeros (option A). That adds 2,752 parameters. And no ReLU
    follows the first convolution.

    Raises
    ------
    ValueError
        If `depth` is none of these.
    """
    num_blocks = row_of(NUM_BLOCKS, depth)
    net = nn.HybridSequential()
    with net.name_scope():
        # (N, C, 32, 32) → (N, 16, 32, 32) → 32, 16 and 8 pixels
        net.add(convolution(NUM_CHANNELS[0], 3), nn.BatchNorm())
        block = partial(ResidualBlock, basic)
        net.add(*stages((num_blocks,) * 3, 1, block, small_images=True, widths=NUM_CHANNELS))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


#: The nets by name; GluonCV's names where it has them.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    f"cifar_resnet{depth}_v1": partial(cifar_resnet, depth) for depth in NUM_BLOCKS
}
