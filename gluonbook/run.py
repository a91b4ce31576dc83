"""A training under way: its batches on their devices, its sums, its saves and its interruption."""

from __future__ import annotations

import collections
import logging
import os
import time
from types import TracebackType
from typing import Any, Iterable, Iterator, Sequence

import mxnet as mx
from mxnet import gluon, nd
import numpy as np
from tqdm import tqdm

from .checkpoint import Checkpoint, NotFinite, Progress
from .history import Epoch, History
from .interrupts import Interrupted, Request, requests
from .plateau import Plateau

log = logging.getLogger("gluonbook")

#: One batch, cut into one ``(X, y)`` for each device.
Shards = Sequence["tuple[nd.NDArray, nd.NDArray]"]

#: Batches that Python may run ahead of the device; each holds its images in memory.
BATCHES_AHEAD = 2


class Run:
    """What the training loop keeps beside the net; a context manager.

    Without a checkpoint it only sums. With one it restores the run on entering, saves it where
    that is due, and turns a first Ctrl-C or signal to end into a save and `Interrupted`.

    Attributes
    ----------
    at
        How far the run is.
    """

    def __init__(
        self,
        net: gluon.Block,
        train_iter: Iterable[Any],
        trainer: gluon.Trainer,
        ctxs: Sequence[mx.Context],
        history: History | None = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ) -> None:
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        self.at = Progress()
        self.net, self.train_iter, self.trainer = net, train_iter, trainer
        self.ctxs, self._checkpoint = list(ctxs), checkpoint
        self.history = History() if history is None else history
        self._saved_at: tuple[int, int] | None = None
        self._plateau = Plateau()

    def __enter__(self) -> Run:
        self._request = Request()
        if self._checkpoint is not None:
            facts = {"devices": len(self.ctxs), **_facts(self.train_iter)}
            self.at = self._checkpoint.begin(
                self.net, self.trainer, self.train_iter, self.history, facts
            )
            self._saved_at = (self.at.epoch, self.at.batch)
            self._plateau.open = self._saved_at == (1, 0)
            self._requests = requests()
            self._request = self._requests.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._checkpoint is not None:
            self._checkpoint.end()
            self._requests.__exit__(kind, error, trace)

    def batches(self) -> Iterator[Shards]:
        """The batches of the epoch that are still to be trained on."""
        self._start = time.time() - self.at.seconds
        self._loss = Sum(self.ctxs, self.at.loss, self.at.examples)
        self._correct = Sum(self.ctxs, self.at.correct, self.at.examples)
        self._ahead: collections.deque[tuple[int, list[nd.NDArray], list[nd.NDArray]]]
        self._ahead = collections.deque()
        batches = self._from_the_position()
        while True:
            self._stop_if_asked()
            self._seed(self.at.batch)
            shards = next(batches, None)
            if shards is None:
                break
            if len(shards) < len(self.ctxs):
                raise ValueError(
                    f"a batch of {len(shards)} cannot train on {len(self.ctxs)} devices: choose "
                    "a batch size that leaves a larger last batch"
                )
            yield shards
            self.at.batch += 1
            every = self._checkpoint.save_every if self._checkpoint is not None else None
            if every is not None and self.at.batch % every == 0:
                self.save()
        self._check_losses(0)

    def add(
        self, losses: Sequence[nd.NDArray], correct: Sequence[nd.NDArray], shards: Shards
    ) -> None:
        """Count one batch: on each device the losses (N,) and the number of right answers.

        Raises
        ------
        NotFinite
            If the loss of this batch, or of one of the last, is infinite or not a number.
        """
        sums = [loss.sum() for loss in losses]
        for device, (_, y) in enumerate(shards):
            self._loss.add(device, sums[device], y.size)
            self._correct.add(device, correct[device], y.size)
        self._ahead.append((self.at.batch + 1, sums, [y for _, y in shards]))
        self._check_losses(BATCHES_AHEAD)

    def until_asked(self, batches: Iterable[Shards]) -> Iterator[Shards]:
        """`batches`, ended by `Interrupted` when a signal asks for it."""
        for shards in batches:
            self._stop_if_asked()
            yield shards

    def end_epoch(self, test_acc: float) -> Epoch:
        """Add the epoch to the history, and go on to the next."""
        row = Epoch(
            self.at.epoch,
            self._loss.mean(),
            self._correct.mean(),
            test_acc,
            time.time() - self._start,
        )
        self.history.append(row)
        self.at = Progress(self.at.epoch + 1)
        return row

    def save(self) -> None:
        """Write a checkpoint, if the run has one and has moved since the last."""
        position = (self.at.epoch, self.at.batch)
        if self._checkpoint is None or position == self._saved_at:
            return
        if self.at.batch:
            self._check_losses(0)
            self.at.loss, self.at.correct = self._loss.values(), self._correct.values()
            self.at.examples = self._loss.count
            self.at.seconds = time.time() - self._start
        self._checkpoint.save(self.at)
        self._saved_at = position

    def _from_the_position(self) -> Iterator[Shards]:
        if self._checkpoint is not None:
            self._checkpoint.seed_epoch(self.at.epoch)
        if hasattr(self.train_iter, "shards"):
            return iter(self.train_iter.shards(self.ctxs, first=self.at.batch))
        batches = shards_of(self.train_iter, self.ctxs)
        for batch in range(self.at.batch):
            self._seed(batch)
            next(batches, None)
        return batches

    def _seed(self, batch: int) -> None:
        if self._checkpoint is not None:
            self._checkpoint.seed_batch(self.at.epoch, batch)

    def _stop_if_asked(self) -> None:
        if self._request.signum is not None and self._checkpoint is not None:
            self.save()
            raise Interrupted(
                self._request.signum,
                f"interrupted in epoch {self.at.epoch} after batch {self.at.batch}, which is saved "
                f"in {self._checkpoint.folder}",
            )

    def _check_losses(self, pending: int) -> None:
        """Wait until the losses of all batches but the last `pending` are there."""
        while len(self._ahead) > pending:
            batch, losses, labels = self._ahead.popleft()
            loss = sum(float(part.asscalar()) for part in losses)
            if not abs(loss) < float("inf"):
                raise NotFinite(
                    f"the loss is {loss}",
                    self.at.epoch,
                    batch,
                    self.trainer.learning_rate,
                    None if self._checkpoint is None else self._checkpoint.folder,
                )
            if self._plateau.open:
                classes = np.concatenate([y.asnumpy() for y in labels])
                sentence = self._plateau.add(loss / len(classes), classes)
                if sentence is not None:
                    with tqdm.external_write_mode():
                        log.warning(sentence)


class Sum:
    """A sum kept on each device and read once, and over how many examples it goes."""

    def __init__(
        self, ctxs: Sequence[mx.Context], values: Sequence[float] = (), count: int = 0
    ) -> None:
        values = values or [0.0] * len(ctxs)
        self._sums = [nd.array([value], ctx=ctx) for value, ctx in zip(values, ctxs)]
        self.count = count

    def add(self, device: int, value: nd.NDArray, count: int) -> None:
        self._sums[device] += value.astype("float32")
        self.count += count

    def values(self) -> list[float]:
        """The sum on each device."""
        return [float(part.asscalar()) for part in self._sums]

    def mean(self) -> float:
        if self.count == 0:
            raise ValueError("the data iterator gave no batch")
        return sum(self.values()) / self.count


def shards_of(data_iter: Iterable[Any], ctxs: Sequence[mx.Context]) -> Iterator[Shards]:
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


def _facts(train_iter: Any) -> dict[str, Any]:
    """What a data iterator says of its data, or its number of batches if it says nothing."""
    if hasattr(train_iter, "facts"):
        return dict(train_iter.facts)
    return {"batches in an epoch": len(train_iter)} if hasattr(train_iter, "__len__") else {}
