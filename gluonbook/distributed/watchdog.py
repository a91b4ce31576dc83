"""Ends a process that would wait for ever, because another has stopped or cannot be reached."""

from __future__ import annotations

from contextlib import suppress
import os
import sys
import threading
import time

#: Exit code of a process that has waited too long, as the command ``timeout`` has it.
WAITED = 124


class Watchdog:
    """Ends this process once nothing has happened for `limit` seconds.

    A process waits for the others in MXNet's C++ code, where no handler of a signal is called, so
    a thread has to end it. The time for which this process itself was stopped, as by Ctrl-Z, does
    not count.

    Parameters
    ----------
    limit
        Seconds; may be changed at any time.
    sentence
        What to say on standard error before the end; ``{}`` is the limit.
    """

    def __init__(self, limit: float, sentence: str) -> None:
        self.limit = limit
        self._sentence = sentence
        self._idle = 0
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Say that something has happened."""
        self._idle = 0

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            self._idle += 1
            if self._idle > self.limit:
                sentence = self._sentence.format(self.limit)
                with suppress(OSError):
                    os.write(2, f"error: {sentence}\n".encode())
                end_now(WAITED)


def end_now(code: int) -> None:
    """End without waiting for anybody, as Python and MXNet do in an orderly end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
