"""The state of a run: the content of a checkpoint, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from pathlib import Path
from typing import Any, Mapping, Sized

from mxnet import gluon, nd
import numpy as np
import safetensors.numpy

from ..data.batches import PositionedLoader
from ..system.errors import whole_number
from ..training.epochs import Epoch, Epochs
from ..training.learning_rate import NotFinite, given_rate
from ..training.run import CheckpointError
from ..training.tally import Progress
from .format import VERSION, Arrays, check_state, digest
from .net_state import check_net, parameter_arrays, restore_other_devices, restore_parameters
from .trainer_state import check_trainer, optimizer_facts, places_of, restore_trainer, trainer_state


@dataclass
class RunState:
    """What a checkpoint holds of a run, besides how far it is."""

    folder: Path
    """Where the run is kept, for errors."""
    seed: int
    """Of its randomness. A run that is restored has its own."""
    own_facts: Mapping[str, Any]
    """What the keeper of the run states of it, as `facts` is what the loop states."""
    net: gluon.Block
    trainer: gluon.Trainer
    train_iter: Any
    history: Epochs
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        everything = {**self.own_facts, **self.facts, **optimizer_facts(self.trainer)}
        self.facts = json.loads(json.dumps(everything))  # as it will be read back
        self._order = places_of(self.trainer, self.net)
        self._shuffle_seed: int | None = None
        if isinstance(self.train_iter, PositionedLoader):
            self._shuffle_seed = whole_number("the loader's seed", self.train_iter.seed, 2**32)

    def content(self, progress: Progress) -> bytes:
        """The bytes of a checkpoint, if all of them are finite and can be read again."""
        # oneDNN may still be rearranging weights in place; reading them meanwhile gives a mixture.
        nd.waitall()
        arrays = dict(parameter_arrays(self.net))
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                self._refuse_infinite(name[len("net/") :], progress)
        state = {
            "version": VERSION,
            "seed": self.seed,
            "shuffle_seed": self._shuffle_seed,
            "facts": self.facts,
            "progress": asdict(progress),
            "history": self.history.epochs,
            "trainer": trainer_state(self.trainer, self._order, arrays),
        }
        text = json.dumps(state, allow_nan=False)
        try:  # what is written can be read again, or the run does not begin
            check_state(json.loads(text))
        except ValueError as error:
            raise CheckpointError(
                f"{self.folder} cannot keep the state of {type(self.trainer.optimizer).__name__} "
                "or of its schedule: train without a checkpoint"
            ) from error
        return safetensors.numpy.save(arrays, {"state": text, "sha256": digest(text, arrays)})

    def restore(self, state: dict[str, Any], arrays: Arrays) -> Progress:
        """Go on with the run that a checkpoint holds; another is refused, and nothing changes."""
        for name in {**state["facts"], **self.facts}:
            saved, now = state["facts"].get(name, "none"), self.facts.get(name, "none")
            if saved != now:
                held = " ".join(f"{name} {saved}".split())  # whatever the file says, in one line
                raise CheckpointError(
                    f"{self.folder} holds a run with {held}, and this one has {now}: "
                    "give the same, or start a new run"
                )
        progress, loader = Progress(**state["progress"]), self.train_iter
        if isinstance(loader, Sized) and progress.batch > len(loader):
            raise CheckpointError(
                f"{self.folder} holds a run that is at batch {progress.batch:,} of an epoch, and "
                f"this one has {len(loader):,}: give the same data, or start a new run"
            )
        check_net(self.net, arrays, self.folder)
        check_trainer(self.trainer, self.net, state["trainer"], arrays, self.folder)
        restore_parameters(self.net, arrays)
        restore_trainer(self.trainer, self.net, state["trainer"], arrays)
        restore_other_devices(self.net, arrays)
        self._order = state["trainer"]["parameters"]
        self.seed, self._shuffle_seed = state["seed"], state["shuffle_seed"]
        if self._shuffle_seed is not None and isinstance(loader, PositionedLoader):
            loader.seed = self._shuffle_seed
        self.history.epochs.clear()
        self.history.extend(Epoch(*row) for row in state["history"])
        return progress

    def _refuse_infinite(self, name: str, progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (1, 0):
            raise CheckpointError(
                f"the parameter {name} is not finite before the first batch: initialize the net "
                "with other weights"
            )
        what = f"the parameter {name} is no longer finite"
        lr = given_rate(self.trainer)
        raise NotFinite(what, progress.epoch, progress.batch, lr, self.folder)
