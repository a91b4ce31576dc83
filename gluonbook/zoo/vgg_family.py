"""The VGG nets of ImageNet at their full width, with and without batch normalisation.

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", 2015, table 1. Batch normalisation is younger than the paper; the nets with it are
GluonCV's and torchvision's.
"""

from __future__ import annotations

from functools import partial
from typing import Callable

from mxnet.gluon import nn

from ..nets.vgg import CONV_ARCHS, conv_arch


def vgg_imagenet(
    depth: int, num_classes: int = 1000, *, batch_norm: bool = False, small_images: bool = False
) -> nn.HybridSequential:
    """VGG of table 1 for input (N, C, 224, 224); output (N, num_classes), logits.

    With the defaults, this is ``nets.vgg(num_classes, depth=depth, ratio=1)``.

    Parameters
    ----------
    depth
        Number of layers with weights: 11, 13, 16 or 19 (columns A, B, D and E).
    batch_norm
        Normalise between each convolution and its ReLU. The convolutions keep their biases, which
        then change no output; GluonCV's and torchvision's nets have them. ε is 10⁻⁵, and 0.9 of the
        running statistics are kept.
    small_images
        For images of 28 to 64 pixels: the first block does not pool, so that 32×32 pixels end as
        2×2. All else is the same.

    Raises
    ------
    ValueError
        If `depth` is not in table 1.
    """
    net = nn.HybridSequential()
    with net.name_scope():
        for i, (num_convs, num_channels) in enumerate(conv_arch(depth, ratio=1), 1):
            block = nn.HybridSequential(prefix=f"conv{i}_")
            with block.name_scope():
                for _ in range(num_convs):
                    block.add(nn.Conv2D(num_channels, kernel_size=3, padding=1))
                    if batch_norm:
                        block.add(nn.BatchNorm())
                    block.add(nn.Activation("relu"))
                if i > 1 or not small_images:
                    block.add(nn.MaxPool2D(pool_size=2, strides=2))
            net.add(block)
        for _ in range(2):  # (N, 512, 7, 7)
            net.add(nn.Dense(4096, activation="relu"), nn.Dropout(0.5))
        net.add(nn.Dense(num_classes))
    return net


#: The nets by name; GluonCV's names.
MODELS: dict[str, Callable[..., nn.HybridSequential]] = {
    **{f"vgg{depth}": partial(vgg_imagenet, depth) for depth in CONV_ARCHS},
    **{f"vgg{depth}_bn": partial(vgg_imagenet, depth, batch_norm=True) for depth in CONV_ARCHS},
}
