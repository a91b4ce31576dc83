"""The kernels of ``kernels.cu``, compiled for the GPU at hand."""

from __future__ import annotations

import functools
from pathlib import Path
import re
from typing import Any

import mxnet as mx
from mxnet import nd

SOURCE = Path(__file__).with_name("kernels.cu")
#: Threads of a block, and the most blocks of a grid: each thread then takes several elements.
_THREADS, _BLOCKS = 256, 8192
#: MXNet's names of CUDA's types, where they differ.
_TYPES = {"long long": "int64_t", "unsigned char": "uint8_t"}


def signatures(source: str) -> dict[str, str]:
    """The arguments of each kernel of a source, by its name, with MXNet's names of their types."""
    found = re.findall(r'extern "C" __global__ void (\w+)\(([^)]*)\)', source)
    for ours, theirs in _TYPES.items():
        found = [(name, arguments.replace(ours, theirs)) for name, arguments in found]
    return {name: " ".join(arguments.split()) for name, arguments in found}


class Kernels:
    """The kernels, on one GPU.

    Raises
    ------
    mxnet.base.MXNetError
        If they cannot be compiled.
    """

    def __init__(self, ctx: mx.Context) -> None:
        source = SOURCE.read_text(encoding="utf-8")
        known = signatures(source)
        module = mx.rtc.CudaModule(source, exports=list(known))
        self._ctx = ctx
        self._kernels = {name: module.get_kernel(name, known[name]) for name in known}

    def launch(self, name: str, n: int, *arguments: Any) -> None:
        """Queue kernel `name` for `n` elements: arrays and numbers in the order of its source.

        No two of the arrays may share memory: MXNet's engine would wait for itself.
        """
        blocks = min(-(-n // _THREADS), _BLOCKS)
        grids = (blocks, 1, 1), (_THREADS, 1, 1)
        self._kernels[name].launch([*arguments, n], self._ctx, *grids)


@functools.lru_cache(maxsize=None)
def kernels_on(ctx: mx.Context) -> Kernels:
    """The kernels on this GPU, compiled by the first call."""
    return Kernels(ctx)


def empty_like(array: nd.NDArray) -> nd.NDArray:
    """An array of the same shape, type and device, whose values are still to be computed."""
    return nd.empty(array.shape, array.context, array.dtype)
