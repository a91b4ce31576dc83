"""What the other workers of a run have in place of its folder: the state of the first one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

from ..training.run import Company
from ..training.tally import Progress
from .format import parse
from .state import RunState


class Follower:
    """A run whose first worker keeps it: it begins where that one does, and saves nothing.

    Parameters
    ----------
    save_every, facts
        Those of the first worker's `Checkpoint`.
    """

    def __init__(self, save_every: int | None, facts: Mapping[str, Any]) -> None:
        self.folder = Path("the first worker")
        self.save_every, self.facts = save_every, facts
        self.seed = 0

    def begin(self, *training: Any, workers: Company) -> Progress:
        """Restore the first worker's run into the arguments, which are those of `Keeper`."""
        state = RunState(self.folder, self.seed, self.facts, *training)
        progress = state.restore(*parse(workers.from_first(), self.folder))
        self.seed = state.seed
        return progress

    def save(self, progress: Progress) -> None:
        """Nothing: the first worker saves."""

    def end(self) -> None:
        """Nothing: there is no folder to unlock."""
