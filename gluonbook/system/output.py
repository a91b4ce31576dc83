"""Prints lines for the user; a closed terminal or a full disk does not end the run."""

from __future__ import annotations

from contextlib import contextmanager, suppress
import logging
import os
import sys
from typing import Iterator, TextIO

log = logging.getLogger("gluonbook")


def in_notebook() -> bool:
    """Whether this code runs in a cell of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def say(line: object, stream: TextIO | None = None) -> None:
    """Print a line of a run that keeps its figures in a folder, by default to standard output.

    If the stream fails (a closed pipe or terminal, a full disk), one warning is logged and its
    later output is discarded, so that neither the next line nor Python's flush at exit fails.
    """
    stream = sys.stdout if stream is None else stream
    try:
        print(line, file=stream, flush=True)
    except (OSError, ValueError) as error:
        _discard(stream)
        log.warning(
            "%s cannot be written (%s); the run continues, and its folder holds the figures",
            "standard error" if stream is sys.stderr else "standard output",
            getattr(error, "strerror", None) or error,
        )


def _discard(stream: TextIO) -> None:
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
        stream.flush()  # what it still holds


def show_picture(path: os.PathLike[str]) -> None:
    """Show a picture file below the cell of a notebook; elsewhere this does nothing."""
    if in_notebook():
        from IPython.display import Image, display

        display(Image(filename=os.fspath(path)))


@contextmanager
def without_log_of_library() -> Iterator[None]:
    """Discard what MXNet's C++ code logs within the block, which no setting of its turns off."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
