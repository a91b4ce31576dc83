"""Makes ``import mxnet`` work on this machine, and says why when it cannot.

MXNet 1.9.1 was released for the Python, NumPy and CUDA of early 2022. Importing this module sets
the number of threads, gives MXNet the names that it misses in NumPy and the standard library, loads
the CUDA libraries that were installed as wheels, and then imports MXNet. If that fails, the import
raises an error, except in ``python -m gluonbook.doctor``, which reports it.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
from importlib import metadata
import importlib.machinery
import importlib.util
import logging
import os
from pathlib import Path
import platform
import re
import sys
import sysconfig
import types

import numpy as np
import psutil

from . import nvidia_driver, old_names
from .contention import watch
from .errors import Failure, print_sentences, told
from .lazy_import import lazy_import
from .machine import as_root, physical_cores

log = logging.getLogger("gluonbook")

#: Libraries that ``mxnet-cu112`` links to and that come as wheels, in the order of their needs.
CUDA_WHEELS = {
    "libcudart.so.11.0": "nvidia-cuda-runtime-cu11==11.8.89",
    "libnvToolsExt.so.1": "nvidia-nvtx-cu11==11.8.86",
    "libnvrtc.so.11.2": "nvidia-cuda-nvrtc-cu11==11.8.89",
    "libcublas.so.11": "nvidia-cublas-cu11==11.11.3.6",
    "libcufft.so.10": "nvidia-cufft-cu11==10.9.0.58",
    "libcurand.so.10": "nvidia-curand-cu11==10.3.0.86",
    "libcusolver.so.11": "nvidia-cusolver-cu11==11.4.1.48",
    "libcudnn.so.8": "nvidia-cudnn-cu11==8.9.6.50",
    "libnccl.so.2": "nvidia-nccl-cu11==2.21.5",
}
#: Libraries that come with the system, and their packages in Debian and Fedora.
_SYSTEM_PACKAGES = {
    "libquadmath.so.0": ("libquadmath0", "libquadmath"),
    "libgomp.so.1": ("libgomp1", "libgomp"),
}
#: Libraries of Arm's that the released wheel for Arm links to, and that `INSTALL` adds to it.
_ARM_LIBRARIES = ("libarmpl_lp64_mp.so", "libamath.so", "libastring.so")
NEWEST_PYTHON = (3, 14)
#: What MXNet reads when it is loaded, unless the user has set it otherwise.
_DEFAULTS = {
    # Copies stay on the thread that asks for them. A copy of 200,000 numbers or more, by
    # ``asnumpy`` or ``nd.array``, would give Python's own thread a team of OpenMP threads beside
    # that of MXNet's engine. There are then more of them than processors, libgomp puts all to sleep
    # between operators, and a net of short operators such as LeNet trains at half its speed for as
    # long as the process lives.
    "MXNET_CPU_PARALLEL_SIZE": str(2**31 - 1),
    # All operators share one temporary space. MXNet keeps four, each as large as the greatest need
    # so far, so that several operators can work at once. Its CPU engine runs one at a time: three
    # would only hold memory, 600 MB where VGG trains on batches of 64.
    "MXNET_CPU_TEMP_COPY": "1",
    # Its build for CUDA was made with cuDNN 8.1 and gets 8.9 here, which is meant for it too.
    "MXNET_CUDNN_LIB_CHECKING": "0",
}
#: The oldest and the newest NumPy that were tried, and what pip is asked for in place of others.
OLDEST_NUMPY, NEWEST_NUMPY, TRIED_NUMPY = "1.17", "2.5", "numpy>=1.17,<2.6"
#: How MXNet is installed for the CPU, and how in place of one that does not work.
INSTALL = "`pip install -e '.[cpu]'` in gluonbook's folder"
REINSTALL = f"run `pip uninstall -y mxnet mxnet-cu112` and then {INSTALL}, or '.[cu112]' for a GPU"
#: The systems that MXNet 1.9.1 was released for, as Python names them.
_RELEASED_FOR = (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64"))


class MXNetUnavailable(Failure, ImportError):
    """MXNet cannot be imported on this machine."""


def set_threads() -> str:
    """Set ``OMP_NUM_THREADS`` to the number of physical cores, unless the user has set it.

    The result is a text that says why the number is what it is.

    By default MXNet on x86 assumes hyper-threads and uses half of the processors, which leaves
    half of the cores idle where there are none. It reads the variable once, when it is loaded.
    """
    global threads_by_user
    threads_by_user = "OMP_NUM_THREADS" in os.environ
    if threads_by_user:
        return "OMP_NUM_THREADS was set already"
    if "mxnet" in sys.modules and physical_cores() > 1:
        log.warning(
            "mxnet was imported before gluonbook and may be using half of the cores: "
            "import gluonbook first, or set OMP_NUM_THREADS=%d",
            physical_cores(),
        )
    os.environ["OMP_NUM_THREADS"] = str(physical_cores())
    return "one for each physical core that this process may use"


def one_thread_in_forked_processes(mxnet: types.ModuleType) -> None:
    """Give MXNet's engine one OpenMP thread in each process forked from this one.

    Such processes are the workers of a ``DataLoader``. With a team of spinning threads in each,
    they take the processors from one another and load at a fifth of their speed.
    """
    try:
        openmp = ctypes.CDLL("libgomp.so.1")
        from . import mxnet_private

        library = mxnet_private.library()
        push, wait = library.MXEnginePushSync, library.MXNDArrayWaitAll
    except (ImportError, OSError, AttributeError):  # another build of MXNet
        return

    # The number belongs to a thread, so the engine's own has to set it.
    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    def on_the_engine(context, parameter):  # type: ignore[no-untyped-def]
        openmp.omp_set_num_threads(1)

    cpu = (ctypes.c_int32 * 2)(mxnet.Context.devstr2type["cpu"], 0)

    def in_the_child() -> None:
        push(on_the_engine, None, None, cpu, None, 0, None, 0, None, 0, None)
        wait()

    os.register_at_fork(after_in_child=in_the_child)


def end_without_a_second_error() -> None:
    """Replace MXNet's own hook at the end of the process.

    The hook raises any error that is left in the engine, with a traceback. A script may have
    printed that error already: several operators can run out of memory at once.
    """
    from mxnet import base

    from . import mxnet_private

    def notify() -> None:
        result = mxnet_private.library().MXNotifyShutdown()
        if not told():
            base.check_call(result)

    atexit.unregister(mxnet_private.notify_shutdown)
    atexit.register(notify)


def free_memory_of_numpy_at_any_time() -> None:
    """Replace the function by which MXNet gives NumPy's memory back, as Python clears it early."""
    from . import mxnet_private

    mxnet_private.free_memory_of_numpy_without_a_module()


