"""Lets OpenMP's threads sleep rather than spin while other processes need the cores.

An operator of MXNet is divided among a team of OpenMP threads, which wait for each other at its
end. They wait by spinning, which is fastest as long as each has a core. If one must share its core
with another process, the rest spin away the time that it needs to arrive: LeNet, whose operators
take 40 microseconds, then trains at down to a hundredth of its speed.

libgomp, the OpenMP library of MXNet, spins briefly and then sleeps where it counts more threads of
its own than processors. Idle threads are enough for that, and neither they nor the way of waiting
change what is computed.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
import threading
import time
from typing import NamedTuple

#: Seconds between two looks at what the other processes do.
PERIOD = 0.5
#: Cores that others must hold, beyond those that are to spare, before the threads sleep; and those
#: that they may hold when the threads spin again.
_SLEEP_ABOVE, _SPIN_BELOW = 0.3, 0.15


class Usage(NamedTuple):
    """Processor time used up to some moment, in seconds."""

    at: float
    """The moment, by the system's clock that only goes forward."""
    everyone: float
    """What all processes used on the processors of this one, and a hypervisor for others."""
    own: float
    """What this process used."""

    def others_since(self, before: Usage) -> float:
        """Cores that other processes have held since then, on average."""
        seconds = self.at - before.at
        used = (self.everyone - before.everyone) - (self.own - before.own)
        return max(0.0, used / seconds) if seconds > 0 else 0.0


def usage() -> Usage:
    """What has been used up to now. Where the system does not tell, others seem to use nothing."""
    own = time.process_time()
    try:
        everyone = _used_on(os.sched_getaffinity(0), Path("/proc/stat").read_text())
    except (AttributeError, OSError, ValueError):
        everyone = own
    return Usage(time.monotonic(), everyone, own)


def _used_on(processors: set[int], stat: str) -> float:
    """Seconds that `processors` were not idle, by the text of ``/proc/stat``."""
    ticks = 0
    for line in stat.splitlines():
        name, *values = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in processors:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


class ManyThreads:
    """More OpenMP threads than processors, so that libgomp's threads sleep soon; they are idle."""

    def __init__(self, openmp: ctypes.CDLL) -> None:
        self._openmp = openmp
        self._end = threading.Event()
        started = threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    def close(self) -> None:
        """End them, and return when libgomp no longer counts them."""
        self._end.set()
        self._thread.join()

    def _hold(self, started: threading.Event) -> None:
        # The team stays with the thread that asked for it. What it does is of no account.
        team = self._openmp.omp_get_num_procs() + 1
        self._openmp.GOMP_parallel(self._openmp.omp_get_thread_num, None, team, 0)
        started.set()
        self._end.wait()


class Watch:
    """Looks at what other processes hold, and has the threads sleep as long as it is too much.

    Parameters
    ----------
    openmp
        The OpenMP library that MXNet has loaded.
    to_spare
        Processors that this process may use, less the threads of a team.
    """

    def __init__(self, openmp: ctypes.CDLL, to_spare: int) -> None:
        self._openmp, self._to_spare = openmp, to_spare
        self._many: ManyThreads | None = None

    @property
    def sleeping(self) -> bool:
        """Whether the threads sleep rather than spin."""
        return self._many is not None

    def see(self, others: float) -> None:
        """Act on the cores that others hold."""
        excess = others - self._to_spare
        if self._many is None and excess > _SLEEP_ABOVE:
            self._many = ManyThreads(self._openmp)
        elif self._many is not None and excess < _SPIN_BELOW:
            self._many.close()
            self._many = None

    def run(self) -> None:
        """Look again and again, for as long as the process lives."""
        before = usage()
        while True:
            time.sleep(PERIOD)
            now = usage()
            self.see(now.others_since(before))
            before = now


def watch() -> None:
    """Begin to watch, in a thread, unless the user has said how OpenMP's threads wait.

    Does nothing where a team has one thread, or MXNet's OpenMP library is not libgomp.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0])
    if threads < 2 or {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        return
    try:
        openmp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        openmp.GOMP_parallel.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_uint,
        ]
        to_spare = len(os.sched_getaffinity(0)) - threads
    except (AttributeError, OSError):  # another build of MXNet, or not Linux
        return
    threading.Thread(target=Watch(openmp, to_spare).run, name="contention", daemon=True).start()
