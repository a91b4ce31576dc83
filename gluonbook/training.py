"""The book's training loop and its measures, on one device or several."""

from __future__ import annotations

import collections
import time
from typing import Any, Iterable, Iterator, Sequence, Sized

import mxnet as mx
from mxnet import autograd, gluon, nd
from tqdm import tqdm

from .history import Epoch, History

#: One batch, cut into one ``(X, y)`` for each device.
Shards = Sequence["tuple[nd.NDArray, nd.NDArray]"]

#: Batches that Python may run ahead of the device; each holds its images in memory.
BATCHES_AHEAD = 2


def train_ch5(
    net: gluon.Block,
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    batch_size: int,
    trainer: gluon.Trainer,
    ctx: mx.Context,
    num_epochs: int,
    *,
    progress: bool = False,
    history: History | None = None,
) -> History:
    """Train `net` with softmax cross-entropy and print one line per epoch (section on LeNet).

    The summed gradients of a batch are divided by `batch_size`, so a smaller last batch weighs
    less.

    Parameters
    ----------
    train_iter, test_iter
        Iterables of batches ``(X, y)``: X float32 (N, ...), y (N,) class numbers.
    progress
        Show a progress bar on a terminal.
    history
        What to add the epochs to; by default a new one.

    Returns
    -------
    History
        Loss, accuracies and seconds of each epoch.

    Raises
    ------
    ValueError
        If `train_iter` or `test_iter` gives no batch.
    """
    print("training on", ctx)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    history = History() if history is None else history
    return _fit(
        net, train_iter, test_iter, loss, trainer, [ctx], num_epochs, batch_size, progress, history
    )


def train(
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    net: gluon.Block,
    loss: gluon.loss.Loss,
    trainer: gluon.Trainer,
    ctx: mx.Context | Sequence[mx.Context],
    num_epochs: int,
    *,
    progress: bool = False,
    history: History | None = None,
) -> History:
    """Train `net` on one device or several and print one line per epoch (sections on several
    GPUs and on image augmentation).

    Each batch is split among the devices, and the gradients are divided by its size. The other
    parameters, the result and the errors are those of `train_ch5`; besides, a batch smaller
    than the number of devices raises a ValueError.
    """
    print("training on", ctx)
    history = History() if history is None else history
    return _fit(
        net, train_iter, test_iter, loss, trainer, _listed(ctx), num_epochs, None, progress, history
    )


def _fit(
    net: gluon.Block,
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    loss: gluon.loss.Loss,
    trainer: gluon.Trainer,
    ctxs: list[mx.Context],
    num_epochs: int,
    batch_size: int | None,
    progress: bool,
    history: History,
) -> History:
    for epoch in range(1, num_epochs + 1):
        start = time.time()
        loss_sum, correct = _Sum(ctxs), _Sum(ctxs)
        batches = tqdm(
            _shards(train_iter, ctxs),
            total=len(train_iter) if isinstance(train_iter, Sized) else None,
            desc=f"epoch {epoch}/{num_epochs}",
            unit="batch",
            leave=False,
            disable=None if progress else True,  # None: only on a terminal
        )
        for shards in batches:
            if len(shards) < len(ctxs):
                raise ValueError(
                    f"a batch of {len(shards)} cannot train on {len(ctxs)} devices: choose a "
                    "batch size that leaves a larger last batch"
                )
            with autograd.record():
                outputs = [net(X) for X, _ in shards]
                losses = [loss(y_hat, y) for y_hat, (_, y) in zip(outputs, shards)]
            autograd.backward(losses)
            trainer.step(batch_size or sum(len(X) for X, _ in shards))
            for i, (y_hat, (_, y)) in enumerate(zip(outputs, shards)):
                loss_sum.add(i, losses[i].sum(), losses[i].size)
                correct.add(i, _num_correct(y_hat, y), y.size)
        test_acc = evaluate_accuracy(test_iter, net, ctxs)
        row = Epoch(epoch, loss_sum.mean(), correct.mean(), test_acc, time.time() - start)
        print(row)
        history.append(row)
    return history


def evaluate_accuracy(
    data_iter: Iterable[Any],
    net: gluon.Block,
    ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> float:
    """Share of the examples that `net` classifies rightly, from 0 to 1.

    Parameters
    ----------
    ctx
        One device or several, the CPU by default; each batch is split among them.

    Raises
    ------
    ValueError
        If `data_iter` gives no batch.
    """
    ctxs = _listed(ctx or mx.cpu())
    correct = _Sum(ctxs)
    for shards in _shards(data_iter, ctxs):
        for i, (X, y) in enumerate(shards):
            correct.add(i, _num_correct(net(X), y), y.size)
    return correct.mean()


def accuracy(y_hat: nd.NDArray, y: nd.NDArray) -> float:
    """Share of the rows of `y_hat` (N, classes) whose greatest entry is at `y` (N,)."""
    return float(_num_correct(y_hat, y).asscalar()) / y.size


def _num_correct(y_hat: nd.NDArray, y: nd.NDArray) -> nd.NDArray:
    return (y_hat.argmax(axis=1) == y.astype(y_hat.dtype)).sum()


class _Sum:
    """A sum kept on each device and read once.

    MXNet computes behind Python's back; unchecked, a whole epoch of batches would queue up in
    memory. So adding a value waits for the one `BATCHES_AHEAD` batches before it.
    """

    def __init__(self, ctxs: Sequence[mx.Context]) -> None:
        self._sums = [nd.zeros(1, ctx=ctx) for ctx in ctxs]
        self._count = 0
        self._pending: collections.deque[nd.NDArray] = collections.deque()

    def add(self, device: int, value: nd.NDArray, count: int) -> None:
        self._sums[device] += value.astype("float32")
        self._count += count
        self._pending.append(value)
        if len(self._pending) > BATCHES_AHEAD * len(self._sums):
            self._pending.popleft().wait_to_read()

    def mean(self) -> float:
        if self._count == 0:
            raise ValueError("the data iterator gave no batch")
        return sum(float(part.asscalar()) for part in self._sums) / self._count


def _listed(ctx: mx.Context | Sequence[mx.Context]) -> list[mx.Context]:
    return [ctx] if isinstance(ctx, mx.Context) else list(ctx)


def _shards(data_iter: Iterable[Any], ctxs: Sequence[mx.Context]) -> Iterator[Shards]:
    """Each batch of `data_iter`, cut into one part for each device and moved there."""
    if hasattr(data_iter, "shards"):
        yield from data_iter.shards(ctxs)
        return
    if isinstance(data_iter, mx.io.DataIter):
        data_iter.reset()
    for batch in data_iter:
        X, y = (batch.data[0], batch.label[0]) if isinstance(batch, mx.io.DataBatch) else batch
        used = ctxs[: len(X)]
        yield list(
            zip(
                gluon.utils.split_and_load(X, used, even_split=False),
                gluon.utils.split_and_load(y, used, even_split=False),
            )
        )
