"""Notices that a classifier does not learn: its loss stays that of guessing, or lies above it."""

from __future__ import annotations

import collections
import math
from typing import Sequence

import numpy as np

#: The batch after which the loss is judged, and the number of last batches it is averaged over.
JUDGED_AFTER, AVERAGED = 90, 20
#: The loss counts as that of guessing between these multiples of it.
_FROM, _TO = 0.99, 1.1
#: The upper multiple for a training of fewer batches than are averaged.
_FAR = 10.0
#: The first batch's loss, which no step has changed, scatters with its n examples by about 1/√n of
#: itself. A loss has risen if it is above it by this many times as much.
_RISEN = 3.0
#: The accuracy of guessing is the most frequent class's share. It counts as exceeded by more than
#: this share of what lies above it.
_ACCURACY = 0.05
#: A net of sigmoids that has learned nothing in so many times `JUDGED_AFTER` batches will not.
_MANY = 5
#: Classes are told as of one size if the entropy of the labels is at least this multiple of ln K.
_OF_ONE_SIZE = 0.95

OTHER_WEIGHTS = (
    "with another seed or with larger first weights (mx.init.MSRAPrelu(); for NiN, "
    "`python -m gluonbook.train nin --recipe stable`)"
)


class StuckLoss:
    """Judges the losses of a training, once early and once at its end.

    Guessing by the frequency of each class has the entropy of the labels as its cross-entropy:
    ln 10 = 2.303 for ten classes of one size. A net that has not trained is above it where classes
    are of other sizes: two of 95 and 5 % have 0.199, and such a net ln 2 = 0.693. So a loss that
    has only stayed above it does not show that the learning rate is too high.

    Parameters
    ----------
    early
        Whether the batches are the first of the training. Only then are they judged early, and is
        it known whether the loss has risen.
    cross_entropy
        Whether the loss is the cross-entropy of one answer, each example counted once. Another
        one, such as with weights for classes, cannot be compared with the entropy of the labels.
    """

    def __init__(self, *, early: bool = True, cross_entropy: bool = True) -> None:
        self._early = early
        self._count = 0
        self._begun = math.inf  # a loss above it has risen
        self._losses: collections.deque[float] = collections.deque(maxlen=2 * AVERAGED)
        self._labels: collections.Counter[int] = collections.Counter()
        self._class_numbers = cross_entropy
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
        if self._early and self._count == 1 and labels is not None:
            self._begun = loss * (1 + _RISEN / math.sqrt(max(1, len(labels))))
        if not self._early or self._count != JUDGED_AFTER or not self._is_guessing():
            return None
        self._told = True
        return (
            f"after {JUDGED_AFTER} batches the loss is {self._loss:.3f}, still that of guessing "
            f"among {self._classes}: a net of sigmoids may need most of an epoch to leave it; a "
            f"net of ReLUs is better started again, {OTHER_WEIGHTS}"
        )

    def end(self, accuracy: float, lr: float | None) -> str | None:
        """A sentence if nothing was learned; after one of `add`, only if many batches followed it.

        `accuracy` is the last epoch's on the training images, `lr` the learning rate that the user
        has given, or None if that is not known.
        """
        if self._has_learned(accuracy):
            return None
        if self._is_guessing() and (not self._told or self._count >= _MANY * JUDGED_AFTER):
            few = (
                f"{self._count} batches were too few for this net to learn; take more images, more "
                "epochs or smaller batches, or, if that does not help, "
            )
            return (
                f"the loss at the end is {self._loss:.3f}, that of guessing among {self._classes}: "
                f"{'' if self._told else few}begin again {OTHER_WEIGHTS}"
            )
        if self._is_worse_than_guessing():
            given, lower = ("", "a tenth of it") if lr is None else (f" of {lr:g}", f"{lr / 10:g}")
            return (
                f"the loss at the end is {self._loss:.4g}, worse than guessing among "
                f"{self._classes}: the learning rate{given} is too high; try {lower}"
            )
        return None

    @property
    def _loss(self) -> float:
        return _mean(list(self._losses)[-AVERAGED:])

    @property
    def _guessing(self) -> float:
        """Cross-entropy of the guesses, in nats; 0 where there is nothing to guess."""
        if not self._class_numbers:
            return 0.0
        total = sum(self._labels.values())
        return -sum(n / total * math.log(n / total) for n in self._labels.values())

    @property
    def _classes(self) -> str:
        number, guessing = len(self._labels), self._guessing
        if guessing < _OF_ONE_SIZE * math.log(number):
            return f"{number} classes by their frequencies ({guessing:.3f})"
        return f"{number} classes (ln {number} = {math.log(number):.3f} where they are of one size)"

    def _is_guessing(self) -> bool:
        """Whether the loss stays at that of guessing. One that falls through it is learning."""
        if self._guessing == 0:
            return False
        before = list(self._losses)[:-AVERAGED]
        return self._is_that_of_guessing(self._loss) and (
            len(before) < AVERAGED or self._is_that_of_guessing(_mean(before))
        )

    def _is_that_of_guessing(self, loss: float) -> bool:
        return _FROM * self._guessing <= loss <= _TO * self._guessing

    def _is_worse_than_guessing(self) -> bool:
        if self._guessing == 0 or self._loss <= self._begun:
            return False
        # A good training may begin with losses well above that of guessing.
        above = _TO if self._count >= AVERAGED else _FAR
        return above * self._guessing < self._loss

    def _has_learned(self, accuracy: float) -> bool:
        """Whether so many answers are right that they cannot be guesses."""
        guessed = max(self._labels.values(), default=0) / max(1, sum(self._labels.values()))
        return accuracy > guessed + _ACCURACY * (1 - guessed)


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)
