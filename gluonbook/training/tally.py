"""Loss and accuracy of each batch, read a few batches behind the loop, and checked."""

from __future__ import annotations

import collections
from dataclasses import dataclass
import math
from typing import Callable, Iterator, NamedTuple, Sequence

import mxnet as mx
from mxnet import nd
import numpy as np

from ..data.batches import BatchError, SplitBatch
from ..system.nvidia_driver import lacks_code
from .graphs import Figures, Outcome

#: Batches that Python may run ahead of the device; each holds its images in memory.
BATCHES_AHEAD = 2


@dataclass
class Sums:
    """Sums over batches, from which an epoch's means are taken."""

    loss: float = 0.0
    """Of the examples' losses."""
    examples: int = 0
    correct: int = 0
    """Number of labels that the net answered rightly."""
    labels: int = 0

    def add(self, batch: Counted) -> None:
        self.loss += batch.loss
        self.examples += batch.examples
        self.correct += batch.correct
        self.labels += batch.labels

    def mean_loss(self) -> float:
        return self.loss / self._some(self.examples)

    def accuracy(self) -> float:
        """Share of the labels that the net answered rightly, from 0 to 1."""
        return self.correct / self._some(self.labels)

    @staticmethod
    def _some(count: int) -> int:
        if count == 0:
            raise ValueError("the data iterator gave no batch")
        return count


@dataclass
class Progress(Sums):
    """How far a run is: `batch` batches of `epoch` (from 1), and the sums over them."""

    epoch: int = 1
    batch: int = 0
    seconds: float = 0.0
    """Time that the epoch has taken."""


class Counted(NamedTuple):
    """What a batch adds to the sums."""

    number: int
    """Of the batch in its epoch, from 1."""
    loss: float
    examples: int
    correct: int
    labels: int
    parts: SplitBatch


class PendingBatches:
    """Batches that the device may still be computing.

    Parameters
    ----------
    place
        What the batches are part of, for errors, such as ``"epoch 1"``.
    check_images
        Whether images may hold infinity or NaN. A ReLU hides it from the loss.
    """

    def __init__(self, place: str, *, check_images: bool) -> None:
        self._place, self._check_images = place, check_images
        self._batches: collections.deque[
            tuple[int, SplitBatch, Sequence[Outcome], list[Callable[[], float]]]
        ]
        self._batches = collections.deque()

    def add(self, number: int, parts: SplitBatch, outcomes: Sequence[Outcome]) -> None:
        """Add batch `number` of the epoch, from 1, with what each device computes from it."""
        sums = [_sum(X) for X, _ in parts if self._check_images and np.dtype(X.dtype).kind == "f"]
        self._batches.append((number, parts, outcomes, sums))

    def done(self, pending: int = BATCHES_AHEAD) -> Iterator[Counted]:
        """All but the last `pending` of the batches; waits for them.

        Raises
        ------
        BatchError
            If an image is not finite, or a label is not the number of a class.
        """
        while len(self._batches) > pending:
            number, parts, outcomes, sums = self._batches.popleft()
            place = f"batch {number} of {self._place}"
            if not all(math.isfinite(read()) for read in sums):
                _refuse_infinite_images(parts, place)
            figures = [outcome.read() for outcome in outcomes]
            for outcome, each in zip(outcomes, figures):
                _refuse_strange_labels(each, outcome.num_classes, place)
            yield Counted(
                number,
                math.fsum(each.loss * outcome.weight for each, outcome in zip(figures, outcomes)),
                sum(outcome.num_examples for outcome in outcomes),
                int(sum(each.correct for each in figures)),
                sum(y.size for _, y in parts),
                parts,
            )


def _sum(X: nd.NDArray) -> Callable[[], float]:
    """What reads the sum of all values, which is infinite or NaN if one of them is."""
    if X.context.device_type != "cpu" and not lacks_code(X.context):
        total = X.sum()
        return lambda: float(total.asscalar())
    with np.errstate(over="ignore", invalid="ignore"):
        here = float(X.asnumpy().sum())  # far faster than MXNet's own sum
    return lambda: here


def _refuse_infinite_images(parts: SplitBatch, place: str) -> None:
    images = np.concatenate(
        [X.as_in_context(mx.cpu()).astype("float32").asnumpy() for X, _ in parts]
    )
    finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if not finite.all():  # else only the sum was too great
        raise BatchError(
            f"image {int(finite.argmin()) + 1} of {place} holds infinity or NaN: remove it from "
            "the data, or correct what makes the images"
        )


def _refuse_strange_labels(figures: Figures, num_classes: int, place: str) -> None:
    if figures.fraction != 0:
        found = "labels that are not whole numbers"
    elif not 0 <= figures.least <= figures.greatest < num_classes:
        found = f"labels from {figures.least:.0f} to {figures.greatest:.0f}"
    else:
        return
    raise BatchError(
        f"{place} has {found}, and the net has {num_classes} outputs: each label must be the "
        f"number of a class, from 0 to {num_classes - 1}"
    )
