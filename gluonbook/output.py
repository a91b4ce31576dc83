"""Lines for the user, which end no run when nobody can take them any more."""

from __future__ import annotations

from contextlib import suppress
import logging
import os
import sys
from typing import TextIO

log = logging.getLogger("gluonbook")


def say(line: object, stream: TextIO | None = None) -> None:
    """Print a line of a run that keeps its figures in a folder, by default to standard output.

    A stream that fails (a reader that has gone, a full disk, a terminal that was closed) is told
    of in a warning and from then on led nowhere, so that neither later lines nor Python's own
    flush at exit fail on it.
    """
    stream = sys.stdout if stream is None else stream
    try:
        print(line, file=stream, flush=True)
    except (OSError, ValueError) as error:
        _lead_nowhere(stream)
        log.warning(
            "%s takes no more lines (%s); the run goes on, and its figures are kept in its folder",
            "standard error" if stream is sys.stderr else "standard output",
            getattr(error, "strerror", None) or error,
        )


def _lead_nowhere(stream: TextIO) -> None:
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
        stream.flush()  # what it still holds
