"""The state of a training: its position, its sums, its checkpoints and its interruption."""

from __future__ import annotations

from contextlib import ExitStack
import logging
from pathlib import Path
import random
import signal
import time
from types import TracebackType
from typing import (
    Any,
    ContextManager,
    Iterable,
    Iterator,
    Mapping,
    Protocol,
    Sequence,
    runtime_checkable,
)

import mxnet as mx
from mxnet import gluon
import numpy as np
from tqdm import tqdm

from ..data.batches import (
    BatchError,
    PositionedLoader,
    SplitBatch,
    facts_of,
    from_workers,
    split_batches,
)
from ..system import contention, mxnet_private
from ..system.errors import Failure
from ..system.interrupts import Interrupted, Request, requests
from ..system.output import say
from .epochs import Epoch, Epochs
from .graphs import Outcome
from .learning_rate import NotFinite, given_rate
from .loss_scaling import scale_losses_of
from .stuck_loss import StuckLoss
from .tally import BATCHES_AHEAD, Counted, PendingBatches, Progress

log = logging.getLogger("gluonbook")


@runtime_checkable
class Keeper(Protocol):
    """What keeps a run, so that it can be resumed: a `Checkpoint`, or a `Follower` of one."""

    folder: Path
    save_every: int | None
    seed: int
    """Of the run's randomness, once it has begun."""

    def begin(
        self,
        net: gluon.Block,
        trainer: gluon.Trainer,
        train_iter: Any,
        history: Epochs,
        facts: Mapping[str, Any],
        /,
        *,
        workers: Company,
    ) -> Progress:
        """Restore the run into the arguments, or save its beginning."""

    def save(self, progress: Progress) -> object: ...

    def end(self) -> None: ...


class CheckpointError(Failure, ValueError):
    """A checkpoint is damaged, of another run, or in use."""


