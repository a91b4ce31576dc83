"""Saves the state of a run so that a stop at any moment loses nothing, and restores it exactly."""

from __future__ import annotations

from dataclasses import asdict
import json
import logging
import os
from pathlib import Path
import random
import re
from typing import Any, Mapping, NoReturn, Sized

import mxnet as mx
from mxnet import gluon, nd
import numpy as np
import safetensors
import safetensors.numpy

from ..data.batches import PositionedLoader
from ..distributed.workers import workers
from ..system import files, mxnet_private
from ..system.errors import whole_number
from ..training.epochs import Epoch, Epochs
from ..training.learning_rate import NotFinite, given_rate
from ..training.tally import Progress
from .format import VERSION, CheckpointError, OtherVersion, check_state, digest, read
from .lock import FolderLock, InUse
from .net_state import (
    check_net,
    parameter_arrays,
    restore_other_devices,
    restore_parameters,
    size_limit,
)
from .trainer_state import check_trainer, optimizer_facts, places_of, restore_trainer, trainer_state

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
    ) -> Progress:
        """Restore the newest checkpoint into the arguments, or save the beginning of a run.

        Raises
        ------
        CheckpointError
            If the checkpoint is of another run (both values are named), all checkpoints are
            damaged, or another process trains in this folder. The arguments are as they were.
        FileFailure
            If the folder cannot be written.
        """
        self._net, self._trainer, self._history = net, trainer, history
        self._loader = train_iter if isinstance(train_iter, PositionedLoader) else None
        everything = {**self.facts, **facts, **optimizer_facts(trainer)}
        self.facts = json.loads(json.dumps(everything))  # as it will be read back
        self._order = places_of(trainer, net)
        return self._start(train_iter)

    def _start(self, train_iter: Any) -> Progress:
        """Restore the newest checkpoint, or save the beginning of a run."""
        self.acquire()
        try:
            state, arrays, damaged = self._newest()
            if state is not None:
                self._restore(state, arrays, train_iter)
            else:
                self._shuffle_seed = None
                if self._loader is not None:
                    self._shuffle_seed = whole_number("the loader's seed", self._loader.seed, 2**32)
            # Nothing in the folder has been changed up to here; from here on it is this run's.
            files.remove_partial(self.folder)
            if self.notes:
                files.list_digests(self.folder)
            for path in damaged:
                path.replace(f"{path}.damaged")
            for name, text in self.notes.items():
                files.write(self.folder / name, text)
            progress = Progress(**state["progress"]) if state is not None else Progress()
            values_known = map(mxnet_private.has_values, self._net.collect_params().values())
            if state is None and all(values_known):
                self.save(progress)
            self._tell_the_others(progress)
            return progress
        except BaseException:
            self.end()
            raise

    def _tell_the_others(self, progress: Progress) -> None:
        """Give the other workers, where there are some, the state that the run begins with."""
        if not workers().alone:
            workers().from_first(self._content(progress))

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
        try:
            self._lock.acquire()
        except InUse as error:
            raise CheckpointError(str(error)) from error

    def seed_epoch(self, epoch: int) -> None:
        """Seed shuffling and what transforms draw from Python's and NumPy's generators."""
        seed = self.seed_of(epoch)
        np.random.seed(seed)
        random.seed(seed)
        if self._loader is not None and self._shuffle_seed is not None:
            self._loader.seed = self._shuffle_seed

    def seed_batch(self, epoch: int, batch: int) -> None:
        """Seed what MXNet draws, such as dropout, while it trains on a batch."""
        mx.random.seed(self.seed_of(epoch, batch))

    def seed_of(self, epoch: int, batch: int | None = None) -> int:
        """A seed below 2**32 for an epoch, from 1, or for a batch of it, from 0."""
        position = [epoch] if batch is None else [epoch, batch]
        return int(np.random.SeedSequence([self.seed, *position]).generate_state(1)[0])

    def save(self, progress: Progress) -> Path:
        """Write a checkpoint, and remove all but the last two.

        Raises
        ------
        NotFinite
            If a parameter is infinite or not a number; the checkpoints before stand.
        FileFailure
            If it cannot be written; the checkpoints before stand.
        """
        content = self._content(progress)
        path = self.folder / f"checkpoint-{progress.epoch}-{progress.batch}.safetensors"
        files.write(path, content, listed=False)  # it has its own digest, and does not stay
        self.remove_older(KEPT)
        return path

    def _content(self, progress: Progress) -> bytes:
        """The bytes of a checkpoint."""
        # oneDNN may still be rearranging weights in place; reading them meanwhile gives a mixture.
        nd.waitall()
        arrays = dict(parameter_arrays(self._net))
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                self._refuse_infinite(name[len("net/") :], progress)
        state = {
            "version": VERSION,
            "seed": self.seed,
            "shuffle_seed": self._shuffle_seed,
            "facts": self.facts,
            "progress": asdict(progress),
            "history": self._history.epochs,
            "trainer": trainer_state(self._trainer, self._order, arrays),
        }
        text = json.dumps(state, allow_nan=False)
        try:  # what is written can be read again, or the run does not begin
            check_state(json.loads(text))
        except ValueError as error:
            raise CheckpointError(
                f"{self.folder} cannot keep the state of {type(self._trainer.optimizer).__name__} "
                "or of its schedule: train without a checkpoint"
            ) from error
        return safetensors.numpy.save(arrays, {"state": text, "sha256": digest(text, arrays)})

    def refuse_other_length(self, batch: int, found: int) -> NoReturn:
        """Raise the error for data that ends after `found` batches, before batch `batch`."""
        raise CheckpointError(
            f"{self.folder} holds a run that is at batch {batch:,} of an epoch, and the data has "
            f"{found:,}: give the same data, or start a new run"
        )

    def remove_older(self, kept: int = 1) -> None:
        """Remove all checkpoints but the newest `kept`: a run that is done needs only one."""
        for old in self._paths()[kept:]:
            old.unlink(missing_ok=True)

    def end(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def _refuse_infinite(self, name: str, progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (1, 0):
            raise CheckpointError(
                f"the parameter {name} is not finite before the first batch: initialize the net "
                "with other weights"
            )
        what = f"the parameter {name} is no longer finite"
        lr = given_rate(self._trainer)
        raise NotFinite(what, progress.epoch, progress.batch, lr, self.folder)

    def _paths(self) -> list[Path]:
        """The checkpoints in the folder, newest first."""
        found = checkpoints_in(self.folder)
        return [found[position] for position in sorted(found, reverse=True)]

    def _newest(self) -> tuple[dict[str, Any] | None, dict[str, np.ndarray], list[Path]]:
        """The newest checkpoint that is whole, and the damaged ones that are newer.

        None and no arrays if there is no checkpoint at all.
        """
        limit = size_limit(self._net)
        faults: dict[Path, CheckpointError] = {}
        for path in self._paths():
            try:
                state, arrays = read(path, limit)
            except OtherVersion:
                raise
            except CheckpointError as error:
                faults[path] = error
                continue
            for fault in faults.values():
                log.warning("%s; going on from the one before, %s", fault, path.name)
            return state, arrays, list(faults)
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole: {next(iter(faults.values()))}; start a "
                "new run in another folder"
            )
        return None, {}, []

    def _restore(
        self, state: dict[str, Any], arrays: dict[str, np.ndarray], train_iter: Any
    ) -> None:
        for name in {**state["facts"], **self.facts}:
            saved, now = state["facts"].get(name, "none"), self.facts.get(name, "none")
            if saved != now:
                held = " ".join(f"{name} {saved}".split())  # whatever the file says, in one line
                raise CheckpointError(
                    f"{self.folder} holds a run with {held}, and this one has {now}: "
                    "give the same, or start a new run"
                )
        batch = state["progress"]["batch"]
        if isinstance(train_iter, Sized) and batch > len(train_iter):
            raise CheckpointError(
                f"{self.folder} holds a run that is at batch {batch:,} of an epoch, and this one "
                f"has {len(train_iter):,}: give the same data, or start a new run"
            )
        check_net(self._net, arrays, self.folder)
        check_trainer(self._trainer, self._net, state["trainer"], arrays, self.folder)
        restore_parameters(self._net, arrays)
        restore_trainer(self._trainer, self._net, state["trainer"], arrays)
        restore_other_devices(self._net, arrays)
        self._order = state["trainer"]["parameters"]
        self.seed, self._shuffle_seed = state["seed"], state["shuffle_seed"]
        self._history.epochs.clear()
        self._history.extend(Epoch(*row) for row in state["history"])
