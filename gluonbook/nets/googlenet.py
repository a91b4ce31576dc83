"""GoogLeNet: Inception blocks, which look at the image at four scales side by side.

Source: Szegedy et al., "Going deeper with convolutions", 2015, figure 2, table 1 and section 5.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mxnet.gluon import nn

from .auxiliary import WithAuxiliary
from .edition import follows_pytorch

#: Table 1: 1×1; 3×3 reduce and 3×3; 5×5 reduce and 5×5; pool projection.
INCEPTION_3 = (
    (64, (96, 128), (16, 32), 32),  # 3a
    (128, (128, 192), (32, 96), 64),  # 3b
)
INCEPTION_4 = (
    (192, (96, 208), (16, 48), 64),  # 4a
    (160, (112, 224), (24, 64), 64),  # 4b
    (128, (128, 256), (24, 64), 64),  # 4c
    (112, (144, 288), (32, 64), 64),  # 4d
    (256, (160, 320), (32, 128), 128),  # 4e
)
INCEPTION_5 = (
    (256, (160, 320), (32, 128), 128),  # 5a
    (384, (192, 384), (48, 128), 128),  # 5b
)


class Inception(nn.HybridBlock):
    """Four parallel paths over one input, joined along the channels (figure 2b).

    Input (N, C, H, W); output (N, c1 + c2[1] + c3[1] + c4, H, W).

    Parameters
    ----------
    c1
        Channels of the 1×1 convolution.
    c2
        Channels of a 1×1 convolution and of the 3×3 convolution after it.
    c3
        Channels of a 1×1 convolution and of the 5×5 convolution after it.
    c4
        Channels of the 1×1 convolution after a 3×3 max pooling.
    batch_norm
        Batch normalisation after each convolution.
    """

    def __init__(
        self,
        c1: int,
        c2: tuple[int, int],
        c3: tuple[int, int],
        c4: int,
        *,
        batch_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        conv = partial(_conv, batch_norm=batch_norm)
        with self.name_scope():
            self.p1_1 = conv(c1, kernel_size=1)
            self.p2_1 = conv(c2[0], kernel_size=1)
            self.p2_2 = conv(c2[1], kernel_size=3, padding=1)
            self.p3_1 = conv(c3[0], kernel_size=1)
            self.p3_2 = conv(c3[1], kernel_size=5, padding=2)
            self.p4_1 = nn.MaxPool2D(pool_size=3, strides=1, padding=1)
            self.p4_2 = conv(c4, kernel_size=1)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        p1 = self.p1_1(x)
        p2 = self.p2_2(self.p2_1(x))
        p3 = self.p3_2(self.p3_1(x))
        p4 = self.p4_2(self.p4_1(x))
        return F.concat(p1, p2, p3, p4, dim=1)


def googlenet(
    num_classes: int = 10,
    *,
    edition: str = "gluon",
    batch_norm: bool = False,
    auxiliary: bool = False,
) -> nn.HybridBlock:
    """The net of the section on GoogLeNet, for input (N, C, 96, 96); output (N, num_classes).

    Deviations from the paper: no local response normalisation, no dropout before the last layer,
    and images of 96×96 instead of 224×224.

    Parameters
    ----------
    edition
        ``"pytorch"`` has a ReLU after both convolutions of the second module; the Gluon text has
        none there.
    batch_norm
        Put batch normalisation after each convolution and before its ReLU. The convolutions then
        have no bias. All else is as without.
    auxiliary
        Answer with a tuple of three outputs (N, num_classes): the net's, and those of two
        classifiers over the blocks 4a and 4d (section 5), to be trained by an `AuxiliaryLoss`. The
        fourth module is then in three parts. Images must be of 65×65 or larger.

    Raises
    ------
    ValueError
        If `edition` is neither ``"gluon"`` nor ``"pytorch"``.
    """
    activation = "relu" if follows_pytorch(edition) else None
    conv = partial(_conv, batch_norm=batch_norm)
    inception = partial(Inception, batch_norm=batch_norm)
    net = nn.HybridSequential(prefix="")
    net.add(
        # (N, C, 96, 96)
        _module(
            conv(64, kernel_size=7, strides=2, padding=3),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1),
        ),  # (N, 64, 24, 24)
        _module(
            conv(64, kernel_size=1, activation=activation),
            conv(192, kernel_size=3, padding=1, activation=activation),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1),
        ),  # (N, 192, 12, 12)
        _module(
            *(inception(*row) for row in INCEPTION_3),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1),
        ),  # (N, 480, 6, 6)
    )
    fourth = [
        *(inception(*row) for row in INCEPTION_4),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1),
    ]  # (N, 832, 3, 3)
    parts = (fourth[:1], fourth[1:4], fourth[4:]) if auxiliary else (fourth,)  # after 4a, 4d
    net.add(
        *(_module(*part) for part in parts),
        _module(
            *(inception(*row) for row in INCEPTION_5),
            nn.GlobalAvgPool2D(),
        ),  # (N, 1024, 1, 1)
        nn.Dense(num_classes),
    )
    if not auxiliary:
        return net
    return WithAuxiliary(net, {place: _head(num_classes, batch_norm) for place in (3, 4)})


def _module(*layers: nn.HybridBlock) -> nn.HybridSequential:
    module = nn.HybridSequential()
    module.add(*layers)
    return module


def _conv(
    num_channels: int, *, batch_norm: bool, activation: str | None = "relu", **kwargs: Any
) -> nn.HybridBlock:
    if not batch_norm:
        return nn.Conv2D(num_channels, activation=activation, **kwargs)
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(nn.Conv2D(num_channels, use_bias=False, **kwargs), nn.BatchNorm())
        if activation is not None:
            block.add(nn.Activation(activation))
    return block


def _head(num_classes: int, batch_norm: bool) -> nn.HybridSequential:
    return _module(
        # (N, C, 6, 6)
        nn.AvgPool2D(pool_size=5, strides=3),  # (N, C, 1, 1)
        _conv(128, kernel_size=1, batch_norm=batch_norm),
        nn.Dense(1024, activation="relu"),
        nn.Dropout(0.7),
        nn.Dense(num_classes),
    )
