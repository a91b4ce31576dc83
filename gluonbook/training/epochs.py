"""What a training measures, epoch by epoch."""

from __future__ import annotations

import math
from typing import Iterable, Iterator, NamedTuple, Sequence


class Epoch(NamedTuple):
    """One epoch's figures, as the book prints them."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean training loss over the epoch, in nats."""
    train_acc: float
    """Share of training images classified rightly while training on them."""
    test_acc: float
    """Share of test images classified rightly after the epoch."""
    seconds: float
    """Wall-clock time, loading and evaluation included."""

    def __str__(self) -> str:
        return f"{self.without_time()}, time {self.seconds:.1f} sec"

    def is_sound(self) -> bool:
        """Whether these can be the figures of an epoch. A loss of one's own may be negative."""
        return (
            all(map(math.isfinite, self))
            and 0 <= self.train_acc <= 1
            and 0 <= self.test_acc <= 1
            and self.seconds >= 0
        )

    def without_time(self) -> str:
        """The line of the book's sections before the one on LeNet."""
        return (
            f"epoch {self.epoch}, loss {self.loss:.4f}, train acc {self.train_acc:.3f}, "
            f"test acc {self.test_acc:.3f}"
        )


class Epochs:
    """The epochs of a training, in order."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, index: int) -> Epoch:
        return self.epochs[index]

    def append(self, epoch: Epoch) -> None:
        """Add an epoch."""
        self.extend([epoch])

    def extend(self, epochs: Iterable[Epoch]) -> None:
        """Add several epochs."""
        self.epochs.extend(epochs)


def mean_last(histories: Sequence[Epochs]) -> Epoch:
    """The mean of the last epochs of several runs."""
    last = [history[-1] for history in histories]
    means = [sum(values) / len(last) for values in zip(*last)]
    return Epoch(last[0].epoch, *means[1:])
