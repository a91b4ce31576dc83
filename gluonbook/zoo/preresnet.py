"""ResNets of pre-activation blocks: they normalise and activate first, and add last.

Source: He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", 2016, figures 1b and
4e (the block). Up to 152 layers the rows are those of table 1 of "Deep residual learning for image
recognition"; ResNet-200 has 16 blocks more in conv3_x (section 5).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from mxnet.gluon import nn

from .resnet_family import TABLE_1, Body, bottleneck, convolution, rows_of, sequence

#: Blocks in conv2_x, conv3_x, conv4_x and conv5_x, by the number of layers with weights.
NUM_BLOCKS = {**TABLE_1, 200: (3, 24, 36, 3)}


class PreActivationBlock(nn.HybridBlock):
    """The residual function of the input, normalised and activated, plus the input (figure 1b).

    Input (N, C, H, W); output (N, num_channels, ⌈H / strides⌉, ⌈W / strides⌉). No ReLU follows the
    sum.

    Parameters
    ----------
    body
        Makes the residual function F after its first batch normalisation and ReLU, from
        `num_channels` and `strides`: ``basic`` or ``bottleneck`` of the ResNets before.
    changes_shape
        A 1×1 convolution brings the activated input to the shape of F's output. Else the input is
        added as it is.
    """

    def __init__(self, body: Body, num_channels: int, strides: int, changes_shape: bool) -> None:
        super().__init__(prefix="")
        shortcut = convolution(num_channels, 1, strides) if changes_shape else None
        residual = body(num_channels, strides)
        self.activation = sequence(nn.BatchNorm(), nn.Activation("relu"))
        self.body = residual
        self.shortcut = shortcut

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        activated = self.activation(x)
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        return self.body(activated) + shortcut


def preresnet(
    depth: int, num_classes: int = 1000, *, small_images: bool = False
) -> nn.HybridSequential:
    """Pre-activation ResNet for input (N, C, 224, 224); output (N, num_classes), logits.

    Parameters
    ----------
    depth
        Number of layers with weights: 18 or 34, of basic blocks, or 50, 101, 152 or 200, of
        bottlenecks.
    small_images
        For images of 28 to 64 pixels: the first convolution is 3×3 with stride 1, and no pooling
        follows it, so that 32×32 pixels end as 4×4. All else is the same.

    The layers are those of GluonCV's ``resnet50_v2`` after its first, which normalises the images:
    no convolution has a bias, and batch normalisation has ε = 10⁻⁵ and keeps 0.9 of its running
    statistics. A bottleneck's stride is in its 3×3 convolution; the paper does not say where, and
    the authors' code has it in the first 1×1. The outputs up to 152 layers are compared with those
    of GluonCV's nets; it has no ResNet-200, so that one is compared by its number of parameters.

    Deviations from the paper: the first block normalises and activates again what conv1 has
    normalised and activated already (the appendix has that once).

    Raises
    ------
    ValueError
        If `depth` is none of these.
    """
    net = nn.HybridSequential()
    with net.name_scope():
        net.add(*rows_of(NUM_BLOCKS, depth, PreActivationBlock, bottleneck, small_images))
        net.add(nn.BatchNorm(), nn.Activation("relu"))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))
    return net


#: The nets by name.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    f"preresnet{depth}": partial(preresnet, depth) for depth in NUM_BLOCKS
}
