"""The processes of a run on one machine, all of which end as soon as one of them has died.

ps-lite notices no death: the processes that are left wait for ever. If the supervisor is killed,
the kernel kills its children, and a helper process reports it. That process also removes the
sockets of processes that were killed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
import os
import signal
import subprocess
import sys
import tempfile
import time
from types import FrameType
from typing import IO, Mapping, Sequence

import psutil

from ..system.interrupts import handled_by
from .environment import BIND_FAILED, TRY_AGAIN, socket_of
from .watchdog import WAITED

#: Seconds between two looks at the processes.
_PERIOD = 0.1
#: Seconds that the others have to end by themselves once one has failed, and once the first worker
#: is done.
_GRACE, _CLOSING = 2.0, 15.0
_ADVICE = "so the run has been ended; --resume RUN goes on from what it has saved"

#: Python code that asks the kernel to kill this process with its parent (PR_SET_PDEATHSIG), and
#: becomes the program of its arguments.
_TIED = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
#: Python code that says its argument if its input ends without a dot, and in any case removes the
#: files whose names came before.
_WITNESS = """\
import os, sys
lines = set(sys.stdin.read().split())
if "." not in lines:
    os.write(2, sys.argv[1].encode())
for path in filter(os.path.exists, lines - {"."}):
    os.unlink(path)
"""


class CouldNotBind(Exception):
    """A process found its address taken, before the run began. All have been ended."""


@dataclass
class _Process:
    name: str
    is_worker: bool
    popen: subprocess.Popen[bytes]
    errors: IO[bytes] | None
    """What it has written to standard error, if that is not shown at once."""

    @property
    def code(self) -> int | None:
        return self.popen.poll()

    def said(self) -> str:
        if self.errors is None:
            return ""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def is_stopped(self) -> bool:
        with suppress(psutil.Error):
            return psutil.Process(self.popen.pid).status() == psutil.STATUS_STOPPED
        return False

    def kill(self) -> None:
        """Kill it and what it has started: it has a session, and so a process group, of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def __str__(self) -> str:
        return f"{self.name} (process {self.popen.pid})"


class Supervisor:
    """Starts processes, and ends all of them when one fails.

    Parameters
    ----------
    timeout
        Seconds that the workers have to save and end after a first signal.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._processes: list[_Process] = []
        self._asked: list[int] = []
        sentence = f"error: the launcher (process {os.getpid()}) was killed, {_ADVICE}\n"
        self._witness = subprocess.Popen(
            [sys.executable, "-S", "-c", _WITNESS, sentence],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        is_worker: bool = False,
        shown: bool = False,
    ) -> None:
        """Start a process. Unless it is `shown`, its errors are kept, and its other output lost."""
        self._tell_witness(socket_of(variables))
        errors = None if shown else tempfile.TemporaryFile()  # noqa: SIM115
        popen = subprocess.Popen(
            [sys.executable, "-S", "-c", _TIED, str(os.getpid()), *command],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # so that Ctrl-C reaches this process alone
        )
        self._processes.append(_Process(name, is_worker, popen, errors))

    def run(self) -> int:
        """Wait for the end; the exit code: 0, or that of the process that failed first.

        Raises
        ------
        CouldNotBind
            If a process could not bind its address.
        """
        with handled_by(self._ask):
            try:
                return self._wait()
            finally:
                self._kill()

    def _wait(self) -> int:
        asked_at = done_at = None
        while True:
            now = time.monotonic()
            failed = [process for process in self._processes if process.code not in (None, 0)]
            running = [process for process in self._workers if process.code is None]
            if self._asked:
                asked_at = asked_at or now
                late = len(self._asked) > 1 or now - asked_at > self._timeout
                if not running or late or any(not process.is_worker for process in failed):
                    return 128 + self._asked[0]
            elif failed:
                return self._fail(failed)
            elif self._workers[0].code == 0:
                done_at = done_at or now
                alive = any(process.code is None for process in self._processes)
                if not alive or now - done_at > _CLOSING:
                    return 0
            time.sleep(_PERIOD)

    @property
    def _workers(self) -> list[_Process]:
        return [process for process in self._processes if process.is_worker]

    def _fail(self, failed: list[_Process]) -> int:
        """Say who has failed, and give the exit code."""
        if any(process.code == TRY_AGAIN or BIND_FAILED in process.said() for process in failed):
            raise CouldNotBind
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and any(p.code is None for p in self._processes):
            time.sleep(_PERIOD)
        stopped = [process for process in self._processes if process.is_stopped()]
        # A process that was killed says nothing, and is a cause; one that ended has a reason.
        first = min(failed, key=lambda process: process.code or 0)
        code = first.code or 0
        if code == WAITED and stopped:
            _tell(f"{stopped[0]} is stopped")
        elif code < 0 or first.errors is not None:
            print(first.said(), end="", file=sys.stderr)
            how = f"was killed by {_name(-code)}" if code < 0 else f"ended with exit code {code}"
            _tell(f"{first} {how}")
        return code if code > 0 else 128 - code

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.popen.wait()
            if process.errors is not None:
                process.errors.close()
        self._witness.communicate(b".\n")

    def _tell_witness(self, path: str | None) -> None:
        if path is not None and self._witness.stdin is not None:
            self._witness.stdin.write(f"{path}\n".encode())
            self._witness.stdin.flush()

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        """Let a first signal ask the workers to save and end; a second one ends all."""
        self._asked.append(signum)
        for process in self._workers:
            if process.popen.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(process.popen.pid, signal.SIGTERM)


def _tell(sentence: str) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)  # a progress bar may stand in this line
    print(f"error: {sentence}, {_ADVICE}", file=sys.stderr)


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
