"""The cores and the memory of this machine, and what a container leaves of them."""

from __future__ import annotations

import math
import os
from pathlib import Path
import platform
import sys

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def physical_cores() -> int:
    """Number of physical cores that this process may use, at least 1.

    Counts neither hyper-threads, nor cores outside the process's affinity mask, nor more cores
    than a container's CPU quota (control groups, version 1 and 2) pays for.
    """
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, math.ceil(min(cores, _cpu_quota())))


def _cpu_quota() -> float:
    """Cores' worth of time that a control group grants, or infinity."""
    try:
        if (_CGROUP / "cpu.max").exists():
            quota, period = (_CGROUP / "cpu.max").read_text().split()
        else:
            quota = (_CGROUP / "cpu/cpu.cfs_quota_us").read_text()
            period = (_CGROUP / "cpu/cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no control group, or its quota is the word "max"
        return math.inf


#: What the driver of NVIDIA shows on Linux, and in the Linux of Windows.
_NVIDIA = (Path("/proc/driver/nvidia/gpus"), Path("/usr/lib/wsl/lib/libcuda.so.1"))


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver is loaded, even if MXNet cannot use the GPU."""
    return any(path.exists() for path in _NVIDIA)


def describe() -> dict[str, object]:
    """The machine as a result names it: processor, cores, memory and system."""
    return {
        "processor": _cpu_info("model name") or platform.processor() or platform.machine(),
        "cores": physical_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def as_root(command: str) -> str:
    """How this user runs a command that only root may. Root in a container has no sudo."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def peak_resident() -> int:
    """Greatest resident size of this process so far, in bytes.

    getrusage will not do: its figure begins with the parent's.
    """
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status states no VmHWM")


def available_memory() -> int:
    """Bytes that this process may still take without swapping.

    The least of what the system has free, what a control group (version 1 and 2) leaves, and
    what ``ulimit -v`` leaves.
    """
    return int(min(psutil.virtual_memory().available, _cgroup_memory(), _address_space()))


def _cgroup_memory() -> float:
    """Bytes that a control group leaves, or infinity."""
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return int((_CGROUP / limit).read_text()) - int((_CGROUP / usage).read_text())
        except (OSError, ValueError):  # no such control group, or its limit is the word "max"
            continue
    return math.inf


def _address_space() -> float:
    """Bytes that ``ulimit -v`` leaves, or infinity."""
    if sys.platform == "win32":
        return math.inf
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return limit - psutil.Process().memory_info().vms


#: Flags of the kernel and the names under which the manuals know them.
_INSTRUCTIONS = {
    "sse4_2": "SSE4.2",
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
}


def instruction_sets() -> list[str]:
    """The vector and matrix instructions that the processor has; empty if that is not known."""
    flags = set(_cpu_info("flags").split())
    return [name for flag, name in _INSTRUCTIONS.items() if flag in flags]


def _cpu_info(name: str) -> str:
    """A line of ``/proc/cpuinfo``, for the first processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.split(":")[0].strip() == name:
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""
