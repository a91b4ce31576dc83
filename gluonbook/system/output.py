"""Lines for the user, which end no run when nobody can take them any more."""

from __future__ import annotations

from contextlib import suppress
import logging
import os
import sys
from typing import Any, TextIO

log = logging.getLogger("gluonbook")


def in_notebook() -> bool:
    """Whether this code runs in a cell of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def say(line: object, stream: TextIO | None = None) -> None:
    """Print a line of a run that keeps its figures in a folder, by default to standard output.

    A stream that fails (a reader that has gone, a full disk, a terminal that was closed) is told
    of in a warning and from then on led nowhere, so that neither later lines nor Python's own
    flush at exit fail on it.
    """
    print(line, file=Forgiving(sys.stdout if stream is None else stream), flush=True)


class Forgiving:
    """A text stream that raises no error when nobody can take its lines any more; see `say`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: Exception) -> None:
        name = "standard error" if self._stream is sys.stderr else "standard output"
        _lead_nowhere(self._stream)
        log.warning(
            "%s takes no more lines (%s); the run goes on, and its figures are kept in its folder",
            name,
            getattr(error, "strerror", None) or error,
        )


def _lead_nowhere(stream: TextIO) -> None:
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
        stream.flush()  # what it still holds
