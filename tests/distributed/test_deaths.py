"""A process that dies, stands still or cannot be reached ends the run it is part of."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import psutil
import pytest

from ..conftest import CHAPTERS
from .test_launch import LAUNCH, SMALL, started

pytestmark = pytest.mark.slow
SCRIPT = (CHAPTERS / "lenet.py", *SMALL, "--epochs", "1000", "--save-every", "5")


def wait_for_an_epoch(process):
    for line in process.stdout:
        if line.startswith("epoch 1,"):
            return
    pytest.fail(process.stderr.read())


def running(tmp_path, timeout="60"):
    """A run of two workers that trains, and its processes by role and number."""
    launches = (*LAUNCH, "--workers", "2", "--timeout", timeout, "--", *SCRIPT)
    process = started(*launches, "--out", tmp_path / "runs", cwd=tmp_path)
    wait_for_an_epoch(process)
    family = psutil.Process(process.pid).children()
    found = {}
    for one in family:
        variables = one.environ()
        if "DMLC_ROLE" in variables:
            found[variables["DMLC_ROLE"] + variables.get("GLUONBOOK_RANK", "")] = one
    return process, found, family


@pytest.mark.parametrize("role", ["worker0", "worker1", "server", "scheduler"])
def test_the_death_of_a_process_ends_the_run(role, tmp_path):
    process, found, family = running(tmp_path)
    found[role].kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 137
    assert f"(process {found[role].pid}) was killed by SIGKILL, so the run" in errors
    assert psutil.wait_procs(family, timeout=60)[1] == []


@pytest.mark.parametrize("role", ["worker0", "worker1", "server"])
def test_a_process_that_is_stopped_ends_the_run(role, tmp_path):
    process, found, family = running(tmp_path, timeout="5")
    found[role].send_signal(signal.SIGSTOP)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 124
    assert f"(process {found[role].pid}) is stopped, so the run has been ended" in errors
    assert psutil.wait_procs(family, timeout=60)[1] == []


def test_ctrl_c_saves_on_all_workers_after_the_same_batch(tmp_path):
    process, found, _ = running(tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted in epoch" in errors
    assert "go on with `python -m gluonbook.launch --workers 2 -- " in errors


@pytest.fixture
def cut(tmp_path):
    """Two network namespaces, as two machines of one network, and a function that cuts it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root, and ip: apt-get install iproute2")
    names = [f"gluonbook-{os.getpid()}-{i}" for i in range(2)]
    ends = [f"gb{os.getpid()}.{i}" for i in range(2)]

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(names, ends), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            for device in (end, "lo"):
                ip("-n", name, "link", "set", device, "up")
        yield names, lambda: ip("-n", names[0], "link", "set", ends[0], "down")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs network namespaces: {error.stderr.decode()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_a_network_that_is_cut_ends_the_run_on_both_sides(cut, tmp_path):
    names, cut_it = cut
    sides = [
        started(
            *("ip", "netns", "exec", name, *LAUNCH, "--root", "10.77.0.1:9091", "--timeout", "5"),
            *("--", *SCRIPT, "--out", tmp_path / "runs"),
            cwd=tmp_path,
            RANK=str(rank),
            WORLD_SIZE="2",
        )
        for rank, name in enumerate(names)
    ]
    wait_for_an_epoch(sides[0])
    cut_it()
    for rank, side in enumerate(sides):
        _, errors = side.communicate(timeout=120)
        assert side.returncode == 124
        assert f"worker {rank} of 2 has waited 5 s for the others" in errors
