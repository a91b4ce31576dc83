"""What a run measured, epoch by epoch: its files and its picture."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Iterable

from ..plots.curves import draw_history
from ..plots.figure import png_of, save_picture
from ..system import files
from ..system.errors import Failure
from ..training.epochs import Epoch, Epochs
from .tensorboard import EventFile

#: Bytes that a history may have: tens of thousands of epochs.
_LARGEST = 2**22


class HistoryError(Failure, ValueError):
    """A file does not hold the history of a run."""


class History(Epochs):
    """The epochs of a run, in order, and their files.

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
        super().__init__()
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

    def extend(self, epochs: Iterable[Epoch]) -> None:
        """Add several epochs, to the files too if there are any."""
        super().extend(epochs)
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
