"""``python -m gluonbook.doctor``: what this machine has, what is missing, and the fix."""

from __future__ import annotations

import argparse
import importlib
from importlib import metadata
import json
import os
from pathlib import Path
import platform
import shutil
import sys
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ._version import __version__
from .system import machine, nvidia_driver, old_names, runtime

_GIB = 2**30
_LOW_ROOM = 2 * _GIB


class Finding(NamedTuple):
    """One thing that was looked at; a problem comes with its fix."""

    name: str
    found: str
    problem: str | None = None
    fix: str | None = None
    fatal: bool = False
    """Whether the book cannot be run as long as this is so."""


def examine() -> list[Finding]:
    """Everything that matters for the book on this machine, in the order of need."""
    return [
        Finding("gluonbook", f"{__version__}, {Path(__file__).parent}"),
        Finding("Python", f"{platform.python_version()}, {sys.executable}"),
        Finding("system", f"{platform.system()} {platform.machine()}"),
        _numpy(),
        *_mxnet(),
        Finding(
            "threads",
            f"{os.environ.get('OMP_NUM_THREADS', 'not set')}: {runtime.threads_reason} "
            f"(physical cores: {machine.physical_cores()})",
        ),
        Finding("instruction sets", ", ".join(machine.instruction_sets()) or "not known"),
        *_gpus(),
        *_cuda_libraries(),
        *_data_set(),
        *_room(),
        _pytorch(),
    ]


def _numpy() -> Finding:
    oldest, newest = (
        tuple(map(int, version.split(".")))
        for version in (runtime.OLDEST_NUMPY, runtime.NEWEST_NUMPY)
    )
    if oldest <= old_names.NUMPY <= newest:
        return Finding("NumPy", np.__version__)
    if oldest > old_names.NUMPY:
        problem = f"older than {runtime.OLDEST_NUMPY}, the oldest that was tried"
    else:
        problem = f"newer than {runtime.NEWEST_NUMPY}, the newest that was tried"
    return Finding("NumPy", np.__version__, problem, f"run `pip install '{runtime.TRIED_NUMPY}'`")


def _mxnet() -> Iterator[Finding]:
    builds = [name for name in ("mxnet-cu112", "mxnet") if runtime.installed(name)]
    found = " and ".join(f"{name} {metadata.version(name)}" for name in builds) or "not installed"
    problem = fix = None
    if runtime.failure is not None:
        problem, _, fix = str(runtime.failure).partition(": ")
    elif len(builds) > 1:
        problem = "both builds are installed, and each has overwritten files of the other"
        fix = runtime.REINSTALL
    elif (fault := _fault_of_a_convolution()) is not None:
        problem = f"it does not compute ({fault})"
        fix = runtime.REINSTALL
    yield Finding("MXNet", found, problem, fix, fatal=problem is not None)
    if runtime.failure is None and len(builds) < 2:
        features = importlib.import_module("mxnet").runtime.Features()
        enabled = sorted(name for name, feature in features.items() if feature.enabled)
        yield Finding("features of MXNet", ", ".join(enabled))


def _fault_of_a_convolution() -> str | None:
    """What is wrong if MXNet does not convolve nine ones with nine ones to a 9."""
    from mxnet import nd

    try:
        ones = nd.ones((1, 1, 3, 3))
        nine = nd.Convolution(ones, ones, no_bias=True, num_filter=1, kernel=(3, 3)).asscalar()
    except Exception as error:
        return str(error).strip().splitlines()[-1]
    return None if nine == 9 else f"nine ones add up to {nine}"


def _gpus() -> Iterator[Finding]:
    """The driver, and each GPU as the driver describes it, whatever MXNet there is."""
    driver = nvidia_driver.ask()
    if driver is None:
        yield Finding("NVIDIA driver", "none: libcuda.so.1 is missing, so the CPU is used")
        return
    count = len(driver.gpus)
    found = f"for CUDA {driver.cuda}"
    if count == 0:
        yield Finding("NVIDIA driver", f"{found}; no GPU (code {driver.code}), so the CPU is used")
        return
    yield Finding("NVIDIA driver", f"{found}, {count} GPU" + "s" * (count > 1))
    for i, gpu in enumerate(driver.gpus):
        problem = fix = None
        if platform.machine() != "x86_64":
            problem = "MXNet's build for GPUs is for x86-64 only"
            fix = "train with --device cpu"
        elif not runtime.installed("mxnet-cu112"):
            problem = "this MXNet is the build for the CPU"
            fix = "run `pip uninstall -y mxnet && pip install -e '.[cu112]'`"
        elif runtime.failure is None:
            from .gpu.device import working_gpus

            gpus, faults = working_gpus()
            if i not in [gpu.device_id for gpu in gpus]:
                problem, fix = "; ".join(faults), "train with --device cpu, or update the driver"
        found = "{}, compute capability {}.{}".format(gpu.name, *gpu.capability)
        if not gpu.has_code:
            first, last = nvidia_driver.CAPABILITIES
            found += f" (MXNet has code for {first}.0 to {last}.9: computed operation by operation)"
        yield Finding(f"GPU {i}", found, problem, fix)


