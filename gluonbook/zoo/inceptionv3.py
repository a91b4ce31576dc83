"""Inception v3: convolutions factorised into smaller and one-sided ones.

Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for
computer vision", 2016, table 1 and figures 5 to 7 and 10. The rows have the names that they have in
the authors' code.
"""

from __future__ import annotations

from functools import partial

from mxnet.gluon import nn

from ..nets.auxiliary import WithAuxiliary
from .inception_tables import Row, avg_pool, block_of, classifier, max_pool, net_of

STEM: dict[str, Row] = {
    # (N, C, 299, 299)
    "conv_1a": (32, 3, 2),  # (N, 32, 149, 149)
    "conv_2a": (32, 3, 1, 0),  # (N, 32, 147, 147)
    "conv_2b": (64, 3),  # (N, 64, 147, 147)
    "pool_3a": max_pool,  # (N, 64, 73, 73)
    "conv_3b": (80, 1),  # (N, 80, 73, 73)
    "conv_4a": (192, 3, 1, 0),  # (N, 192, 71, 71)
    "pool_5a": max_pool,  # (N, 192, 35, 35)
}
#: What `small_images` changes.
SMALL_STEM: dict[str, Row] = {
    **STEM,
    "conv_1a": (32, 3),
    "conv_2a": (32, 3),
    "pool_3a": None,
    "conv_4a": (192, 3),
}


def _figure_5(pool_channels: int) -> Row:
    return (
        [(64, 1)],
        [(48, 1), (64, 5)],
        [(64, 1), (96, 3), (96, 3)],
        [avg_pool, (pool_channels, 1)],
    )


def _figure_6(channels: int) -> Row:
    return (
        [(192, 1)],
        [(channels, 1), (channels, (1, 7)), (192, (7, 1))],
        [(channels, 1), (channels, (7, 1)), (channels, (1, 7)), (channels, (7, 1)), (192, (1, 7))],
        [avg_pool, (192, 1)],
    )


FIGURE_7: Row = (
    [(320, 1)],
    [(384, 1), ([(384, (1, 3))], [(384, (3, 1))])],
    [(448, 1), (384, 3), ([(384, (1, 3))], [(384, (3, 1))])],
    [avg_pool, (192, 1)],
)

MIXED: dict[str, Row] = {
    "mixed_5b": _figure_5(32),  # (N, 256, 35, 35)
    "mixed_5c": _figure_5(64),  # (N, 288, 35, 35)
    "mixed_5d": _figure_5(64),  # (N, 288, 35, 35)
    # (N, 768, 17, 17), figure 10
    "mixed_6a": ([(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], [max_pool]),
    "mixed_6b": _figure_6(128),  # (N, 768, 17, 17)
    "mixed_6c": _figure_6(160),  # (N, 768, 17, 17)
    "mixed_6d": _figure_6(160),  # (N, 768, 17, 17)
    "mixed_6e": _figure_6(192),  # (N, 768, 17, 17)
    "mixed_7a": (
        [(192, 1), (320, 3, 2)],
        [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)],
        [max_pool],
    ),  # (N, 1280, 8, 8), figure 10
    "mixed_7b": FIGURE_7,  # (N, 2048, 8, 8)
    "mixed_7c": FIGURE_7,  # (N, 2048, 8, 8)
}


def inceptionv3(
    num_classes: int = 1000, *, small_images: bool = False, auxiliary: bool = False
) -> nn.HybridBlock:
    """Inception v3, for input (N, C, 299, 299); output (N, num_classes).

    With 3 channels and 1,000 classes it has 23,834,568 parameters without the auxiliary classifier.
    It computes what GluonCV's ``inceptionv3`` and torchvision's ``inception_v3`` compute.

    Deviations from the paper are those of the authors' own code, which both follow: rows 3b to 5a
    are a 1×1 and a 3×3 convolution and a pooling, where table 1 has three 3×3 convolutions, and row
    5b has 256 channels, not 288. Unlike in that code, average poolings count the padding's zeros,
    and half of the last layer's inputs are dropped, not a fifth.

    Parameters
    ----------
    small_images
        Take images from 28×28 to 96×96. All convolutions of the stem keep the size, by stride 1 and
        padding, and row 3a, a pooling, is left out. Row 5b then sees half the height and width of
        the image instead of an eighth.
    auxiliary
        Answer with a tuple of two outputs (N, num_classes): the net's, and that of a classifier
        over row 6e (section 4), to be trained by an `AuxiliaryLoss`. Its 5×5 convolution is padded
        with `small_images` only; without, images must be of 299×299 or larger.
    """
    stem = SMALL_STEM if small_images else STEM
    net = net_of({**stem, **MIXED, **classifier(num_classes, dropout=0.5)})
    if not auxiliary:
        return net
    head = block_of(
        [
            partial(nn.AvgPool2D, pool_size=5, strides=3),  # (N, 768, 5, 5)
            (128, 1),  # (N, 128, 5, 5)
            (768, 5, 1, 2 if small_images else 0),  # (N, 768, 1, 1)
            nn.GlobalAvgPool2D,
            partial(nn.Dense, num_classes),
        ],
        prefix="auxiliary_",
    )
    return WithAuxiliary(net, {[row.name for row in net].index("mixed_6e"): head})