def load_cuda() -> None:
    """Load the CUDA libraries that came as wheels, so that the linker finds them already there.

    Does nothing where ``mxnet-cu112`` is not installed. A library without a wheel is left to
    the system's linker.
    """
    if not installed("mxnet-cu112"):
        return
    nvidia_driver.keep_float32()
    for name in CUDA_WHEELS:
        path = in_a_wheel(name)
        if path is not None:
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def in_a_wheel(library: str) -> Path | None:
    """Where a wheel of NVIDIA's has put a library, or None."""
    places = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    for place in places:
        for path in Path(place).glob(f"nvidia/*/lib/{library}"):
            return path
    return None


def links(library: str) -> bool:
    """Whether the system's linker finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def import_mxnet() -> types.ModuleType:
    """Import MXNet, made ready by the functions above.

    Raises
    ------
    MXNetUnavailable
        With one sentence that names the cause and the command that fixes it.
    """
    global threads_reason
    _refuse_unsupported_versions()
    threads_reason = set_threads()
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    old_names.provide()
    try:
        load_cuda()
        # Few programs use what MXNet takes from SciPy, and importing it takes half a second.
        with lazy_import("scipy", "sparse", "stats"):
            mxnet = importlib.import_module("mxnet")
    except (ImportError, OSError, AttributeError) as error:
        raise MXNetUnavailable(explain(error)) from error
    one_thread_in_forked_processes(mxnet)
    end_without_a_second_error()
    free_memory_of_numpy_at_any_time()
    watch()
    return mxnet


def _refuse_unsupported_versions() -> None:
    if sys.version_info[:2] > NEWEST_PYTHON:
        raise MXNetUnavailable(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is too new for MXNet 1.9.1: "
            "make the virtual environment with Python 3.8 to 3.14, for example "
            "`python3.13 -m venv .venv`"
        )


def explain(error: Exception) -> str:
    """One sentence that says why MXNet did not import, and the command that fixes it."""
    missing = re.search(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object", str(error))
    library = missing.group(1) if missing else ""
    if isinstance(error, ModuleNotFoundError) and error.name == "mxnet":
        if installed("mxnet") or installed("mxnet-cu112"):
            return f"MXNet's files are missing, though pip lists it: {REINSTALL}"
        system = platform.system(), platform.machine()
        if system not in _RELEASED_FOR:
            return (
                f"MXNet 1.9.1 was not released for {' '.join(system)}: train in Docker, whose "
                "image `docker build -t gluonbook .` makes in gluonbook's folder"
                + ", or in WSL 2"
                * (system[0] == "Windows")
            )
        return (
            f"MXNet is not installed: run {INSTALL}, or on a machine with an NVIDIA GPU `pip "
            "install -e '.[cu112]'`"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"MXNet needs the package {error.name}: run `pip install {error.name}`"
    if library == "libcuda.so.1":
        return (
            "mxnet-cu112 needs the NVIDIA driver, and libcuda.so.1 is missing: install the driver, "
            f"or, to use the CPU, run `pip uninstall -y mxnet mxnet-cu112` and then {INSTALL}"
        )
    if library in _ARM_LIBRARIES:
        return (
            f"MXNet's wheel for arm64 lacks {library}, which gluonbook's own installation adds: "
            f"{REINSTALL}"
        )
    if library in _SYSTEM_PACKAGES:
        return _without_system_libraries(library)
    if library in CUDA_WHEELS:
        wheel = CUDA_WHEELS[library]
        return f"mxnet-cu112 needs {library}, which is missing: run `pip install {wheel}`"
    if library:
        return f"MXNet needs {library}, which is missing: install the package that holds it"
    if isinstance(error, AttributeError) and "numpy" in str(error):
        return (
            f"MXNet 1.9.1 does not work with NumPy {np.__version__} ({error}), and was tried with "
            f"{OLDEST_NUMPY} to {NEWEST_NUMPY}: run `pip install --force-reinstall "
            f"'{TRIED_NUMPY}'`"
        )
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return f"MXNet does not import ({first_line}): {REINSTALL}"


def _without_system_libraries(library: str) -> str:
    """The sentence for a library that the system lacks, and with it for each other that it lacks.

    A minimal Debian has neither of those that MXNet needs. On arm64 it needs no libquadmath.
    """
    missing = [library]
    for other in _SYSTEM_PACKAGES:
        needed = other != "libquadmath.so.0" or platform.machine() == "x86_64"
        if other != library and needed and not links(other):
            missing.append(other)
    debian, fedora = (" ".join(_SYSTEM_PACKAGES[name][i] for name in missing) for i in (0, 1))
    return (
        f"MXNet needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
        f"missing: run `{as_root(f'apt-get install {debian}')}` (Fedora: "
        f"`{as_root(f'dnf install {fedora}')}`)"
    )


threads_reason = "MXNet has not been imported"
threads_by_user = False
failure: MXNetUnavailable | None = None
try:
    import_mxnet()
except MXNetUnavailable as error:
    if "gluonbook.doctor" not in psutil.Process().cmdline():
        print_sentences()
        raise
    failure = error
