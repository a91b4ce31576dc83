"""Gives pip the released wheel of MXNet 1.9.1, so that today's NumPy may be installed beside it.

The wheel says that it needs ``numpy<2.0.0`` and ``graphviz<0.9.0``. Python 3.13 has no such NumPy,
and an environment with today's pandas or PyTorch would lose its own. With what
`gluonbook.system.old_names` does, MXNet works with both. pip has no option that overrules what a
wheel says, but it takes a wheel from a folder with a ``pyproject.toml``. This one downloads that of
MXNet, and changes two of its text files. The folder ``cu112`` does the same with ``mxnet-cu112``.

The wheel for Linux on Arm also links to three libraries of Arm's that it does not hold. Of these
MXNet uses BLAS and LAPACK, and functions that the system's libm has too. So it is given an OpenBLAS
under the name of the first, and empty libraries under those of the others. That was tried in an
emulator (QEMU), with LeNet and ResNet-18.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from pathlib import Path
import platform
import struct
import subprocess
import sys
import tempfile
import zipfile

NEEDS = ("numpy>=1.17", "requests>=2.20.0,<3", "graphviz>=0.8.1")
#: What MXNet 1.9.1 was released for. Its build for GPUs is for the first alone.
PLATFORMS = [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64")]
#: What holds an OpenBLAS for all 64-bit Arm processors and any Python. SciPy's later wheels hold
#: one whose functions have other names.
OPENBLAS = ("scipy==1.13.1", "--python-version=3.9", "--platform=manylinux2014_aarch64")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):  # type: ignore
    """Put the wheel of ``mxnet`` into `wheel_directory`; its name."""
    return put_wheel("mxnet", wheel_directory)


def put_wheel(package: str, folder: str) -> str:
    """Put the wheel of `package`, ``mxnet`` or ``mxnet-cu112``, into `folder`; its name."""
    refuse_other_platforms(package)
    wheel = download(folder, f"{package}==1.9.1")
    libraries = {}
    if wheel.stem.endswith("aarch64"):
        with tempfile.TemporaryDirectory() as other:
            libraries = arm_libraries(download(other, *OPENBLAS))
    change(wheel, libraries)
    return wheel.name


def refuse_other_platforms(package: str) -> None:
    """End with one sentence where there is no wheel; pip would name neither reason nor mend."""
    here = (platform.system(), platform.machine())
    if here not in PLATFORMS:
        sys.exit(
            f"MXNet 1.9.1 was not released for {' '.join(here)}: train in Docker, whose image "
            "`docker build -t gluonbook .` makes in gluonbook's folder"
            + ", or in WSL 2"
            * (here[0] == "Windows")
        )
    if package != "mxnet" and here != PLATFORMS[0]:
        sys.exit(f"{package} was released for Linux x86_64 alone: install '.[cpu]' instead")


def download(folder: str, release: str, *options: str) -> Path:
    """Let pip download the wheel of a release, written as ``name==1.0``, into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    chosen = ["--no-deps", "--only-binary=:all:", "--dest", folder]
    subprocess.run([*pip, *chosen, *options, release], check=True)
    [wheel] = Path(folder).glob(release.replace("-", "_").replace("==", "-") + "-*.whl")
    return wheel


def change(wheel: Path, added: dict[str, bytes]) -> None:
    """Let the wheel say that it needs `NEEDS`, and hold the files `added` by their paths.

    What else is in the archive stays where it is.
    """
    folder = "{}-{}.dist-info".format(*wheel.name.split("-"))
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        head, blank, description = archive.read(f"{folder}/METADATA").decode().partition("\n\n")
        lines = [line for line in head.splitlines() if not line.startswith("Requires-Dist:")]
        lines += [f"Requires-Dist: {need}" for need in NEEDS]
        metadata = ("\n".join(lines) + blank + description).encode()
        files = {f"{folder}/METADATA": metadata, **added}
        rows = list(csv.reader(io.StringIO(archive.read(f"{folder}/RECORD").decode())))
        rows = [row for row in rows if row[0] not in files]
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append([path, f"sha256={digest.decode()}", str(len(content))])
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows(rows)
        files[f"{folder}/RECORD"] = record.getvalue().encode()
        for path, content in files.items():
            if path in archive.NameToInfo:
                # The old file's bytes stay in the archive, and nothing points to them any more.
                archive.filelist.remove(archive.NameToInfo.pop(path))
            archive.writestr(path, content)


def arm_libraries(scipy: Path) -> dict[str, bytes]:
    """The libraries that the wheel for Arm lacks, with the OpenBLAS of SciPy's wheel for Arm."""
    with zipfile.ZipFile(scipy) as archive:
        found = {Path(name).name: name for name in archive.namelist() if "scipy.libs/lib" in name}
        [openblas] = [name for name in found if name.startswith("libopenblas")]
        [fortran] = [name for name in found if name.startswith("libgfortran")]
        return {
            "mxnet/libarmpl_lp64_mp.so": archive.read(found[openblas]),
            f"mxnet/{fortran}": archive.read(found[fortran]),
            "mxnet/libamath.so": empty_library(),
            "mxnet/libastring.so": empty_library(),
        }


def empty_library() -> bytes:
    """A shared library for 64-bit Arm that defines nothing, by the ELF-64 Object File Format."""

    def segment(kind: int, flags: int, start: int, stop: int, alignment: int) -> bytes:
        size = stop - start
        return struct.pack("<2I6Q", kind, flags, start, start, start, size, size, alignment)

    table = 64 + 3 * 56  # after the header of the file and those of the segments
    nothing = table + 5 * 16  # the names and the symbols, of which there are none
    size = nothing + 24
    magic = b"\x7fELF\2\1\1"  # 64 bits, little-endian
    header = struct.pack("<16s2HI3QI6H", magic, 3, 183, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    load, dynamic = segment(1, 6, 0, size, 1 << 16), segment(2, 6, table, nothing, 8)
    stack = segment(0x6474E551, 6, 0, 0, 16)  # which need not be executable
    entries = struct.pack("<10Q", 5, nothing, 6, nothing, 10, 1, 11, 24, 0, 0)
    return header + load + dynamic + stack + entries + bytes(24)
