"""The training loop and the evaluation, on one device or several."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Protocol, Sequence, Sized

import mxnet as mx
from mxnet import gluon, nd

from ..data.batches import PositionedLoader, SplitBatch, check_whole_passes, split_batches
from ..system.progress import watched as shown
from .epochs import Epoch
from .graphs import Inference, Outcome, answers
from .run import Company, Run
from .tally import PendingBatches, Sums


class Computation(Protocol):
    """What computes a net and its loss: by default `Graphs`."""

    def train(self, parts: SplitBatch, trainer: gluon.Trainer) -> Sequence[Outcome]:
        """The outcome of each part of a batch; leaves the gradients in the parameters."""

    def inference(self, ctxs: Sequence[mx.Context]) -> Inference:
        """The forward pass outside of training, with the weights that the net has now."""


def fit(
    run: Run,
    test_iter: Iterable[Any],
    computation: Computation,
    num_epochs: int,
    batch_size: int | None,
    progress: bool = False,
    line: Callable[[Epoch], str] = str,
) -> None:
    """Train until `num_epochs` are done, and print a line for each.

    Parameters
    ----------
    batch_size
        What the summed gradients are divided by; with None, the size of each batch.
    progress
        Whether to show how far each epoch is: on a terminal by a bar.
    line
        What is printed of an epoch.
    """
    net, trainer = run.net, run.trainer
    # The trainer's first step copies the first device's running statistics to the others. A static
    # graph writes these without telling MXNet's engine, so nothing else makes the copy wait.
    must_wait = len(run.ctxs) > 1

    def bar(
        batches: Iterator[SplitBatch], loader: Iterable[Any], what: str, initial: int = 0
    ) -> Iterable[SplitBatch]:
        if not (progress and run.workers.is_first):
            return batches
        total = len(loader) if isinstance(loader, Sized) else None
        return shown(batches, f"epoch {run.progress.epoch}/{num_epochs}, {what}", total, initial)

    def testing(batches: Iterator[SplitBatch]) -> Iterable[SplitBatch]:
        return bar(run.until_asked(batches), test_iter, "testing")

    with run:
        if run.progress.epoch > num_epochs:
            done = run.progress.epoch - 1
            run.say(f"{done} epochs of this run are done: ask for more by --epochs, or num_epochs")
        while run.progress.epoch <= num_epochs:
            for parts in bar(run.batches(), run.train_iter, "training", run.progress.batch):
                outcomes = computation.train(parts, trainer)
                if must_wait:
                    nd.waitall()
                    must_wait = False
                trainer.step(batch_size or run.num_examples(parts))
                run.add(parts, outcomes)
            run.workers.share_statistics(net)
            # No name keeps the forward pass: its graph has memory of its own.
            test_acc = accuracy_of(
                test_iter, computation.inference(run.ctxs), run.ctxs, run.workers, testing
            )
            row = run.end_epoch(test_acc)
            run.save()
            run.say(line(row))
        run.judge()


def accuracy_of(
    data_iter: Iterable[Any],
    infer: Inference,
    ctxs: list[mx.Context],
    workers: Company,
    watched: Callable[[Iterator[SplitBatch]], Iterable[SplitBatch]] = iter,
) -> float:
    """Share of the labels that `infer` answers rightly, over the data of all workers.

    `watched` is given the batches, and gives them on.
    """
    check_whole_passes(data_iter)
    sums = Sums()
    ahead = PendingBatches(
        "the evaluation", check_images=not isinstance(data_iter, PositionedLoader)
    )
    for number, parts in enumerate(watched(split_batches(data_iter, ctxs)), 1):
        ahead.add(number, parts, [answers(infer(X), y) for X, y in parts])
        for batch in ahead.done():
            sums.add(batch)
    for batch in ahead.done(pending=0):
        sums.add(batch)
    if getattr(data_iter, "part", None) == workers.part:
        sums.correct, sums.labels = map(int, workers.sum([sums.correct, sums.labels]))
    return sums.accuracy()
