"""Cores and memory as a container's files state them."""

from __future__ import annotations

import os
import resource

from gluonbook.system import machine
import psutil
import pytest


@pytest.fixture
def cgroup(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu_DOT_max": "max 100000\n"}, 8),
        ({"cpu_DOT_max": "150000 100000\n"}, 2),
        ({"cpu_DOT_max": "20000 100000\n"}, 1),
        ({"cpu__cpu_DOT_cfs_quota_us": "300000", "cpu__cpu_DOT_cfs_period_us": "100000"}, 3),
        ({"cpu__cpu_DOT_cfs_quota_us": "-1", "cpu__cpu_DOT_cfs_period_us": "100000"}, 8),
    ],
)
def test_cores_within_a_cpu_quota(cgroup, monkeypatch, files, cores):
    cgroup(**files)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 16 if logical else 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    assert machine.physical_cores() == cores


def test_cores_within_an_affinity_mask(cgroup, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert machine.physical_cores() == 1


@pytest.mark.parametrize(
    "files",
    [
        {"memory_DOT_max": "1000000", "memory_DOT_current": "400000"},
        {
            "memory__memory_DOT_limit_in_bytes": "1000000",
            "memory__memory_DOT_usage_in_bytes": "400000",
        },
    ],
)
def test_memory_within_a_control_group(cgroup, files):
    cgroup(**files)
    assert machine.available_memory() == 600_000


def test_memory_within_ulimit(cgroup, monkeypatch):
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (used + 2**20, -1))
    assert abs(machine.available_memory() - 2**20) < 2**20


def test_memory_without_limits_is_the_systems(cgroup):
    assert machine.available_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_description_names_the_processor():
    description = machine.describe()
    with open("/proc/cpuinfo") as file:
        assert f": {description['processor']}\n" in file.read()
    assert description["cores"] == machine.physical_cores()
