"""Ctrl-C and termination signals: the first asks a training to stop, a second one stops it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
import os
import select
import signal
import threading
from types import FrameType
from typing import Callable, Iterator

#: Ctrl-C, the end of a job, and a terminal that was closed.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(KeyboardInterrupt):
    """A training stopped because a signal asked it to; the message says how to go on."""

    def __init__(self, signum: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.signum = signum


class Request:
    """The signal that has asked the training to stop, if one has."""

    signum: int | None = None

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.signum is not None:
            raise Interrupted(self.signum)


@contextmanager
def requests() -> Iterator[Request]:
    """Within the block the first signal only sets the request. The same signal a second time ends
    the process, so Ctrl-C and SIGTERM that arrive together are one request.

    A signal that was ignored before, as ``nohup`` does with SIGHUP, stays ignored. Outside of
    the main thread, where Python sees no signals, nothing is changed.
    """
    request = Request()

    def note(signum: int, frame: FrameType | None) -> None:
        first = request.signum is None
        request.signum = request.signum or signum
        signal.signal(signum, signal.SIG_DFL)  # which works even while MXNet computes
        if first:
            _tell(b"\nfinishing the batch and saving; once more stops at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    with handled_by(note):
        yield request


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within the block, `handler` takes the `SIGNALS` that were not ignored before."""
    taken = [signum for signum in SIGNALS if signal.getsignal(signum) not in (signal.SIG_IGN, None)]
    before = {signum: signal.signal(signum, handler) for signum in taken}
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)


def _tell(line: bytes) -> None:
    """Write to standard error if it takes a line now: a handler must neither fail nor wait.

    Not by print, since the signal may have come in the middle of one.
    """
    with suppress(OSError):
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if any(event == select.POLLOUT for _, event in poll.poll(0)):
            os.write(2, line)
