"""Inception v4: one form of block for each size of the image, and a stem of parallel paths.

Source: Szegedy, Ioffe, Vanhoucke and Alemi, "Inception-v4, Inception-ResNet and the impact of
residual connections on learning", 2017, figures 3 to 9.
"""

from __future__ import annotations

from functools import partial

from mxnet.gluon import nn

from .inception_tables import Row, avg_pool, classifier, max_pool, net_of

#: The mean of the pixels that there are, without the padding's zeros.
_avg_pool = partial(avg_pool, count_include_pad=False)

#: Figure 3.
STEM: dict[str, Row] = {
    # (N, C, 299, 299)
    "conv_1a": (32, 3, 2),  # (N, 32, 149, 149)
    "conv_2a": (32, 3, 1, 0),  # (N, 32, 147, 147)
    "conv_2b": (64, 3),  # (N, 64, 147, 147)
    "mixed_3a": ([max_pool], [(96, 3, 2)]),  # (N, 160, 73, 73)
    "mixed_4a": (
        [(64, 1), (96, 3, 1, 0)],
        [(64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, 0)],
    ),  # (N, 192, 71, 71)
    "mixed_5a": ([(192, 3, 2)], [max_pool]),  # (N, 384, 35, 35)
}
#: What `small_images` changes.
SMALL_STEM: dict[str, Row] = {
    **STEM,
    "conv_1a": (32, 3),
    "conv_2a": (32, 3),
    "mixed_3a": ([partial(max_pool, strides=1, padding=1)], [(96, 3)]),
    "mixed_4a": ([(64, 1), (96, 3)], [(64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3)]),
}

INCEPTION_A: Row = (
    [(96, 1)],
    [(64, 1), (96, 3)],
    [(64, 1), (96, 3), (96, 3)],
    [_avg_pool, (96, 1)],
)  # figure 4
REDUCTION_A: Row = ([(384, 3, 2)], [(192, 1), (224, 3), (256, 3, 2)], [max_pool])  # figure 7
INCEPTION_B: Row = (
    [(384, 1)],
    [(192, 1), (224, (1, 7)), (256, (7, 1))],
    [(192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))],
    [_avg_pool, (128, 1)],
)  # figure 5
REDUCTION_B: Row = (
    [(192, 1), (192, 3, 2)],
    [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)],
    [max_pool],
)  # figure 8
INCEPTION_C: Row = (
    [(256, 1)],
    [(384, 1), ([(256, (1, 3))], [(256, (3, 1))])],
    [(384, 1), (448, (3, 1)), (512, (1, 3)), ([(256, (1, 3))], [(256, (3, 1))])],
    [_avg_pool, (256, 1)],
)  # figure 6

#: Figure 9.
BLOCKS: dict[str, Row] = {
    "inception_a": 4 * [INCEPTION_A],  # (N, 384, 35, 35)
    "reduction_a": REDUCTION_A,  # (N, 1024, 17, 17)
    "inception_b": 7 * [INCEPTION_B],  # (N, 1024, 17, 17)
    "reduction_b": REDUCTION_B,  # (N, 1536, 8, 8)
    "inception_c": 3 * [INCEPTION_C],  # (N, 1536, 8, 8)
}


def inceptionv4(num_classes: int = 1000, *, small_images: bool = False) -> nn.HybridSequential:
    """Inception v4, for input (N, C, 299, 299); output (N, num_classes).

    With 3 channels and 1,000 classes it has 42,679,816 parameters. All convolutions have batch
    normalisation and none has a bias. The tests compare its outputs with a PyTorch definition of
    their own, written after the structure of the authors' code (TF-slim); the authors' code itself
    and its weights were not run.

    Deviations from the paper: where one-sided convolutions follow each other, their order is that
    of the authors' code, which differs from the figures' in places.

    Parameters
    ----------
    small_images
        Take images from 28×28 to 96×96. Until row 4a all convolutions and the pooling keep the
        size, by stride 1 and padding. Block A then sees half the height and width of the image
        instead of an eighth.
    """
    stem = SMALL_STEM if small_images else STEM
    return net_of({**stem, **BLOCKS, **classifier(num_classes, dropout=0.2)})
