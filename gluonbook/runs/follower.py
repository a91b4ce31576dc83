"""What the other workers of a run have in place of its folder: the state of the first one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import mxnet as mx
import numpy as np

from ..distributed.workers import Workers
from ..training.tally import Progress
from .checkpoint import Checkpoint
from .format import parse


class Follower(Checkpoint):
    """A run whose first worker keeps it: it begins where that one does, and saves nothing.

    Parameters
    ----------
    save_every, facts
        Those of the first worker's `Checkpoint`.
    """

    def __init__(self, workers: Workers, save_every: int | None, facts: Mapping[str, Any]) -> None:
        super().__init__(Path("the first worker"), save_every=save_every, seed=0, facts=facts)
        self._workers = workers

    def _start(self, train_iter: Any) -> Progress:
        state, arrays = parse(self._workers.from_first(), self.folder)
        self._restore(state, arrays, train_iter)
        return Progress(**state["progress"])

    def seed_batch(self, epoch: int, batch: int) -> None:
        # Each worker draws a dropout of its own.
        position = [self.seed_of(epoch, batch), self._workers.rank]
        mx.random.seed(int(np.random.SeedSequence(position).generate_state(1)[0]))

    def save(self, progress: Progress) -> Path:
        return self.folder

    def acquire(self) -> None:
        pass
