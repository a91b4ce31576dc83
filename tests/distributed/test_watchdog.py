"""A process that waits too long ends."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

from gluonbook.distributed import watchdog

#: Runs the module alone, so that nothing else has to be imported.
MODULE = f"import runpy; Watchdog = runpy.run_path({str(Path(watchdog.__file__))!r})['Watchdog']\n"


def ended(code):
    command = [sys.executable, "-c", MODULE + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_process_in_which_nothing_happens_ends_with_a_sentence():
    done = ended("import threading; Watchdog(1, 'waited {} s'); threading.Event().wait()")
    assert (done.returncode, done.stderr) == (124, "error: waited 1 s\n")


def test_a_process_that_gets_on_does_not_end():
    code = """
import time
dog = Watchdog(2, "waited {} s")
for _ in range(40):
    time.sleep(0.1)
    dog.beat()
"""
    assert ended(code).returncode == 0
