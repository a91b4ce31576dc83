"""Notices early that a classifier does not learn: its loss stays that of guessing."""

from __future__ import annotations

import collections
import math

import numpy as np

#: Batches after which the loss is judged, and over how many of the last it is averaged.
JUDGED_AFTER, AVERAGED = 90, 20
#: What counts as the loss of guessing, as shares of it: below, a net learns; above, it does worse.
_FROM, _TO = 0.99, 1.1

MEND = (
    "a net of sigmoids may need most of an epoch to leave it; a net of ReLUs is better started "
    "again, with another seed or with larger first weights (mx.init.MSRAPrelu(); for a chapter "
    "script that has it, --recipe stable)"
)


class Plateau:
    """Judges the first batches of a training.

    Guessing by the frequency of each class has the entropy of the labels as its cross-entropy:
    ln 10 = 2.303 for ten classes of one size.
    """

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._labels: collections.Counter[int] = collections.Counter()
        self.open = True

    def add(self, loss: float, labels: np.ndarray) -> str | None:
        """Count one batch, its mean loss and its labels (N,); a sentence if it is time for one."""
        if not self.open:
            return None
        if labels.ndim != 1 or not np.array_equal(labels, labels.astype(np.int64)):
            self.open = False  # not class numbers
            return None
        self._losses.append(loss)
        self._labels.update(labels.astype(np.int64).tolist())
        if len(self._losses) < JUDGED_AFTER:
            return None
        self.open = False
        total = sum(self._labels.values())
        guessing = -sum(n / total * math.log(n / total) for n in self._labels.values())
        mean = sum(self._losses[-AVERAGED:]) / AVERAGED
        if not 0 < _FROM * guessing <= mean <= _TO * guessing:
            return None
        classes = len(self._labels)
        return (
            f"after {JUDGED_AFTER} batches the loss is {mean:.3f}, still that of guessing among "
            f"{classes} classes (ln {classes} = {math.log(classes):.3f} where they are equally "
            f"frequent): {MEND}"
        )
