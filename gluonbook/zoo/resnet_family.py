"""The ResNets of ImageNet, 18 to 152 layers deep, with the basic and the bottleneck block.

Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, table 1 (the
nets) and figure 5 (the blocks). `resnet_v1` is the paper's net, `resnet_v1b` the one that is used
most today. The section's own net, ``nets.resnet``, differs from both in its biases and shortcuts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping

from mxnet.gluon import nn

from ..nets.resnet import NUM_CHANNELS, NUM_RESIDUALS
from ..nets.tables import row_of

#: Table 1: blocks in conv2_x, conv3_x, conv4_x and conv5_x, by the number of layers with weights.
BASIC = NUM_RESIDUALS
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
TABLE_1 = {**BASIC, **BOTTLENECK}
#: The last convolution of a bottleneck has this many times the channels of the others.
EXPANSION = 4
#: Makes a residual function from its output channels and its strides.
Body = Callable[[int, int], nn.HybridSequential]


def sequence(*layers: nn.HybridBlock) -> nn.HybridSequential:
    """The layers one after the other, with the names that they have without it."""
    block = nn.HybridSequential(prefix="")
    block.add(*layers)
    return block


def convolution(
    num_channels: int, kernel_size: int, strides: int = 1, *, use_bias: bool = False
) -> nn.Conv2D:
    """A convolution padded by half its kernel: (N, C, H, W) to (N, num_channels, ⌈H / strides⌉, …).

    It has no bias unless asked for: the batch normalisation that follows would take it off again.
    """
    return nn.Conv2D(
        num_channels, kernel_size, strides, padding=kernel_size // 2, use_bias=use_bias
    )


def residual(*convolutions: nn.Conv2D) -> nn.HybridSequential:
    """The convolutions, with batch normalisation and ReLU between them."""
    first, *others = convolutions
    block = sequence(first)
    for other in others:
        block.add(nn.BatchNorm(), nn.Activation("relu"), other)
    return block


def basic(num_channels: int, strides: int) -> nn.HybridSequential:
    """Two 3×3 convolutions (figure 5, left)."""
    return residual(convolution(num_channels, 3, strides), convolution(num_channels, 3))


def bottleneck(num_channels: int, strides: int) -> nn.HybridSequential:
    """1×1, 3×3 and 1×1 convolutions (figure 5, right), with the stride in the 3×3."""
    return residual(
        convolution(num_channels // EXPANSION, 1),
        convolution(num_channels // EXPANSION, 3, strides),
        convolution(num_channels, 1),
    )


def bottleneck_v1(num_channels: int, strides: int) -> nn.HybridSequential:
    """A bottleneck with the stride in the first 1×1, as the paper's nets have it.

    The two 1×1 convolutions have biases, as GluonCV's have.
    """
    return residual(
        convolution(num_channels // EXPANSION, 1, strides, use_bias=True),
        convolution(num_channels // EXPANSION, 3),
        convolution(num_channels, 1, use_bias=True),
    )


class ResidualBlock(nn.HybridBlock):
    """The residual function F of the input, normalised, plus the input, then a ReLU (equation 1).

    Input (N, C, H, W); output (N, num_channels, ⌈H / strides⌉, ⌈W / strides⌉).

    Parameters
    ----------
    body
        Makes F up to its last convolution, from `num_channels` and `strides`.
    changes_shape
        A 1×1 convolution with batch normalisation brings the input to the shape of F's output
        (section 3.3, option B).
    """

    def __init__(self, body: Body, num_channels: int, strides: int, changes_shape: bool) -> None:
        super().__init__(prefix="")
        shortcut = None
        if changes_shape:
            shortcut = sequence(convolution(num_channels, 1, strides), nn.BatchNorm())
        self.body = sequence(body(num_channels, strides), nn.BatchNorm())
        self.shortcut = shortcut

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.Activation(self.body(x) + shortcut, act_type="relu")


def stem(small_images: bool) -> nn.HybridSequential:
    """The row conv1 of table 1: (N, C, H, W) to (N, 64, ⌈H / 2⌉, ⌈W / 2⌉), or to (N, 64, H, W)."""
    block = nn.HybridSequential(prefix="conv1_")
    with block.name_scope():
        block.add(convolution(64, 3) if small_images else convolution(64, 7, strides=2))
        block.add(nn.BatchNorm(), nn.Activation("relu"))
    return block


def stages(
    num_blocks: tuple[int, ...],
    expansion: int,
    block: Callable[[int, int, bool], nn.HybridBlock],
    small_images: bool,
    widths: tuple[int, ...] = NUM_CHANNELS,
) -> list[nn.HybridSequential]:
    """The rows conv2_x to conv5_x of table 1; the first begins with the max pooling.

    `block` makes one block from its output channels, its strides, and whether it changes the shape
    of its input. `widths` are the channels of each row, before the expansion.
    """
    rows = []
    for i, (n, width) in enumerate(zip(num_blocks, widths)):
        row = nn.HybridSequential(prefix=f"conv{i + 2}_x_")
        num_channels = expansion * width
        with row.name_scope():
            if i == 0 and not small_images:
                row.add(nn.MaxPool2D(pool_size=3, strides=2, padding=1))
            row.add(block(num_channels, 1 if i == 0 else 2, i > 0 or expansion > 1))
            row.add(*(block(num_channels, 1, False) for _ in range(n - 1)))
        rows.append(row)
    return rows


def rows_of(
    table: Mapping[int, tuple[int, ...]],
    depth: int,
    block: Callable[[Body, int, int, bool], nn.HybridBlock],
    of_three: Body,
    small_images: bool,
) -> list[nn.HybridSequential]:
    """The rows conv1 to conv5_x of the net with `depth` layers.

    `of_three` is the bottleneck that deep nets are made of.

    Raises
    ------
    ValueError
        If `depth` is not in `table`.
    """
    num_blocks = row_of(table, depth)
    body, expansion = (basic, 1) if depth in BASIC else (of_three, EXPANSION)
    # (N, C, 224, 224) → (N, 64, 112, 112) → 56, 28, 14 and 7 pixels
    return [stem(small_images), *stages(num_blocks, expansion, partial(block, body), small_images)]


def _resnet(
    depth: int, num_classes: int, small_images: bool, of_three: Body
) -> nn.HybridSequential:
    net = nn.HybridSequential()
    with net.name_scope():
        net.add(*rows_of(TABLE_1, depth, ResidualBlock, of_three, small_images))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


def resnet_v1b(
    depth: int, num_classes: int = 1000, *, small_images: bool = False
) -> nn.HybridSequential:
    """ResNet of table 1 for input (N, C, 224, 224); output (N, num_classes), logits.

    Parameters
    ----------
    depth
        Number of layers with weights: 18 or 34, of basic blocks, or 50, 101 or 152, of bottlenecks.
    small_images
        For images of 28 to 64 pixels: the first convolution is 3×3 with stride 1, and no pooling
        follows it, so that 32×32 pixels end as 4×4. All else is the same.

    The layers are GluonCV's ``resnet50_v1b`` and torchvision's ``resnet50``: no convolution has a
    bias, and batch normalisation has ε = 10⁻⁵ and keeps 0.9 of its running statistics.

    Deviations from the paper: a bottleneck that halves the image does so in its 3×3 convolution,
    not in the first 1×1, which would skip three pixels of four.

    Raises
    ------
    ValueError
        If `depth` is not in table 1.
    """
    return _resnet(depth, num_classes, small_images, bottleneck)


def resnet_v1(
    depth: int, num_classes: int = 1000, *, small_images: bool = False
) -> nn.HybridSequential:
    """ResNet of table 1 as the paper has it: a bottleneck's stride is in its first 1×1 convolution.

    Everything else is as in `resnet_v1b`, but for the biases of a bottleneck's 1×1 convolutions.
    They change no output, and are here because GluonCV's ``resnet50_v1`` has them.
    """
    return _resnet(depth, num_classes, small_images, bottleneck_v1)


#: The nets by name; GluonCV's names.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    **{f"resnet{depth}_v1": partial(resnet_v1, depth) for depth in TABLE_1},
    **{f"resnet{depth}_v1b": partial(resnet_v1b, depth) for depth in TABLE_1},
}
