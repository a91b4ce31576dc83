"""OpenMP's threads sleep while other processes hold the cores, and compute the same."""

import ctypes
import os

from gluonbook.system import contention
from gluonbook.system.contention import Usage, Watch, _used_on
import pytest

from ..conftest import python

#: Four processors; by the manual of /proc/stat: user, nice, system, idle, iowait, irq, softirq,
#: steal, guest, guest_nice, in ticks.
STAT = """cpu  1000 0 0 9000 0 0 0 0 0 0
cpu0 100 10 20 7000 5000 3 4 50 100 10
cpu1 300 0 0 1000 0 0 0 0 0 0
cpu10 9000 0 0 0 0 0 0 0 0 0
intr 12345 0 1
ctxt 77
"""


@pytest.fixture
def openmp() -> ctypes.CDLL:
    library = ctypes.CDLL("libgomp.so.1")
    library.GOMP_parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
    return library


def test_time_used_is_that_of_this_process_s_processors():
    per_second = os.sysconf("SC_CLK_TCK")
    assert _used_on({0}, STAT) == 187 / per_second  # not idle, not waiting for a disk
    assert _used_on({0, 1}, STAT) == 487 / per_second


def test_others_hold_what_this_process_has_not_used():
    before = Usage(10.0, everyone=100.0, own=40.0)
    assert Usage(12.0, everyone=104.0, own=41.0).others_since(before) == 1.5
    assert Usage(12.0, everyone=102.0, own=42.5).others_since(before) == 0.0  # rounded ticks
    assert Usage(10.1, everyone=100.2, own=40.0).others_since(before) == 0.0  # too soon to tell


def test_a_remark_names_the_cores_that_others_held(monkeypatch):
    monkeypatch.setattr(contention, "cores_to_spare", lambda: 1)
    assert contention.remark(1.2, "epoch 3") is None  # on the core to spare
    assert "other processes used 1.8 of the" in contention.remark(1.8, "epoch 3")
    assert "cores during epoch 3" in contention.remark(1.8, "epoch 3")


BURN = "import time\nwhile time.process_time() < 1: pass\nprint(flush=True)\ninput()"
CHILDREN = f"""
import subprocess, sys
from gluonbook.system.contention import usage
both = lambda: (usage(family=True).own, usage().own)
before = both()
child = subprocess.Popen([sys.executable, "-c", {BURN!r}], stdin=-1, stdout=-1)
child.stdout.readline()
alive = both()
child.communicate(b" ")
print(*(after - first for moment in (alive, both()) for after, first in zip(moment, before)))
"""


def test_what_a_process_has_started_counts_as_its_own_where_that_is_asked_for():
    result = python(CHILDREN, OMP_NUM_THREADS="1")
    alive, alone, done, still_alone = map(float, result.stdout.split())
    assert alive >= 0.9 and done >= alive, result.stderr
    assert alone < 0.9 and still_alone < 0.9


def test_a_system_that_does_not_tell_means_no_others(monkeypatch):
    before = contention.usage()
    monkeypatch.setattr(contention, "Path", lambda path: _Unreadable())
    assert contention.usage().others_since(contention.usage()) == 0.0
    assert before.everyone > 0


class _Unreadable:
    def read_text(self) -> str:
        raise OSError("not here")


def test_threads_sleep_while_others_hold_a_core_and_then_spin_again(openmp):
    watch = Watch(openmp, to_spare=0)
    states = []
    for others in (0.0, 0.2, 0.9, 0.2, 0.1, 0.2):  # what lies between the limits changes nothing
        watch.see(others)
        states.append(watch.sleeping)
    assert states == [False, False, True, True, False, False]


def test_cores_to_spare_may_be_held(openmp):
    watch = Watch(openmp, to_spare=3)
    watch.see(3.1)
    assert not watch.sleeping
    watch.see(3.5)
    assert watch.sleeping
    watch.see(0)


THREADS = """
import ctypes, os, time
from gluonbook.system.contention import ManyThreads
openmp = ctypes.CDLL("libgomp.so.1")
threads = lambda: set(os.listdir("/proc/self/task"))
before = threads()
many = ManyThreads(openmp)
added = threads() - before
many.close()
while threads() & added:  # a thread that has ended is listed for a moment more
    time.sleep(0.01)
print(len(added), openmp.omp_get_num_procs())
"""


def test_libgomp_has_more_threads_than_processors_and_none_are_left():
    """libgomp compares the two when a thread begins to wait, so that is what has to be true."""
    result = python(
        THREADS, OMP_NUM_THREADS="1"
    )  # with one thread nothing watches and adds its own
    added, processors = map(int, result.stdout.split())
    assert added == processors + 1, result.stderr


TRAIN = """
import ctypes, threading
import gluonbook as gb, mxnet as mx, numpy as np
from gluonbook.system.contention import ManyThreads
from gluonbook.measure.contenders import GluonForm
from gluonbook.recipes import RECIPES
openmp = ctypes.CDLL("libgomp.so.1")
X = np.random.RandomState(1).rand(64, 1, 28, 28).astype("float32")
y = np.arange(64, dtype="int32") % 10
mx.random.seed(1)
form = GluonForm(RECIPES["lenet"])
for step in range(20):
    many = ManyThreads(openmp) if {sleep} and step % 4 == 1 else None
    losses = form.train(X, y)
    if many: many.close()
print(losses.asnumpy().tobytes().hex())
"""


def test_sleeping_changes_no_number():
    spinning, sleeping = (
        python(TRAIN.format(sleep=sleep), OMP_NUM_THREADS="2") for sleep in (False, True)
    )
    assert spinning.returncode == sleeping.returncode == 0, sleeping.stderr
    assert spinning.stdout == sleeping.stdout


@pytest.mark.parametrize(
    "environment, watched",
    [
        ({"OMP_NUM_THREADS": "2"}, True),
        ({"OMP_NUM_THREADS": "1"}, False),
        ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "active"}, False),
        ({"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "1000"}, False),
    ],
)
def test_what_the_user_has_set_stands(environment, watched):
    asked = {"OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": "", **environment}
    result = python(
        "import gluonbook, threading; print([t.name for t in threading.enumerate()])", **asked
    )
    assert ("contention" in result.stdout) is watched, result.stderr
