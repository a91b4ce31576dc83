"""BN-Inception: the net with which batch normalisation was introduced.

Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", 2015, figure 5.
"""

from __future__ import annotations

from functools import partial

from mxnet.gluon import nn

from .inception_tables import Row, avg_pool, convolution, net_of

#: Poolings that halve the image, as Caffe's do: without padding, and rounding up.
_halving = partial(nn.MaxPool2D, pool_size=3, strides=2, ceil_mode=True)
#: The same for even and odd sizes, by padding, as the convolutions beside it halve them.
_padded_halving = partial(nn.MaxPool2D, pool_size=3, strides=2, padding=1)
#: A pooling that keeps the size.
_keeping = partial(nn.MaxPool2D, pool_size=3, strides=1, padding=1)

STEM: dict[str, Row] = {
    # (N, C, 224, 224)
    "conv_1": (64, 7, 2, 3),  # (N, 64, 112, 112)
    "pool_1": _halving,  # (N, 64, 56, 56)
    "conv_2": [(64, 1), (192, 3)],  # (N, 192, 56, 56)
    "pool_2": _halving,  # (N, 192, 28, 28)
}
#: What `small_images` changes.
SMALL_STEM: dict[str, Row] = {
    **STEM,
    "conv_1": (64, 3),
    "pool_1": None,
    "pool_2": _padded_halving,
}

#: Figure 5: 1×1; 3×3 reduce and 3×3; double 3×3 reduce and double 3×3; pooling and projection.
FIGURE_5 = {
    "inception_3a": (64, (64, 64), (64, 96), avg_pool, 32),  # (N, 256, 28, 28)
    "inception_3b": (64, (64, 96), (64, 96), avg_pool, 64),  # (N, 320, 28, 28)
    "inception_3c": (0, (128, 160), (64, 96), _halving, 0),  # (N, 576, 14, 14)
    "inception_4a": (224, (64, 96), (96, 128), avg_pool, 128),  # (N, 576, 14, 14)
    "inception_4b": (192, (96, 128), (96, 128), avg_pool, 128),  # (N, 576, 14, 14)
    "inception_4c": (160, (128, 160), (128, 160), avg_pool, 128),  # (N, 608, 14, 14)
    "inception_4d": (96, (128, 192), (160, 192), avg_pool, 128),  # (N, 608, 14, 14)
    "inception_4e": (0, (128, 192), (192, 256), _halving, 0),  # (N, 1056, 7, 7)
    "inception_5a": (352, (192, 320), (160, 224), avg_pool, 128),  # (N, 1024, 7, 7)
    "inception_5b": (352, (192, 320), (192, 224), _keeping, 128),  # (N, 1024, 7, 7)
}


def bninception(num_classes: int = 1000, *, small_images: bool = False) -> nn.HybridSequential:
    """BN-Inception, for input (N, C, 224, 224); output (N, num_classes).

    This is the net of this name that is known from Caffe and PyTorch. With 3 channels and 1,000
    classes it has 11,295,240 parameters, and from the same parameters it computes the same outputs:
    the tests compare them with a PyTorch definition of their own, written after the structure of
    the one for Caffe, whose weights were not at hand. Three details of that net matter.
    The convolutions have biases, 10,016 in all, though batch normalisation makes them useless. Rows
    4c and 4d have the 128 channels of pool projection that figure 5 gives them, so they put out 608
    channels and row 4e 1,056. (The figure's column of output sizes prints 576 and 1,024.) And the
    poolings with stride 2 are not padded; they round up instead.

    Beside these poolings stand convolutions with padding, which halve odd sizes to one pixel more.
    So images must be of a multiple of 32 pixels from 64 on, or of up to 6 more or one less.

    Deviations from the paper: the first convolution is a usual one, not a separable one with depth
    multiplier 8. The epsilon of batch normalisation is MXNet's and Caffe's, 0.00001. The paper
    counts 13.6 million parameters, which its figure 5 does not add up to.

    Parameters
    ----------
    small_images
        Take images from 28×28 to 96×96. The first convolution is 3×3 with stride 1 and padding 1
        instead of 7×7 with stride 2 and padding 3, and no pooling follows it. Row 3a then sees half
        the height and width of the image instead of an eighth. All poolings with stride 2 are
        padded by 1, so that every size fits.
    """
    rows: dict[str, Row] = {
        **(SMALL_STEM if small_images else STEM),
        **{name: _inception(*row, small_images) for name, row in FIGURE_5.items()},
        "pool": nn.GlobalAvgPool2D,
        "linear": partial(nn.Dense, num_classes),
    }
    return net_of(rows, conv=partial(convolution, use_bias=True, epsilon=1e-5))


def _inception(
    c1: int,
    c2: tuple[int, int],
    c3: tuple[int, int],
    pool: partial[nn.HybridBlock],
    c4: int,
    pad_halving: bool,
) -> Row:
    """The paths of one row of `FIGURE_5`.

    A row without a 1×1 convolution and a projection halves the image: the last convolution of its
    paths has stride 2, and what is pooled passes through.
    """
    strides = 1 if c1 else 2
    if pad_halving and pool is _halving:
        pool = _padded_halving
    paths: list[list[object]] = [
        [(c2[0], 1), (c2[1], 3, strides, 1)],
        [(c3[0], 1), (c3[1], 3), (c3[1], 3, strides, 1)],
    ]
    return ([(c1, 1)], *paths, [pool, (c4, 1)]) if c1 else (*paths, [pool])
