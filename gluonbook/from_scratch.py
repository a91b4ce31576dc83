"""What the book writes out by hand before it turns to Gluon's own."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Iterable

from mxnet import nd

from .system.numpy_mode import refuse_numpy_mode


def corr2d(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
    """The two-dimensional cross-correlation of X (H, W) with the kernel K (h, w).

    The result has shape (H − h + 1, W − w + 1).
    """
    refuse_numpy_mode()
    h, w = K.shape
    Y = nd.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1), ctx=X.context)
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


def sgd(params: Iterable[nd.NDArray], lr: float, batch_size: int) -> None:
    """One step of minibatch stochastic gradient descent, in place.

    The gradients are those of the sum over the batch.
    """
    for param in params:
        param[:] = param - lr * param.grad / batch_size


class Benchmark:
    """Print how long a ``with`` block takes, in seconds.

    Parameters
    ----------
    prefix
        Text to print before it.
    """

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = f"{prefix} " if prefix else ""

    def __enter__(self) -> None:
        self.start = time.time()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        print(f"{self.prefix}time: {time.time() - self.start:.4f} sec")
