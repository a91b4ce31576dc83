"""The first signal is a request, the second ends the process, and ignored ones stay ignored."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

from gluonbook.system.interrupts import Interrupted, requests
import pytest

from ..conftest import NO_TORCH

pytestmark = pytest.mark.usefixtures("terminal_signals")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_a_request(signum, capfd):
    before = signal.getsignal(signum)
    with requests() as request:
        request.check()
        os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted) as stop:
            request.check()
    assert stop.value.signum == signum
    assert isinstance(stop.value, KeyboardInterrupt)
    assert "once more stops at once" in capfd.readouterr().err
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_second_ends_the_process_even_in_native_code(signum):
    code = f"""
import ctypes, os, threading, time
from gluonbook.system.interrupts import requests
def twice():
    for _ in range(2):
        time.sleep(0.3)
        os.kill(os.getpid(), {int(signum)})
with requests():
    threading.Thread(target=twice, daemon=True).start()
    time.sleep(0.4)
    ctypes.CDLL(None).poll(None, 0, 20000)  # as MXNet does: no Python while it lasts
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signum


@pytest.mark.parametrize("pair", [(2, 15), (15, 2), (1, 15), (15, 1, 2)])
def test_signals_of_several_kinds_are_one_request(pair):
    """As when a job's end and Ctrl-C come together; the first gives the exit code."""
    with requests() as request:
        for signum in pair:
            os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted) as stop:
            request.check()
    assert stop.value.signum == pair[0]


@pytest.mark.parametrize("kind", ["a full device", "no reader", "a reader that is stuck", "closed"])
def test_a_signal_is_noted_whatever_standard_error_has_become(kind):
    """In a process of its own, whose descriptor 2 is that. Nothing may be raised, nor wait."""
    made = {
        "a full device": "full = os.open('/dev/full', os.O_WRONLY); os.dup2(full, 2)",
        "no reader": "r, w = os.pipe(); os.close(r); os.dup2(w, 2)",
        "a reader that is stuck": (
            "r, w = os.pipe(); os.set_blocking(w, False)\n"
            "try:\n"
            "    while True: os.write(w, bytes(4096))\n"
            "except BlockingIOError: os.set_blocking(w, True); os.dup2(w, 2)"
        ),
        "closed": "os.close(2)",
    }[kind]
    code = f"""
import os, signal
from gluonbook.system.interrupts import requests
{made}
with requests() as request:
    os.kill(os.getpid(), signal.SIGTERM)
    print(request.signum)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"15\n")


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with requests() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            request.check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_of_the_main_thread_nothing_is_changed():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with requests():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


#: Python code that sends Ctrl-C as the import of a module begins.
INTERRUPT = """\
import os, signal, sys

class Interrupt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt)
"""
ROOT = Path(__file__).parents[2]
CHAPTER, EXERCISE = ROOT / "chapters" / "lenet.py", ROOT / "chapters" / "exercises" / "tuning.py"


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ([CHAPTER], "numpy"),
        ([CHAPTER], "mxnet.symbol"),
        ([CHAPTER], "tqdm"),
        ([CHAPTER], "gluonbook.cli.options"),
        ([EXERCISE], "matplotlib.figure"),
        (["-m", "gluonbook.launch", "--", CHAPTER], "psutil"),
        (["-m", "gluonbook.predict", "run"], "gluonbook.predictions.classifier"),
        (["-m", "gluonbook.doctor"], "mxnet.gluon"),
        pytest.param(
            ["-m", "gluonbook.compare", "lenet"],
            "torch.nn",
            marks=pytest.mark.skipif(not importlib.util.find_spec("torch"), reason=NO_TORCH),
        ),
    ],
)
def test_ctrl_c_during_the_import_is_one_line(program, module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, *map(str, program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "INTERRUPTED_AT": module},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stderr == "error: interrupted\n" and result.stdout == ""
    assert result.returncode == -signal.SIGINT  # 130 in a shell


def test_importing_changes_nothing_where_no_ctrl_c_comes():
    code = "import sys, gluonbook.cli.exercise; print(sys.excepthook is sys.__excepthook__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "True\n", result.stderr
