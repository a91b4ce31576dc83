"""What a run measured, epoch by epoch, and its files."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from typing import Iterable, Iterator, NamedTuple, Sequence

from ..plots.curves import draw_history
from ..plots.figure import png_of, save_picture
from ..system import files
from ..system.errors import Failure
from .tensorboard import EventFile

#: Bytes that a history may have: tens of thousands of epochs.
_LARGEST = 2**22


class HistoryError(Failure, ValueError):
    """A file does not hold the history of a run."""


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


class History:
    """The epochs of a run, in order.

    Parameters
    ----------
    csv_path
        A file that is written anew as each epoch ends, so that a run that is cut short leaves
        the epochs it finished.
    tensorboard
        A folder that takes a file of the same figures for TensorBoard.

    Raises
    ------
    FileFailure
        If a file cannot be written; it is then as it was.
    TensorBoardUnavailable
        If `tensorboard` is given, and TensorBoard is not installed.
    """

    def __init__(
        self,
        csv_path: str | os.PathLike[str] | None = None,
        *,
        tensorboard: str | os.PathLike[str] | None = None,
    ) -> None:
        self.epochs: list[Epoch] = []
        self._csv_path = csv_path
        self._event_file = None if tensorboard is None else EventFile(tensorboard)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> History:
        """The epochs in a CSV file that `write_csv`, or a run, has written.

        Raises
        ------
        FileFailure
            If the file is missing or unreadable.
        HistoryError
            If it is not such a file, or is damaged.
        """
        history = cls()
        try:
            header, *rows = csv.reader(io.StringIO(files.read(path, _LARGEST).decode(), newline=""))
            if header != list(Epoch._fields):
                raise ValueError("another header")
            for number, row in enumerate(rows, 1):
                epoch = Epoch(int(row[0]), *map(float, row[1:]))
                if epoch.epoch != number or not epoch.is_sound():
                    raise ValueError("another epoch, or no figure")
                history.epochs.append(epoch)
        except (ValueError, TypeError, IndexError, csv.Error) as error:
            raise HistoryError(
                f"{path} is not the history of a run, or is damaged: name a run's history.csv"
            ) from error
        return history

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, index: int) -> Epoch:
        return self.epochs[index]

    def append(self, epoch: Epoch) -> None:
        """Add an epoch, to the files too if there are any."""
        self.extend([epoch])

    def extend(self, epochs: Iterable[Epoch]) -> None:
        """Add several epochs, to the files too if there are any."""
        self.epochs.extend(epochs)
        if self._csv_path is not None:
            self.write_csv(self._csv_path)
        if self._event_file is not None:
            self._event_file.update(self.epochs)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a header and a row per epoch."""
        text = io.StringIO()
        csv.writer(text).writerows([Epoch._fields, *self.epochs])
        files.write(path, text.getvalue())

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write a list of objects, one per epoch."""
        rows = [epoch._asdict() for epoch in self.epochs]
        files.write(path, json.dumps(rows, indent=2) + "\n")

    def draw(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Draw loss and accuracies over the epochs, as a PNG or what the path's ending says."""
        kind = os.path.splitext(path)[1][1:].lower()
        save_picture(draw_history(self, title), path, format=kind or "png")

    def __repr__(self) -> str:
        last = f", the last: {self.epochs[-1]}" if self.epochs else ""
        return f"<History of {len(self)} epochs{last}>"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows where a history is the last value of a cell: its curves."""
        return png_of(draw_history(self)) if self.epochs else None


def mean_last(histories: Sequence[History]) -> Epoch:
    """The mean of the last epochs of several runs."""
    last = [history[-1] for history in histories]
    means = [sum(values) / len(last) for values in zip(*last)]
    return Epoch(last[0].epoch, *means[1:])
