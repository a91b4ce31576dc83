"""When one process fails, all end, and a sentence says who."""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
import time

from gluonbook.distributed.supervisor import CouldNotBind, Supervisor
import psutil
import pytest

FOREVER = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def _signals(terminal_signals):
    pass


def supervised(codes, timeout=60.0):
    """A supervisor of workers that run these lines of Python; the first one is shown."""
    supervisor = Supervisor(timeout)
    for rank, code in enumerate(codes):
        supervisor.start(
            f"worker {rank} of {len(codes)}",
            [sys.executable, "-S", "-c", code],
            {},
            is_worker=True,
            shown=rank == 0,
        )
    return supervisor


def test_the_sockets_of_processes_that_were_killed_are_removed(tmp_path, monkeypatch):
    socket = tmp_path / "socket"
    socket.touch()
    monkeypatch.setattr("gluonbook.distributed.supervisor.socket_of", lambda variables: socket)
    assert supervised(["pass", "pass"]).run() == 0
    assert not socket.exists()


def test_all_have_done_their_work():
    assert supervised(["pass", "print('not shown')"]).run() == 0


def killing(signum):
    return f"import os; os.kill(os.getpid(), {int(signum)})"


@pytest.mark.parametrize(
    ("codes", "exit_code", "said"),
    [
        ([FOREVER, killing(signal.SIGKILL)], 137, r"worker 1 of 2 \(process .*by SIGKILL"),
        ([killing(signal.SIGSEGV), FOREVER], 139, r"worker 0 of 2 \(process .*by SIGSEGV"),
        (
            [FOREVER, "import sys; sys.exit('error: no room')"],
            1,
            r"error: no room\nerror: worker 1 of 2 \(process \d+\) ended with exit code 1, so",
        ),
        # A worker that stands still, and another that has waited for it.
        (
            ["import time; time.sleep(1); raise SystemExit(124)", killing(signal.SIGSTOP)],
            124,
            r"worker 1 of 2 \(process \d+\) is stopped, so the run has been ended",
        ),
        # What the first one says of itself has been shown.
        (["raise SystemExit(2)", FOREVER], 2, None),
    ],
)
def test_one_that_fails_ends_all(codes, exit_code, said, capfd):
    before = psutil.Process().children()  # Python 3.14 has one of its own
    supervisor = supervised(codes)
    children = [child for child in psutil.Process().children() if child not in before]
    assert len(children) >= len(codes)
    assert supervisor.run() == exit_code
    assert not any(child.is_running() for child in children)
    error = capfd.readouterr().err
    if said is None:
        assert error == ""
    else:
        assert re.search(said, error)


def test_an_address_that_is_taken_is_no_failure_of_the_run():
    with pytest.raises(CouldNotBind):
        supervised([FOREVER, "import sys; sys.exit('van.cc: Check failed: bind failed')"]).run()
    with pytest.raises(CouldNotBind):
        supervised(["raise SystemExit(75)", FOREVER]).run()


#: A launcher with two workers that never end; it prints their numbers.
LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from tests.distributed.test_supervisor import FOREVER, supervised
import psutil
supervisor = supervised([FOREVER] * 2)
print(*[child.pid for child in psutil.Process().children()], flush=True)
supervisor.run()
"""


def test_a_launcher_that_is_killed_leaves_nothing_behind():
    code = LAUNCHER.format(root=str(Path(__file__).parents[2]))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = [psutil.Process(int(number)) for number in process.stdout.readline().split()]
    process.kill()
    said = process.communicate(timeout=120)[1]  # until nobody holds the pipe any more
    _, alive = psutil.wait_procs(children, timeout=120)
    assert alive == []
    assert f"error: the launcher (process {process.pid}) was killed, so the run" in said


#: A worker that takes a signal as a training does: it saves, and ends. A stubborn one does not end.
SAVING = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path({folder!r}, "saved").touch()
    if not {stubborn}:
        sys.exit(128 + 15)
signal.signal(signal.SIGTERM, save)
pathlib.Path({folder!r}, "ready").touch()
time.sleep(600)
"""


def signal_when(path, signum):
    """Signal this process once a file is there."""

    def wait():
        while not path.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signum)

    threading.Thread(target=wait, daemon=True).start()


def test_a_signal_lets_the_workers_save(tmp_path):
    supervisor = supervised([SAVING.format(folder=str(tmp_path), stubborn=False)])
    signal_when(tmp_path / "ready", signal.SIGINT)
    assert supervisor.run() == 130
    assert (tmp_path / "saved").exists()


def test_a_second_signal_does_not_wait_for_them(tmp_path):
    supervisor = supervised([SAVING.format(folder=str(tmp_path), stubborn=True)], timeout=3600)
    signal_when(tmp_path / "ready", signal.SIGTERM)
    signal_when(tmp_path / "saved", signal.SIGHUP)
    assert supervisor.run() == 143
