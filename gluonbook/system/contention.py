"""Lets OpenMP's threads sleep rather than spin while other processes need the cores.

MXNet divides an operator among a team of OpenMP threads, which wait for each other at its end.
Waiting threads spin, which is fastest while each has a core of its own. If one has to share its
core with another process, the others spin on and take the time it needs to finish. LeNet, whose
operators take 40 microseconds, then trains up to a hundred times slower.

libgomp, the OpenMP library of MXNet, spins briefly and then sleeps where it counts more threads of
its own than processors. Idle threads are enough for that, and neither they nor the way of waiting
change what is computed.
"""

from __future__ import annotations

from contextlib import suppress
import ctypes
import os
from pathlib import Path
import threading
import time
from typing import NamedTuple

import psutil

#: Seconds between two readings. Over a shorter time the system's clock ticks are too coarse.
PERIOD = 0.5
#: The threads sleep when other processes use more spare cores than the first number, and spin
#: again when they use less than the second.
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
        """Cores that others used since then, on average; 0 if that is less than `PERIOD` ago."""
        seconds = self.at - before.at
        used = (self.everyone - before.everyone) - (self.own - before.own)
        return max(0.0, used / seconds) if seconds >= PERIOD else 0.0


def usage(*, family: bool = False) -> Usage:
    """The time used up to now. Where the system does not report it, others seem to use none.

    With `family`, the processes that this one has started count as its own: a loader's workers.
    """
    own = time.process_time() + (_used_by_children() if family else 0.0)
    try:
        everyone = _used_on(os.sched_getaffinity(0), Path("/proc/stat").read_text())
    except (AttributeError, OSError, ValueError):
        everyone = own
    return Usage(time.monotonic(), everyone, own)


def _used_by_children() -> float:
    """Seconds of the processes that this one has started: those alive, and those waited for."""
    done = os.times()
    seconds = done.children_user + done.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            times = child.cpu_times()
            seconds += times.user + times.system
    return seconds


def remark(
    others: float,
    when: str,
    outcome: str = "it took longer than it would on a free machine",
) -> str | None:
    """A sentence, if other processes used so many cores that a time taken then says little.

    `outcome` is what follows from that.
    """
    if others - cores_to_spare() <= _SLEEP_ABOVE:
        return None
    return (
        f"other processes used {others:.1f} of the {_num_processors()} cores during {when}: "
        f"{outcome}"
    )


def cores_to_spare() -> int:
    """Processors that this process may use, less the threads of a team."""
    return _num_processors() - _num_threads()


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _num_threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0])


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
        # The team belongs to the thread that asked for it. Its result is not used.
        team = self._openmp.omp_get_num_procs() + 1
        self._openmp.GOMP_parallel(self._openmp.omp_get_thread_num, None, team, 0)
        started.set()
        self._end.wait()


class Watch:
    """Makes the threads sleep while other processes use too many cores.

    Parameters
    ----------
    openmp
        The OpenMP library that MXNet has loaded.
    to_spare
        Cores that others may use without slowing this process; see `cores_to_spare`.
    """

    def __init__(self, openmp: ctypes.CDLL, to_spare: int) -> None:
        self._openmp, self._to_spare = openmp, to_spare
        self._many: ManyThreads | None = None

    @property
    def sleeping(self) -> bool:
        """Whether the threads sleep rather than spin."""
        return self._many is not None

    def see(self, others: float) -> None:
        """Let the threads sleep or spin, by the cores that others use."""
        excess = others - self._to_spare
        if self._many is None and excess > _SLEEP_ABOVE:
            self._many = ManyThreads(self._openmp)
        elif self._many is not None and excess < _SPIN_BELOW:
            self._many.close()
            self._many = None

    def run(self) -> None:
        """Check every `PERIOD` seconds until the process ends."""
        before = usage()
        while True:
            time.sleep(PERIOD)
            now = usage()
            self.see(now.others_since(before))
            before = now


def watch() -> None:
    """Start a `Watch` in a thread, unless the user has set how OpenMP's threads wait.

    Does nothing where a team has one thread, or MXNet's OpenMP library is not libgomp.
    """
    if _num_threads() < 2 or {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        return
    try:
        openmp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        openmp.GOMP_parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
    except (AttributeError, OSError):  # another build of MXNet, or not Linux
        return
    watch = Watch(openmp, cores_to_spare())
    threading.Thread(target=watch.run, name="contention", daemon=True).start()
