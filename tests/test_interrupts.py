"""The first signal is a request, the second ends the process, and ignored ones stay ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from gluonbook.interrupts import Interrupted, requests
import pytest

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
from gluonbook.interrupts import requests
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
