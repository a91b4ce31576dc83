"""What the NVIDIA driver says of the GPUs, before MXNet has run anything on them.

MXNet has no function that tells a GPU's architecture, so the driver's own library is asked.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import TYPE_CHECKING, NamedTuple, Sequence

if TYPE_CHECKING:  # this module is also for where MXNet cannot be imported
    from mxnet import Context

#: First and last major compute capability that MXNet 1.9.1 for CUDA 11.2 has machine code for.
CAPABILITIES = (5, 8)
#: Which GPUs CUDA lets a process see, by their numbers or names.
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: cuBLAS and cuDNN multiply float32 in TensorFloat-32, of 11 significant bits, unless this is 0.
TF32 = "NVIDIA_TF32_OVERRIDE"
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


@functools.lru_cache(maxsize=None)
def lacks_code(ctx: Context) -> bool:
    """Whether this is a GPU that MXNet has no machine code for. Asks the driver once for each."""
    driver = ask() if ctx.device_type == "gpu" else None
    if driver is None or ctx.device_id >= len(driver.gpus):
        return False
    return not driver.gpus[ctx.device_id].has_code


def names_of(ctxs: Sequence[Context]) -> list[str]:
    """What the driver calls those of the devices that are GPUs."""
    numbers = [ctx.device_id for ctx in ctxs if ctx.device_type == "gpu"]
    driver = ask() if numbers else None
    return [] if driver is None else [driver.gpus[i].name for i in numbers]


def keep_float32() -> None:
    """Keep float32 from being rounded to TensorFloat-32 if MXNet has no code for a GPU here.

    What is computed there can then be held against the CPU. NVIDIA's libraries read the variable
    when they are loaded. What the user has set stays.
    """
    driver = ask()
    if driver is not None and not all(gpu.has_code for gpu in driver.gpus):
        os.environ.setdefault(TF32, "0")


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
