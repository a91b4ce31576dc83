"""The figures of a run as TensorBoard shows them."""

from __future__ import annotations

import io
import os
from pathlib import Path
import time
from typing import Any, Sequence

from ..system import files
from ..system.errors import Failure, last_line
from ..training.epochs import Epoch

#: What TensorBoard calls each figure of an epoch. Those before a / share a group of charts.
TAGS = {
    "loss": "loss",
    "train_acc": "accuracy/training",
    "test_acc": "accuracy/test",
    "seconds": "seconds",
}
_NAME = "events.out.tfevents.{}.gluonbook"


class TensorBoardUnavailable(Failure, ImportError):
    """TensorBoard is not installed, or cannot be imported."""


class EventFile:
    """A file of scalars in a folder that TensorBoard is given with ``--logdir``.

    Parameters
    ----------
    folder
        An existing one; TensorBoard takes its name for the run's. Files of this kind that an
        earlier process left in it are removed at the first `update`, which writes all epochs anew.

    Raises
    ------
    TensorBoardUnavailable
        If TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise TensorBoardUnavailable(
                f"TensorBoard cannot be imported ({last_line(error)}): run `pip install "
                "'gluonbook[tensorboard]'`, in a clone `pip install -e '.[tensorboard]'`"
            ) from error
        self._Event, self._Summary, self._RecordWriter = Event, Summary, RecordWriter
        self._folder = Path(folder)
        self._path: Path | None = None
        self._written: list[Epoch] = []

    def update(self, epochs: Sequence[Epoch]) -> None:
        """Add those of the epochs of a run that are not in the file yet.

        If the epochs before have changed, as where another run was restored, it is written anew.

        Raises
        ------
        FileFailure
            If the file cannot be written.
        """
        events = []
        if self._path is None or list(epochs[: len(self._written)]) != self._written:
            self._written = []
            for old in self._folder.glob(_NAME.format("*")):
                old.unlink()
            self._path = self._folder / _NAME.format(time.time_ns())
            events.append(self._Event(wall_time=time.time(), file_version="brain.Event:2"))
        events += [self._event(epoch) for epoch in epochs[len(self._written) :]]
        records = io.BytesIO()
        for event in events:
            self._RecordWriter(records).write(event.SerializeToString())
        files.append(self._path, records.getvalue())
        self._written = list(epochs)

    def _event(self, epoch: Epoch) -> Any:
        values = [
            self._Summary.Value(tag=tag, simple_value=getattr(epoch, name))
            for name, tag in TAGS.items()
        ]
        return self._Event(
            wall_time=time.time(), step=epoch.epoch, summary=self._Summary(value=values)
        )
