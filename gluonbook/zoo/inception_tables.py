"""What the later Inception nets are built of: tables of convolutions, in a row or side by side.

A table is a dictionary of the paper's rows by name. One entry says what is computed:

- ``(num_channels, kernel_size, strides, padding)`` is a convolution with batch normalisation and
  ReLU. The last two may be left out, as `convolution` tells.
- A list is computed one after the other.
- A tuple of lists is computed side by side over the same input. The results are joined along the
  channels.
- Anything that can be called without arguments gives a layer of its own, such as `max_pool`.
- None is nothing: a row that a variant of the net leaves out.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, List, Mapping, Tuple, Union

from mxnet.gluon import nn
from mxnet.gluon.contrib.nn import HybridConcurrent

#: What one row of a table may be.
Row = Union[Tuple[Any, ...], List[Any], Callable[..., nn.HybridBlock], None]

#: 3×3 average pooling that keeps the size; 3×3 max pooling with stride 2 and no padding.
avg_pool = partial(nn.AvgPool2D, pool_size=3, strides=1, padding=1)
max_pool = partial(nn.MaxPool2D, pool_size=3, strides=2)


def convolution(
    num_channels: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    padding: int | tuple[int, int] | None = None,
    *,
    use_bias: bool = False,
    epsilon: float = 1e-3,
    prefix: str | None = None,
) -> nn.HybridSequential:
    """A convolution, batch normalisation and ReLU.

    Input (N, C, H, W); output (N, num_channels, H', W').

    Parameters
    ----------
    strides, padding
        Unless `padding` is given, a convolution with stride 1 keeps the size of the image, and one
        with a larger stride is not padded: the papers' figures mark it with a V.
    epsilon
        What is added to the variance, 0.001 as in the authors' code. The momentum of the running
        statistics is MXNet's, 0.9.
    """
    height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    if padding is None:
        padding = (height // 2, width // 2) if strides == 1 else 0
    block = nn.HybridSequential(prefix=prefix)
    with block.name_scope():
        block.add(
            nn.Conv2D(num_channels, (height, width), strides, padding, use_bias=use_bias),
            nn.BatchNorm(epsilon=epsilon),
            nn.Activation("relu"),
        )
    return block


def block_of(
    row: Row, *, prefix: str = "", conv: Callable[..., nn.HybridBlock] = convolution
) -> nn.HybridBlock:
    """The block that an entry of a table stands for; `conv` makes its convolutions."""
    if callable(row):
        return row(prefix=prefix or None)
    if isinstance(row, tuple) and not isinstance(row[0], list):
        return conv(*row, prefix=prefix)
    side_by_side = isinstance(row, tuple)
    block = HybridConcurrent(1, prefix=prefix) if side_by_side else nn.HybridSequential(prefix)
    with block.name_scope():
        block.add(*(block_of(part, conv=conv) for part in row or ()))
    return block


def net_of(
    rows: Mapping[str, Row], *, conv: Callable[..., nn.HybridBlock] = convolution
) -> nn.HybridSequential:
    """The net with these rows, each named as in the table; `conv` makes its convolutions."""
    net = nn.HybridSequential(prefix="")
    for name, row in rows.items():
        if row is not None:
            net.add(block_of(row, prefix=f"{name}_", conv=conv))
    return net


def classifier(num_classes: int, dropout: float) -> dict[str, Row]:
    """The last rows of a net: global average pooling, dropout and one dense layer."""
    return {
        "pool": nn.GlobalAvgPool2D,
        "dropout": partial(nn.Dropout, dropout),
        "linear": partial(nn.Dense, num_classes),
    }
