"""A trained net as files that MXNet can read without this package."""

from __future__ import annotations

import os

import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn


def export_symbol(
    net: nn.HybridBlock,
    prefix: str | os.PathLike[str],
    input_shape: tuple[int, ...],
    ctx: mx.Context | None = None,
) -> None:
    """Write ``<prefix>-symbol.json`` and ``<prefix>-0000.params``.

    ``mxnet.gluon.SymbolBlock.imports`` reads them back. `net` is hybridized, if it is not yet,
    and run once on zeros of `input_shape` (N, C, H, W) on `ctx`, the CPU by default.
    """
    net.hybridize()
    net(nd.zeros(input_shape, ctx=ctx or mx.cpu()))
    net.export(os.fspath(prefix))
