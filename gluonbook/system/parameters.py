"""The parameters of a net by their places, the shapes they may have, and the room they take."""

from __future__ import annotations

import math

from mxnet import gluon
import numpy as np

from . import mxnet_private
from .machine import available_memory


def size_limit(net: gluon.Block) -> int:
    """Bytes that a file of `net` may have: its arrays eight times, for any optimizer's state."""
    params = net.collect_params().values()
    if any(param.shape is None or 0 in param.shape for param in params):
        return available_memory() // 4
    return 2**24 + 8 * sum(
        math.prod(param.shape) * np.dtype(param.dtype).itemsize for param in params
    )


def parameters_of(net: gluon.Block) -> dict[str, gluon.Parameter]:
    """Each parameter by its place in the net's structure; a shared one by the first of its places.

    Automatic names, such as ``batchnorm10_gamma``, depend on what else the process has built.
    """
    places: dict[gluon.Parameter, str] = {}
    for place, param in mxnet_private.parameters_by_place(net).items():
        places.setdefault(param, place)
    return {place: param for param, place in places.items()}


def shape_fits(param: gluon.Parameter, shape: tuple[int, ...]) -> bool:
    """Whether `param` may have this shape; sizes that it does not know yet may be any."""
    if param.shape is None:
        return True
    return len(param.shape) == len(shape) and all(
        known < 1 or known == size for known, size in zip(param.shape, shape)
    )
