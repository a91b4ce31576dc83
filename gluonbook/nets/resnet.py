"""ResNet: blocks that learn what to add to their input.

Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, figure 2
(the block), table 1 (the nets).
"""

from __future__ import annotations

from typing import Any

from mxnet.gluon import nn

#: Table 1, the nets of two-convolution blocks: blocks in conv2_x, conv3_x, conv4_x, conv5_x.
NUM_RESIDUALS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
NUM_CHANNELS = (64, 128, 256, 512)


def num_residuals_of(depth: int) -> tuple[int, ...]:
    """Blocks in each stage of the net with `depth` layers; a ValueError if there is none."""
    if depth not in NUM_RESIDUALS:
        raise ValueError(f"depth must be 18 or 34, not {depth!r}")
    return NUM_RESIDUALS[depth]


class Residual(nn.HybridBlock):
    """Two 3×3 convolutions with batch normalisation, around which the input is added.

    Input (N, C, H, W); output (N, num_channels, H', W'), where H' = (H − 1) // strides + 1 and
    W' likewise. Without `use_1x1conv`, C must be `num_channels` and `strides` must be 1.

    Parameters
    ----------
    num_channels
        Output channels of both convolutions.
    use_1x1conv
        Bring the input to the output's shape by a 1×1 convolution (section 3.3, option B),
        without which a block cannot change the number of channels or the image's size.
    strides
        Stride of the first convolution and of the 1×1 convolution.

    Deviations from the paper: the convolutions have biases, and the 1×1 convolution has no
    batch normalisation after it.
    """

    def __init__(
        self, num_channels: int, use_1x1conv: bool = False, strides: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
            self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=1)
            self.conv3 = (
                nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
            )
            self.bn1 = nn.BatchNorm()
            self.bn2 = nn.BatchNorm()

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        # F.Activation is the fast kernel on a CPU; F.relu is a slow one, with the same numbers.
        y = F.Activation(self.bn1(self.conv1(x)), act_type="relu")
        y = self.bn2(self.conv2(y))
        if self.conv3 is not None:
            x = self.conv3(x)
        return F.Activation(y + x, act_type="relu")


def resnet_block(
    num_channels: int, num_residuals: int, first_block: bool = False
) -> nn.HybridSequential:
    """`num_residuals` residual blocks: one row of table 1.

    Input (N, C, H, W); output (N, num_channels, ⌈H / 2⌉, ⌈W / 2⌉). With `first_block`, which
    follows a pooling, C must be `num_channels` and the size stays H, W.
    """
    block = nn.HybridSequential()
    with block.name_scope():
        for i in range(num_residuals):
            if i == 0 and not first_block:
                block.add(Residual(num_channels, use_1x1conv=True, strides=2))
            else:
                block.add(Residual(num_channels))
    return block


def resnet(num_classes: int = 10, *, depth: int = 18) -> nn.HybridSequential:
    """The net of the section on ResNet, for input (N, C, 96, 96); output (N, num_classes).

    Parameters
    ----------
    depth
        Number of layers with weights: 18, as in the section, or 34 (table 1).

    Raises
    ------
    ValueError
        If `depth` is neither.
    """
    num_residuals = num_residuals_of(depth)
    net = nn.HybridSequential(prefix="")
    net.add(
        # (N, C, 96, 96)
        nn.Conv2D(64, kernel_size=7, strides=2, padding=3),  # (N, 64, 48, 48)
        nn.BatchNorm(),
        nn.Activation("relu"),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1),  # (N, 64, 24, 24)
    )
    _add_stages(net, num_residuals, num_classes)
    return net


def resnet18(num_classes: int) -> nn.HybridSequential:
    """ResNet-18 as the book's sections on several GPUs call it; output (N, num_classes).

    Departs from the paper for small images: the first convolution is 3×3 with stride 1, and no
    pooling follows it.
    """
    net = nn.HybridSequential(prefix="")
    net.add(
        nn.Conv2D(64, kernel_size=3, strides=1, padding=1),
        nn.BatchNorm(),
        nn.Activation("relu"),
    )
    _add_stages(net, NUM_RESIDUALS[18], num_classes)
    return net


def _add_stages(net: nn.HybridSequential, num_residuals: tuple[int, ...], num_classes: int) -> None:
    for i, (num_channels, n) in enumerate(zip(NUM_CHANNELS, num_residuals)):
        net.add(resnet_block(num_channels, n, first_block=i == 0))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
