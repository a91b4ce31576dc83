"""The net that NiN's paper trains on CIFAR-10, colour images of 32×32 pixels.

Source: Lin, Chen and Yan, "Network in network", 2014, sections 3 and 4.1.
"""

from __future__ import annotations

from mxnet.gluon import nn


def mlpconv(num_channels: tuple[int, ...], kernel_size: int, prefix: str) -> nn.HybridSequential:
    """A convolution, then 1×1 convolutions, each with its number of channels and a ReLU.

    Input (N, C, H, W); output (N, num_channels[-1], H, W).
    """
    first, *others = num_channels
    block = nn.HybridSequential(prefix=prefix)
    with block.name_scope():
        block.add(nn.Conv2D(first, kernel_size, padding=kernel_size // 2, activation="relu"))
        block.add(*(nn.Conv2D(n, kernel_size=1, activation="relu") for n in others))
    return block


def nin_cifar10(num_classes: int = 10) -> nn.HybridSequential:
    """The paper's own net for CIFAR-10, for input (N, C, 32, 32); output (N, num_classes), logits.

    Three mlpconv layers; a max pooling that halves the image and a dropout of one half follow the
    first two (sections 3.3 and 4.1). The paper's text gives no sizes: they are those of the
    authors' published definition (cuda-convnet's ``NIN/cifar-10_def``), whose poolings round up, so
    that 32×32 pixels become 16×16 and 8×8. The authors' later net for Caffe averages in the second
    pooling; here both take the maximum, as the paper says.

    That definition cannot be run here, so the outputs are compared with no other net's; the sizes
    of the layers and the parameters are, by arithmetic.

    An image larger than 32×32 gives an answer too, since the last pooling averages over all pixels.
    As in the paper, a ReLU precedes it, so a class score is never negative.
    """
    net = nn.HybridSequential()
    with net.name_scope():
        net.add(
            # (N, C, 32, 32)
            mlpconv((192, 160, 96), kernel_size=5, prefix="mlpconv1_"),
            nn.MaxPool2D(pool_size=3, strides=2, ceil_mode=True),  # (N, 96, 16, 16)
            nn.Dropout(0.5),
            mlpconv((192, 192, 192), kernel_size=5, prefix="mlpconv2_"),
            nn.MaxPool2D(pool_size=3, strides=2, ceil_mode=True),  # (N, 192, 8, 8)
            nn.Dropout(0.5),
            mlpconv((192, 192, num_classes), kernel_size=3, prefix="mlpconv3_"),
            nn.GlobalAvgPool2D(),  # (N, num_classes, 1, 1)
            nn.Flatten(),
        )
    return net