def _cuda_libraries() -> Iterator[Finding]:
    """Each library that ``mxnet-cu112`` links to.

    One that is missing is a problem if that build is here. Else all that are missing are one line.
    """
    needed, missing = runtime.installed("mxnet-cu112"), []
    for library, wheel in runtime.CUDA_WHEELS.items():
        path = runtime.in_a_wheel(library)
        if path is not None:
            yield Finding(library, str(path))
        elif runtime.links(library):
            yield Finding(library, "found by the system's linker")
        elif needed:
            problem, fix = f"mxnet-cu112 needs {library}", f"run `pip install {wheel}`"
            yield Finding(library, "missing", problem, fix, fatal=True)
        else:
            missing.append(library)
    if missing:
        count = f"{len(missing)} of {len(runtime.CUDA_WHEELS)}"
        yield Finding("CUDA libraries", f"{count} are missing; only mxnet-cu112 needs them")


def _data_set() -> Iterator[Finding]:
    if runtime.failure is not None:
        yield Finding("data set", "not looked for, as that needs MXNet")
        return
    from .data import download, folders, mirrors, published_files
    from .data.fashion_mnist import read_folder

    folder = folders.find_folder()
    if folder is not None:
        try:
            data = read_folder(folder)
        except published_files.DatasetError as error:
            problem, _, fix = str(error).rpartition("; ")
            yield Finding("data set", str(folder), problem or str(error), fix, fatal=True)
        else:
            yield Finding("data set", f"{folder}, release of {data.release}")
        return
    mirror = next(filter(download.answers, mirrors.mirrors()), None)
    if mirror is not None:
        yield Finding("data set", f"not here; the first run downloads it from {mirror}")
        return
    places = f"neither in {folders.data_folder()} nor in {folders.SYSTEM_FOLDER}"
    fix = f"run `{machine.as_root(f'apt-get install {published_files.DEBIAN_PACKAGE}')}`"
    problem = f"it is {places}, and no mirror answers"
    yield Finding("data set", "not here", problem, fix, fatal=True)


def _room() -> Iterator[Finding]:
    problem = fix = None
    free = machine.available_memory()
    if free < _LOW_ROOM:
        problem = "little memory is free"
        fix = "close other programs, or give the scripts a smaller --batch-size"
    yield Finding("memory", f"{free / _GIB:.1f} GiB free", problem, fix)
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    problem = fix = None
    if not os.access(folder, os.W_OK):
        problem, fix = f"{folder} cannot be written", "name a folder with --out"
    elif free < _LOW_ROOM:
        problem, fix = "little room for a run's folder", "make room, or name another with --out"
    yield Finding("disk", f"{free / _GIB:.1f} GiB free in {folder}", problem, fix)


def _pytorch() -> Finding:
    if runtime.installed("torch"):
        return Finding("PyTorch", f"{metadata.version('torch')}, for python -m gluonbook.compare")
    return Finding("PyTorch", "not installed; only python -m gluonbook.compare needs it")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the findings and then the problems; 1 if the book cannot be run, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m gluonbook.doctor",
        description="What this machine has for the book, what is missing, and the fix.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(argv)
    findings = examine()
    fatal = any(finding.fatal for finding in findings)
    if options.json:
        rows = [finding._asdict() for finding in findings]
        print(json.dumps({"can_run": not fatal, "findings": rows}, indent=2))
        return int(fatal)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.name:<{width}}  {finding.found}")
    print()
    for finding in findings:
        if finding.problem is not None:
            print(f"{'problem' if finding.fatal else 'note'}: {finding.name}: {finding.problem}")
            print(f"  {finding.fix}")
    print("the book cannot be run here yet" if fatal else "the book can be run here")
    return int(fatal)


if __name__ == "__main__":
    sys.exit(main())
