"""What the folder that MXNet is installed from makes of a released wheel."""

from __future__ import annotations

import base64
import csv
import ctypes
import hashlib
import importlib.util
import io
from pathlib import Path
import platform
import re
import struct
import sys
import zipfile

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "mxnet_wheel"
METADATA = """\
Metadata-Version: 2.1
Name: mxnet
Version: 1.9.1
Requires-Dist: numpy (<2.0.0,>1.16.0)
Requires-Dist: graphviz (<0.9.0,>=0.8.1)

Requires-Dist: stays in the description
"""
X86, ARM = "py3-none-manylinux2014_x86_64.whl", "py3-none-manylinux2014_aarch64.whl"
OPENBLAS, FORTRAN = b"OpenBLAS" * 1000, b"Fortran" * 1000
ADDED = {
    *("mxnet/libarmpl_lp64_mp.so", "mxnet/libamath.so", "mxnet/libastring.so"),
    "mxnet/libgfortran-1.so.5.0.0",
}


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def digest(content):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()[:-1]


def make_wheel(path, files, folder):
    rows = [f"{name},{digest(content)},{len(content)}\n" for name, content in files.items()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{folder}/RECORD", "".join([*rows, f"{folder}/RECORD,,\n"]))


@pytest.fixture
def backend(monkeypatch):
    """The backend, with a pip that downloads made-up wheels."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loaded = module(FOLDER / "backend.py")
    monkeypatch.setitem(sys.modules, "backend", loaded)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loaded.tag = X86

    def run(command, check):
        assert check and command[:4] == [sys.executable, "-m", "pip", "download"]
        target = Path(command[command.index("--dest") + 1])
        [(name, version)] = [word.split("==") for word in command if "==" in word]
        if name == "scipy":
            files = {
                "scipy/linalg/libraries.so": b"",
                "scipy.libs/": b"",
                "scipy.libs/libopenblasp-r0-1.3.27.so": OPENBLAS,
                "scipy.libs/libgfortran-1.so.5.0.0": FORTRAN,
            }
            make_wheel(target / f"scipy-{version}-cp39-{loaded.tag}", files, "scipy.dist-info")
            return
        stem = f"{name.replace('-', '_')}-{version}"
        files = {
            "mxnet/libmxnet.so": bytes(range(256)),
            f"{stem}.dist-info/METADATA": METADATA.replace("Name: mxnet", f"Name: {name}").encode(),
        }
        make_wheel(target / f"{stem}-{loaded.tag}", files, f"{stem}.dist-info")

    monkeypatch.setattr(loaded.subprocess, "run", run)
    return loaded


def contents(wheel):
    """The files of a wheel by name, after its RECORD has been compared with them."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        files = {name: archive.read(name) for name in names}
    [record] = [name for name in names if name.endswith(".dist-info/RECORD")]
    rows = list(csv.reader(io.StringIO(files[record].decode())))
    expected = {name: [digest(content), str(len(content))] for name, content in files.items()}
    expected[record] = ["", ""]
    assert len(rows) == len(expected) and {row[0]: row[1:] for row in rows} == expected
    return files


@pytest.mark.parametrize(
    ("path", "stem"),
    [("backend.py", "mxnet-1.9.1"), ("cu112/cu112.py", "mxnet_cu112-1.9.1")],
)
def test_a_wheel_says_that_it_needs_any_numpy_and_keeps_the_rest(path, stem, backend, tmp_path):
    build_wheel = backend.build_wheel if path == "backend.py" else module(FOLDER / path).build_wheel
    assert build_wheel(str(tmp_path), {}, None) == f"{stem}-{X86}"
    files = contents(tmp_path / f"{stem}-{X86}")
    head, _, description = files.pop(f"{stem}.dist-info/METADATA").decode().partition("\n\n")
    name, _, version = stem.replace("_", "-").rpartition("-")
    assert head.splitlines() == [
        *("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"),
        *("Requires-Dist: numpy>=1.17", "Requires-Dist: requests>=2.20.0,<3"),
        "Requires-Dist: graphviz>=0.8.1",
    ]
    assert description == "Requires-Dist: stays in the description\n"
    assert files.keys() == {"mxnet/libmxnet.so", f"{stem}.dist-info/RECORD"}
    assert files["mxnet/libmxnet.so"] == bytes(range(256))


def test_the_wheel_for_arm_gets_the_libraries_that_it_lacks(backend, tmp_path):
    backend.tag = ARM
    wheel = tmp_path / backend.build_wheel(str(tmp_path))
    files = contents(wheel)
    folder = "mxnet-1.9.1.dist-info"
    assert files.keys() == {"mxnet/libmxnet.so", f"{folder}/METADATA", f"{folder}/RECORD", *ADDED}
    assert files["mxnet/libarmpl_lp64_mp.so"] == OPENBLAS
    assert files["mxnet/libgfortran-1.so.5.0.0"] == FORTRAN
    assert files["mxnet/libmxnet.so"] == bytes(range(256))
    assert list(tmp_path.iterdir()) == [wheel]


def test_the_linker_takes_an_empty_library(backend, tmp_path):
    """The numbers are those of ELF-64, and of its supplements for the two kinds of processors."""
    library = backend.empty_library()
    [number] = struct.unpack_from("<H", library, 18)
    assert number == 183  # AArch64
    segments = [struct.unpack_from("<IIQQQQQQ", library, 64 + i * 56) for i in range(3)]
    # All is loaded at once, where it may be written, in a page of any size that Arm's Linux has.
    assert segments[0] == (1, 4 | 2, 0, 0, 0, len(library), len(library), 65536)
    # Recent C libraries refuse to load what does not say that the stack need not be executable.
    assert segments[2][:2] == (0x6474E551, 4 | 2)
    here = {"x86_64": 62, "aarch64": 183}.get(platform.machine())
    if here is None:
        pytest.skip("not a processor on which MXNet's wheels run")
    path = tmp_path / "libamath.so"
    path.write_bytes(library[:18] + struct.pack("<H", here) + library[20:])
    assert not hasattr(ctypes.CDLL(str(path)), "cblas_sgemm")


@pytest.mark.parametrize(
    ("package", "system", "machine", "told"),
    [
        ("mxnet", "Darwin", "arm64", "not released for Darwin arm64: train in Docker, whose image"),
        ("mxnet", "Windows", "AMD64", "makes in gluonbook's folder, or in WSL 2"),
        ("mxnet-cu112", "Linux", "aarch64", "for Linux x86_64 alone: install '.[cpu]' instead"),
    ],
)
def test_a_system_without_a_wheel_gets_one_sentence(
    package, system, machine, told, backend, monkeypatch, tmp_path
):
    monkeypatch.setattr(backend.platform, "system", lambda: system)
    monkeypatch.setattr(backend.platform, "machine", lambda: machine)
    with pytest.raises(SystemExit, match=f"{re.escape(told)}"):
        backend.put_wheel(package, str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("system", "machine"), [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64")]
)
def test_systems_with_a_wheel_are_not_refused(system, machine, backend, monkeypatch, tmp_path):
    monkeypatch.setattr(backend.platform, "system", lambda: system)
    monkeypatch.setattr(backend.platform, "machine", lambda: machine)
    assert (tmp_path / backend.put_wheel("mxnet", str(tmp_path))).is_file()
