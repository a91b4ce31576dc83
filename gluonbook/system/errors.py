"""Errors that a user can fix, each printed as one sentence."""

from __future__ import annotations

from contextlib import contextmanager
import operator
import signal
import sys
from typing import Callable, Iterator

from .interrupts import Interrupted
from .output import in_notebook, say


def printable(text: str) -> str:
    r"""`text` in one line that a terminal shows as it is.

    A name from a file or the network may hold line breaks, escape sequences that move the cursor
    or retitle the window, or bytes that are not UTF-8; each such character becomes its escape,
    as ``\x1b``.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


class Failure(Exception):
    """An error that a user can fix; its message is one sentence that says how."""

    def __str__(self) -> str:
        return printable(super().__str__())


def last_line(error: BaseException) -> str:
    """The last line of an MXNet error: what went wrong, after where."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def whole_number(name: str, value: int, below: int = 2**63, *, least: int = 0) -> int:
    """`value`, whatever kind of whole number it is (NumPy's too), as Python's own.

    Raises
    ------
    ValueError
        If it is not one, or not from `least` to `below` - 1; names `name` and the value.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number < below:
        limit = f" and below {limit_text(below)}" if number >= below else ""
        raise ValueError(f"{name} must be a whole number of at least {least}{limit}, not {value!r}")
    return number


def limit_text(number: int) -> str:
    """A limit as people read it: ``60,000``, and ``2**63`` where the digits would say less."""
    exponent = number.bit_length() - 1
    return f"2**{exponent}" if number == 2**exponent >= 2**31 else f"{number:,}"


def not_finite(path: object, name: str) -> str:
    """What to say of a file of weights in which `name` has infinity or NaN."""
    return (
        f"{path} is damaged, or of a training that failed: {name} has a value that is not a finite "
        "number"
    )


def sentence(error: BaseException) -> str | None:
    """What to tell a user about `error`, or None if it is a defect of this package."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    return str(error) if isinstance(error, Failure) else None


_told = False


def told() -> bool:
    """Whether this process has printed the sentence of the error that ends it."""
    return _told


def print_sentences(describe: Callable[[BaseException], str | None] = sentence) -> None:
    """Make a script that ends on an uncaught error print what `describe` says of it, alone.

    An error that `describe` returns None for keeps its traceback, and with ``--debug`` on the
    command line every error does. After `Interrupted`, the exit code is that of the signal.
    Whatever stands on a command line calls it first: a command's ``main``, a chapter's `arguments`.
    """
    previous = sys.excepthook

    def hook(kind, error, trace):  # type: ignore[no-untyped-def]
        global _told
        text = describe(error)
        if isinstance(error, Interrupted):
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # another one has no more to interrupt
            if str(error):
                say(printable(str(error)), sys.stderr)
            raise SystemExit(128 + error.signum)
        if text is None or "--debug" in sys.argv:
            previous(kind, error, trace)
        else:
            print(f"error: {printable(text)}", file=sys.stderr)
            _told = True

    sys.excepthook = hook


@contextmanager
def one_line_if_stopped() -> Iterator[None]:
    """Within the block, which trains, Ctrl-C or a signal to end ends a script with one sentence.

    All other errors stay as they are, and so does a notebook. Unless it comes, nothing is changed.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not in_notebook():
            print_sentences(lambda e: sentence(e) if isinstance(e, KeyboardInterrupt) else None)
        raise


@contextmanager
def one_line_if_interrupted() -> Iterator[None]:
    """Within the block, which imports what takes a while, Ctrl-C ends a script with one line.

    What a script does with Ctrl-C otherwise is settled only later, when it reads its options.
    Unless it comes, nothing is changed.
    """
    try:
        yield
    except KeyboardInterrupt:
        print_sentences()
        raise
