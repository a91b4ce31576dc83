"""MXNet's NumPy mode, ``npx.set_np()``, in which the nets and helpers of this package do not work.

The book's English text from 2020 on begins with it. Its arrays, ``mx.np``, are refused by the
operators of ``mx.nd``, of which these nets are made, with an error that names neither.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import mxnet as mx
from mxnet import gluon

from .errors import Failure


class NumpyMode(Failure, TypeError):
    """MXNet is in its NumPy mode."""


def refuse_numpy_mode() -> None:
    """Raise a `NumpyMode` if ``npx.set_np()`` was called."""
    if mx.util.is_np_array():
        raise NumpyMode(
            "npx.set_np() is on, and gluonbook works with the arrays of mxnet.nd, as the book's "
            "Gluon text does: leave that line out, or call mxnet.npx.reset_np(), and write nd for "
            "np (code of the English text that begins with it needs that text's own package d2l)"
        )


def refuse_numpy_mode_in(block: type[gluon.Block]) -> None:
    """Let making a `block` raise a `NumpyMode` in that mode."""
    make: Callable[..., None] = block.__init__

    @functools.wraps(make)
    def make_or_refuse(self: gluon.Block, *args: Any, **kwargs: Any) -> None:
        refuse_numpy_mode()
        make(self, *args, **kwargs)

    block.__init__ = make_or_refuse
