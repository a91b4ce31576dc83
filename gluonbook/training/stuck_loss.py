"""Notices that a classifier does not learn: its loss stays that of guessing, or lies above it."""

from __future__ import annotations

import collections
import math

import numpy as np

#: The batch after which the loss is judged, and the number of last batches it is averaged over.
JUDGED_AFTER, AVERAGED = 90, 20
#: The loss counts as that of guessing between these multiples of it.
_FROM, _TO = 0.99, 1.1
#: The upper multiple for a training of fewer batches than are averaged.
_FAR = 10.0
#: An accuracy counts as that of guessing up to this multiple of the most frequent class's share.
_ACCURACY = 1.5

OTHER_WEIGHTS = (
    "with another seed or with larger first weights (mx.init.MSRAPrelu(); for NiN, "
    "`python -m gluonbook.train nin --recipe stable`)"
)


class StuckLoss:
    """Judges the losses of a training, once early and once at its end.

    Guessing by the frequency of each class has the entropy of the labels as its cross-entropy:
    ln 10 = 2.303 for ten classes of one size.

    Parameters
    ----------
    early
        Whether the batches are the first of the training, so that they can be judged early.
    one_answer
        Whether the loss is that of one answer. A sum over several is not judged.
    """

    def __init__(self, *, early: bool = True, one_answer: bool = True) -> None:
        self._early = early
        self._count = 0
        self._losses: collections.deque[float] = collections.deque(maxlen=AVERAGED)
        self._labels: collections.Counter[int] = collections.Counter()
        self._class_numbers = one_answer
        self._told = False

    @property
    def needs_labels(self) -> bool:
        """Whether `add` still needs the labels. Reading them from a device takes time."""
        return self._class_numbers and self._count < JUDGED_AFTER

    def add(self, loss: float, labels: np.ndarray | None = None) -> str | None:
        """Count a batch with its mean loss and labels (N,); a sentence if the loss is stuck."""
        if labels is not None and self.needs_labels:
            self._class_numbers = labels.ndim == 1 and np.array_equal(
                labels, labels.astype(np.int64)
            )
            self._labels.update(labels.astype(np.int64).ravel().tolist())
        self._count += 1
        self._losses.append(loss)
        if not self._early or self._count != JUDGED_AFTER or not self._is_guessing():
            return None
        self._told = True
        return (
            f"after {JUDGED_AFTER} batches the loss is {self._loss:.3f}, still that of guessing "
            f"among {self._classes}: a net of sigmoids may need most of an epoch to leave it; a "
            f"net of ReLUs is better started again, {OTHER_WEIGHTS}"
        )

    def end(self, accuracy: float, lr: float | None) -> str | None:
        """A sentence if the training ends with nothing learned and `add` gave none.

        `accuracy` is the last epoch's on the training images, `lr` the learning rate that the user
        has given, or None if that is not known.
        """
        if self._is_guessing() and not self._told:
            return (
                f"the loss at the end is {self._loss:.3f}, that of guessing among {self._classes}: "
                f"{self._count} batches were too few for this net to learn; take more images, more "
                f"epochs or smaller batches, or, if that does not help, begin again {OTHER_WEIGHTS}"
            )
        if self._is_worse_than_guessing(accuracy):
            given, lower = ("", "a tenth of it") if lr is None else (f" of {lr:g}", f"{lr / 10:g}")
            return (
                f"the loss at the end is {self._loss:.4g}, worse than guessing among "
                f"{self._classes}: the learning rate{given} is too high; try {lower}"
            )
        return None

    @property
    def _loss(self) -> float:
        return sum(self._losses) / len(self._losses)

    @property
    def _guessing(self) -> float:
        """Cross-entropy of the guesses, in nats; 0 where there is nothing to guess."""
        if not self._class_numbers:
            return 0.0
        total = sum(self._labels.values())
        return -sum(n / total * math.log(n / total) for n in self._labels.values())

    @property
    def _classes(self) -> str:
        number = len(self._labels)
        return f"{number} classes (ln {number} = {math.log(number):.3f} where they are of one size)"

    def _is_guessing(self) -> bool:
        return 0 < _FROM * self._guessing <= self._loss <= _TO * self._guessing

    def _is_worse_than_guessing(self, accuracy: float) -> bool:
        # A good training may begin with losses well above that of guessing.
        above = _TO if self._count >= AVERAGED else _FAR
        guessed = max(self._labels.values(), default=0) / max(1, sum(self._labels.values()))
        return 0 < above * self._guessing < self._loss and accuracy <= _ACCURACY * guessed
