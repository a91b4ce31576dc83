"""What the NVIDIA driver says of the GPUs, before MXNet has run anything on them.

MXNet has no function that tells a GPU's architecture, so the driver's own library is asked.
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

#: First and last major compute capability that MXNet 1.9.1 for CUDA 11.2 has machine code for.
CAPABILITIES = (5, 8)
#: Which GPUs CUDA lets a process see, by their numbers or names.
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: The driver's numbers of these attributes (``CUdevice_attribute`` in CUDA's headers).
_MAJOR, _MINOR = 75, 76


class Gpu(NamedTuple):
    """One GPU."""

    name: str
    capability: tuple[int, int]
    """Compute capability, major and minor: (9, 0) for the H100."""

    @property
    def has_code(self) -> bool:
        """Whether MXNet has machine code for its architecture."""
        first, last = CAPABILITIES
        return first <= self.capability[0] <= last


class Driver(NamedTuple):
    """The driver, and the GPUs that it lets this process see."""

    cuda: str
    """The newest CUDA that it supports, such as ``"12.4"``."""
    code: int
    """0, or the error with which it refused to list the GPUs."""
    gpus: list[Gpu]


def ask() -> Driver | None:
    """What the driver says, or None where there is none."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    code = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if code != 0:
        return Driver(cuda, code, [])
    return Driver(cuda, 0, [_gpu(library, i) for i in range(count.value)])


def share_of(number: int) -> dict[str, str]:
    """The variable that lets a process see one GPU only, for process `number` of this machine.

    It is empty where there are not several. More processes than GPUs share them.
    """
    driver = ask()
    if driver is None or len(driver.gpus) < 2:
        return {}
    seen = os.environ.get(VISIBLE)
    names = seen.split(",") if seen else [str(i) for i in range(len(driver.gpus))]
    return {VISIBLE: names[number % len(driver.gpus)]}


def _gpu(library: ctypes.CDLL, i: int) -> Gpu:
    name, major, minor = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
    library.cuDeviceGetName(name, 100, i)
    library.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, i)
    library.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, i)
    return Gpu(name.value.decode(), (major.value, minor.value))