class Company(Protocol):
    """The processes that train together, as one of them sees them: `Workers`."""

    @property
    def alone(self) -> bool: ...

    @property
    def is_first(self) -> bool: ...

    @property
    def part(self) -> tuple[int, int]:
        """Which part of each batch is this worker's, and of how many."""

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all workers."""

    def from_first(self, content: bytes = b"") -> bytes:
        """What the first worker has given."""

    def join(self, trainer: gluon.Trainer, train_iter: object) -> None: ...

    def share_parameters(self, trainer: gluon.Trainer) -> None: ...

    def share_statistics(self, net: gluon.Block) -> None: ...

    def stepping(self) -> ContextManager[None]: ...

    def beat(self) -> None: ...


class Run:
    """What the training loop keeps beside the net; a context manager.

    Without a checkpoint it only adds up figures. With one it restores the run on entering and
    saves it when due. A first Ctrl-C or termination signal then saves and raises `Interrupted`.

    Attributes
    ----------
    progress
        How far the run is.
    """

    def __init__(
        self,
        net: gluon.Block,
        train_iter: Iterable[Any],
        trainer: gluon.Trainer,
        ctxs: Sequence[mx.Context],
        workers: Company,
        history: Epochs,
        checkpoint: Keeper | None = None,
        *,
        cross_entropy: bool = False,
    ) -> None:
        self.progress = Progress()
        self.net, self.train_iter, self.trainer = net, train_iter, trainer
        self.ctxs, self.history, self.workers = list(ctxs), history, workers
        self._checkpoint, self._asked = checkpoint, False
        self._saved_at: tuple[int, int] | None = None
        self._cross_entropy = cross_entropy
        self._stuck_loss = StuckLoss(cross_entropy=cross_entropy)
        self._disturbed = not self.workers.alone  # the others of a run are no disturbance

    def __enter__(self) -> Run:
        with ExitStack() as entered:  # a failure half-way leaves neither lock nor signal handler
            self._enter(entered)
            self._entered = entered.pop_all()
        return self

    def _enter(self, entered: ExitStack) -> None:
        self._request = Request()
        self.workers.join(self.trainer, self.train_iter)
        scale_losses_of(self.trainer, self.ctxs)
        if self._checkpoint is not None:
            facts = {"devices": len(self.ctxs), **facts_of(self.train_iter)}
            self.progress = self._checkpoint.begin(
                self.net, self.trainer, self.train_iter, self.history, facts, workers=self.workers
            )
            entered.callback(self._checkpoint.end)
            self._saved_at = (self.progress.epoch, self.progress.batch)
            first = self._saved_at == (1, 0)
            self._stuck_loss = StuckLoss(early=first, cross_entropy=self._cross_entropy)
            self._request = entered.enter_context(requests())
        elif isinstance(self.train_iter, PositionedLoader):  # the same order on all workers
            self.train_iter.seed = int(self.workers.from_first(b"%d" % self.train_iter.seed))
        self.workers.share_parameters(self.trainer)
        entered.enter_context(self.workers.stepping())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.__exit__(kind, error, trace)

    def batches(self) -> Iterator[SplitBatch]:
        """The batches of the epoch that are left to train on."""
        self._start = time.monotonic() - self.progress.seconds
        self._usage = contention.usage(family=True)
        loader_checks = isinstance(self.train_iter, PositionedLoader)
        self._ahead = PendingBatches(f"epoch {self.progress.epoch}", check_images=not loader_checks)
        batches = self._from_the_position()
        while True:
            self._stop_if_asked()
            self._seed(self.progress.batch)
            parts = next(batches, None)
            if parts is None:
                break
            if len(parts) < len(self.ctxs):
                raise BatchError(
                    f"a batch of {len(parts)} cannot train on {len(self.ctxs)} devices: choose "
                    "a batch size that leaves a larger last batch"
                )
            yield parts
            self.progress.batch += 1
            every = self._checkpoint.save_every if self._checkpoint is not None else None
            if every is not None and self.progress.batch % every == 0:
                self.save()
        self._count(0)
        # A static graph writes running statistics without telling MXNet's engine, so an evaluation
        # could begin with those of the batch before.
        mx.nd.waitall()

    def add(self, parts: SplitBatch, outcomes: Sequence[Outcome]) -> None:
        """Count a batch, with what each device computes from it.

        Raises
        ------
        BatchError
            If an image of this batch, or of one of the last, is not finite, or a label is not the
            number of a class.
        NotFinite
            If its loss is infinite or not a number.
        """
        self._ahead.add(self.progress.batch + 1, parts, outcomes)
        self._count(BATCHES_AHEAD)

    def until_asked(self, batches: Iterable[SplitBatch]) -> Iterator[SplitBatch]:
        """`batches`; raises `Interrupted` between two of them if a signal has asked to stop."""
        for parts in batches:
            self._stop_if_asked()
            self.workers.beat()
            yield parts

    def num_examples(self, parts: SplitBatch) -> int:
        """Number of examples in a batch, over all workers."""
        [number] = self.workers.sum([sum(len(X) for X, _ in parts)])
        return int(number)

    def end_epoch(self, test_acc: float) -> Epoch:
        """Add the epoch to the history, and go on to the next.

        Logs one warning per run if other processes have slowed an epoch.
        """
        row = Epoch(
            self.progress.epoch,
            self.progress.mean_loss(),
            self.progress.accuracy(),
            test_acc,
            time.monotonic() - self._start,
        )
        self.history.append(row)
        if not self._disturbed and self.ctxs[0].device_type == "cpu":
            others = contention.usage(family=True).others_since(self._usage)
            remark = contention.remark(others, f"epoch {self.progress.epoch}")
            self._disturbed = remark is not None
            self._warn(remark)
        self.progress = Progress(epoch=self.progress.epoch + 1)
        return row

    def judge(self) -> None:
        """Log a warning if the training ends with nothing learned."""
        if len(self.history):
            self._warn(self._stuck_loss.end(self.history[-1].train_acc, given_rate(self.trainer)))

    def save(self) -> None:
        """Write a checkpoint, if the run keeps them and has trained since the last."""
        position = (self.progress.epoch, self.progress.batch)
        if self._checkpoint is None or position == self._saved_at:
            return
        if self.progress.batch:
            self._count(0)
            self.progress.seconds = time.monotonic() - self._start
        self._checkpoint.save(self.progress)
        self._saved_at = position

    def say(self, line: object) -> None:
        """Print a line. With a checkpoint, a closed standard output does not end the run.

        Of several workers, the first prints.
        """
        if not self.workers.is_first:
            return
        if self._checkpoint is None:
            print(line, flush=True)
        else:
            say(line)

    def _from_the_position(self) -> Iterator[SplitBatch]:
        checkpoint, loader, first = self._checkpoint, self.train_iter, self.progress.batch
        if checkpoint is None:
            return split_batches(loader, self.ctxs)
        epoch = self.progress.epoch
        seed = seed_of(checkpoint.seed, epoch)  # of a shuffling, and of transforms
        np.random.seed(seed)
        random.seed(seed)
        if isinstance(loader, PositionedLoader):
            return iter(loader.split_batches(self.ctxs, epoch=epoch - 1, first=first))
        if mxnet_private.has_worker_processes(loader):
            batches = from_workers(loader, lambda at: seed_of(checkpoint.seed, epoch, at), first)
            return split_batches(batches, self.ctxs)
        batches = split_batches(loader, self.ctxs)
        for batch in range(first):
            self._seed(batch)
            if next(batches, None) is None:
                raise CheckpointError(
                    f"{checkpoint.folder} holds a run that is at batch {first:,} of an epoch, and "
                    f"the data has {batch:,}: give the same data, or start a new run"
                )
        return batches

    def _seed(self, batch: int) -> None:
        """Seed what MXNet draws in a batch of the epoch, such as dropout."""
        if self._checkpoint is not None:
            seed = seed_of(self._checkpoint.seed, self.progress.epoch, batch)
            rank, _ = self.workers.part
            mx.random.seed(seed_of(seed, rank) if rank else seed)  # each worker draws its own

    def _stop_if_asked(self) -> None:
        signum = self._request.signum
        if not self.workers.alone:  # all of them stop after the same batch
            signum = (signum or signal.SIGTERM) if self._asked else None
        if signum is not None and self._checkpoint is not None:
            self.save()
            raise Interrupted(
                signum,
                f"interrupted in epoch {self.progress.epoch} after batch {self.progress.batch}, "
                f"which is saved in {self._checkpoint.folder}",
            )

    def _count(self, pending: int) -> None:
        """Add all batches but the last `pending` to the sums, as soon as they are computed."""
        for batch in self._ahead.done(pending):
            if not abs(batch.loss) < float("inf"):
                raise NotFinite(
                    f"the loss is {batch.loss}",
                    self.progress.epoch,
                    batch.number,
                    given_rate(self.trainer),
                    None if self._checkpoint is None else self._checkpoint.folder,
                    stepped=(self.progress.epoch, batch.number) != (1, 1),
                )
            counted = self._over_all_workers(batch)
            self.progress.add(counted)
            labels = None
            if self._stuck_loss.needs_labels:
                labels = np.concatenate([y.asnumpy() for _, y in batch.parts])
            self._warn(self._stuck_loss.add(counted.loss / counted.examples, labels))

    def _over_all_workers(self, batch: Counted) -> Counted:
        """What all workers have counted of a batch; notes whether one is asked to stop."""
        if self.workers.alone:
            return batch
        asked = self._request.signum is not None
        own = (batch.loss, batch.examples, batch.correct, batch.labels, asked)
        loss, *counts, all_asked = self.workers.sum(own)
        self._asked = all_asked > 0
        examples, correct, labels = map(int, counts)
        return batch._replace(loss=loss, examples=examples, correct=correct, labels=labels)

    def _warn(self, sentence: str | None) -> None:
        """Log a warning, if there is one. Of several workers, the first does."""
        if sentence is not None and self.workers.is_first:
            with tqdm.external_write_mode():  # beside a progress bar
                log.warning(sentence)


def seed_of(*position: int) -> int:
    """A seed below 2**32 for a position in a run, which begins with the run's own seed."""
    return int(np.random.SeedSequence(position).generate_state(1)[0])
