"""How far a training is: a bar on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Iterable, Iterator, TypeVar

from tqdm import tqdm

from .output import say

_Batch = TypeVar("_Batch")

#: A log that says nothing for longer looks like that of a program that hangs.
SILENCE_SECONDS = 120


def watched(
    batches: Iterable[_Batch], what: str, total: int | None, done: int = 0
) -> Iterable[_Batch]:
    """`batches`; standard error shows how many of `total` are done, of which `done` were before.

    On a terminal that is a progress bar. In a file, a pipe or a notebook it is a line after each
    `SILENCE_SECONDS`.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        return tqdm(batches, initial=done, total=total, desc=what, unit="batch", leave=False)
    return _with_lines(batches, what, total, done)


def _with_lines(
    batches: Iterable[_Batch], what: str, total: int | None, done: int
) -> Iterator[_Batch]:
    told = time.monotonic()
    for batch in batches:
        yield batch
        done += 1
        if time.monotonic() - told >= SILENCE_SECONDS and sys.stderr is not None:
            told = time.monotonic()
            of_all = "" if total is None else f" of {total:,}"
            say(f"{what}: batch {done:,}{of_all} is done", sys.stderr)
