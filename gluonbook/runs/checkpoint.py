"""Saves the state of a run so that a stop at any moment loses nothing, and restores it exactly."""

from __future__ import annotations

import logging
import os
from pathlib import Path
import re
from typing import Any, Mapping

from mxnet import gluon
import numpy as np

from ..system import files, mxnet_private
from ..system.errors import whole_number
from ..system.machine import available_memory
from ..system.parameters import size_limit
from ..training.epochs import Epoch, Epochs
from ..training.run import CheckpointError, Company
from ..training.tally import Progress
from .format import OtherVersion, Parsed, read
from .history import History
from .lock import FolderLock
from .state import RunState

log = logging.getLogger("gluonbook")

KEPT = 2
_NAME = re.compile(r"checkpoint-([0-9]{1,9})-([0-9]{1,9})\.safetensors")


def checkpoints_in(folder: Path) -> dict[tuple[int, int], Path]:
    """The checkpoints in a run's folder: each by its epoch, from 1, and the batches done of it."""
    found = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and not path.is_dir():
            found[int(match[1]), int(match[2])] = path
    return found


def history_in_checkpoint(folder: Path) -> History:
    """The epochs of the run in `folder`, which has a checkpoint, as the newest one has them.

    Raises
    ------
    CheckpointError
        If that is damaged.
    """
    _, path = max(checkpoints_in(folder).items())
    state, _ = read(path, available_memory() // 4)
    history = History()
    history.epochs.extend(Epoch(*row) for row in state["history"])
    return history


class Checkpoint:
    """The folder in which `train_ch5` and `train` keep a run, and from which they go on with it.

    If the folder holds a checkpoint, the training continues from it. On the same machine's CPU the
    numbers are, bit for bit, those of a run that was never stopped. Otherwise a run begins.
    All randomness of a run follows from its seed and the position in it: dropout, and what a
    data iterator draws from the generators of Python, NumPy and MXNet, in this process or in the
    worker processes of MXNet's ``DataLoader``. What it draws from a generator of its own or in
    threads does not, nor what carries over from one pass to the next (``last_batch="rollover"``).

    The last two checkpoints are kept. A damaged one is renamed to end in ``.damaged``, and the one
    before it is used.

    Parameters
    ----------
    folder
        Made if it does not exist. One process at a time can train there.
    save_every
        Save after every so many batches too, not only at the end of each epoch.
    seed
        Of the randomness. With None, one is drawn from NumPy's global generator.
    facts
        Names and values that must be the same when the run goes on, besides the net, the
        optimizer and the data, which are always compared.
    notes
        Texts to keep beside the checkpoints, by file name. They are written once the run has
        begun or been restored. From then on ``SHA256SUMS`` lists the digests of the files that this
        package writes into the folder, by which it finds a damaged one as it reads it.

    Raises
    ------
    ValueError
        If `folder` is empty text, `save_every` is less than 1, or `seed` is not a whole number from
        0 to 2**63 - 1.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        save_every: int | None = None,
        seed: int | None = None,
        facts: Mapping[str, Any] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        if not os.fspath(folder):
            raise ValueError("the checkpoint's folder has no name: give one such as runs/mine")
        if save_every is not None:
            save_every = whole_number("save_every", save_every, least=1)
        self.folder = Path(folder)
        self.save_every = save_every
        self.seed = int(np.random.randint(2**31)) if seed is None else whole_number("seed", seed)
        self.facts = dict(facts or {})
        self.notes = dict(notes or {})
        self._lock = FolderLock(self.folder)

    def begin(
        self,
        net: gluon.Block,
        trainer: gluon.Trainer,
        train_iter: Any,
        history: Epochs,
        facts: Mapping[str, Any],
        *,
        workers: Company | None = None,
    ) -> Progress:
        """Restore the newest checkpoint into the arguments, or save the beginning of a run.

        The other `workers`, where there are some, are given what it begins with.

        Raises
        ------
        CheckpointError
            If the checkpoint is of another run (both values are named), all checkpoints are
            damaged, or another process trains in this folder. The arguments are as they were.
        FileFailure
            If the folder cannot be written.
        """
        state = RunState(
            *(self.folder, self.seed, self.facts),
            *(net, trainer, train_iter, history, facts),
        )
        self.acquire()
        try:
            found, damaged = self._newest(size_limit(net))
            progress = Progress() if found is None else state.restore(*found)
            # Nothing in the folder has been changed up to here; from here on it is this run's.
            files.remove_partial(self.folder)
            if self.notes:
                files.list_digests(self.folder)
            for path in damaged:
                path.replace(f"{path}.damaged")
            for name, text in self.notes.items():
                files.write(self.folder / name, text)
            self._state, self.seed = state, state.seed
            if found is None and all(map(mxnet_private.has_values, net.collect_params().values())):
                self.save(progress)
            if workers is not None and not workers.alone:
                workers.from_first(state.content(progress))
            return progress
        except BaseException:
            self.end()
            raise

    def acquire(self) -> None:
        """Make the folder and lock it until `end`.

        Raises
        ------
        CheckpointError
            If another run is in it.
        FileFailure
            If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.FileFailure(
                f"{self.folder} cannot hold a run ({error.strerror}): name another folder"
            ) from error
        self._lock.acquire()

    def save(self, progress: Progress) -> Path:
        """Write a checkpoint, and remove all but the last two.

        Raises
        ------
        NotFinite
            If a parameter is infinite or not a number; the checkpoints before stand.
        FileFailure
            If it cannot be written; the checkpoints before stand.
        """
        content = self._state.content(progress)
        path = self.folder / f"checkpoint-{progress.epoch}-{progress.batch}.safetensors"
        files.write(path, content, listed=False)  # it has its own digest, and does not stay
        self.remove_older(KEPT)
        return path

    def remove_older(self, kept: int = 1) -> None:
        """Remove all checkpoints but the newest `kept`: a run that is done needs only one."""
        for old in self._paths()[kept:]:
            old.unlink(missing_ok=True)

    def end(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def _paths(self) -> list[Path]:
        """The checkpoints in the folder, newest first."""
        return [path for _, path in sorted(checkpoints_in(self.folder).items(), reverse=True)]

    def _newest(self, limit: int) -> tuple[Parsed | None, list[Path]]:
        """The newest checkpoint that is whole, or None, and the damaged ones that are newer.

        Each of them may have `limit` bytes.
        """
        faults: dict[Path, CheckpointError] = {}
        for path in self._paths():
            try:
                found = read(path, limit)
            except OtherVersion:
                raise
            except CheckpointError as error:
                faults[path] = error
            else:
                for fault in faults.values():
                    log.warning("%s; going on from the one before, %s", fault, path.name)
                return found, list(faults)
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole: {next(iter(faults.values()))}; start a "
                "new run in another folder"
            )
        return None, []
