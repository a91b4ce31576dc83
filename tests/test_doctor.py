"""The doctor names what is there, and each fault with its fix."""

from __future__ import annotations

import ctypes
from importlib import metadata
import json
import os
import platform
import shutil
import subprocess
import sys

from gluonbook import doctor
from gluonbook.data import download, published_files
from gluonbook.gpu import device
from gluonbook.system import machine, nvidia_driver, old_names, runtime
from gluonbook.system.nvidia_driver import Driver, Gpu
import mxnet as mx
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _forget():
    yield
    device._fault.cache_clear()


def findings(kind):
    return {finding.name: finding for finding in kind}


@pytest.mark.parametrize(
    ("numpy", "told"),
    [
        ((1, 16), "older than 1.17, the oldest that"),
        *(((1, 17), None), ((1, 23), None), ((2, 5), None)),
        ((2, 6), "newer than 2.5, the newest that"),
    ],
)
def test_a_numpy_that_nobody_has_tried_is_told(numpy, told, monkeypatch):
    monkeypatch.setattr(old_names, "NUMPY", numpy)
    [found] = [each for each in doctor.examine() if each.name == "NumPy"]
    assert found.found == np.__version__ and not found.fatal
    if told is None:
        assert found.problem is found.fix is None
    else:
        assert told in found.problem and found.fix == "run `pip install 'numpy>=1.17,<2.6'`"


def test_a_sound_machine(dataset, capsys):
    assert doctor.main([]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "the book can be run here"
    assert f"{platform.system()} {platform.machine()}" in out
    for known in (platform.python_version(), np.__version__, metadata.version("mxnet")):
        assert known in out
    assert dataset.release in out and str(dataset.folder) in out
    assert f"(physical cores: {machine.physical_cores()})" in out


def test_json(dataset, capsys):
    assert doctor.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["can_run"] is True
    found = {row["name"]: row["found"] for row in report["findings"]}
    assert {"MXNet", "threads", "instruction sets", "NVIDIA driver", "memory", "disk"} <= set(found)
    assert "CUDA libraries" in found or set(runtime.CUDA_WHEELS) <= set(found)
    assert "MKLDNN" in found["features of MXNet"].split(", ")


def test_as_a_module_where_mxnet_does_not_import(tmp_path):
    (tmp_path / "mxnet").mkdir()
    (tmp_path / "mxnet" / "__init__.py").write_text(
        "raise OSError('libcudnn.so.8: cannot open shared object file: No such file')"
    )
    result = subprocess.run(
        [sys.executable, "-m", "gluonbook.doctor"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert "problem: MXNet: mxnet-cu112 needs libcudnn.so.8, which is missing" in lines
    assert "  run `pip install nvidia-cudnn-cu11==8.9.6.50`" in lines
    assert any(line.startswith("disk ") for line in lines)  # the rest is looked at all the same


def test_both_builds(monkeypatch):
    monkeypatch.setattr(doctor.runtime, "installed", lambda name: True)
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "1.9.1")
    [found] = doctor._mxnet()
    assert found.fatal and found.found == "mxnet-cu112 1.9.1 and mxnet 1.9.1"
    assert found.fix == (
        "run `pip uninstall -y mxnet mxnet-cu112` and then `pip install -e '.[cpu]'` in "
        "gluonbook's folder, or '.[cu112]' for a GPU"
    )


def test_an_mxnet_that_does_not_compute(monkeypatch):
    def fail(*args, **kwargs):
        raise mx.base.MXNetError("Traceback\n  File\nMXNetError: a fault")

    monkeypatch.setattr(mx.nd, "Convolution", fail)
    found = findings(doctor._mxnet())["MXNet"]
    assert found.fatal and found.problem == "it does not compute (MXNetError: a fault)"
    assert found.fix == runtime.REINSTALL


@pytest.fixture
def driver(monkeypatch):
    def install(*gpus, build="mxnet-cu112", code=0):
        listed = [Gpu(name, capability) for name, *capability in gpus]
        monkeypatch.setattr(nvidia_driver, "ask", lambda: Driver("12.4", code, listed))
        monkeypatch.setattr(doctor.runtime, "installed", lambda name: name == build)
        monkeypatch.setattr(device, "_count_gpus", lambda: (len(gpus), ""))
        return findings(doctor._gpus())

    return install


def test_no_driver(monkeypatch):
    monkeypatch.setattr(nvidia_driver, "ask", lambda: None)
    [found] = doctor._gpus()
    assert found.found.startswith("none: libcuda.so.1 is missing") and found.problem is None


def test_a_driver_without_a_gpu(driver):
    assert driver(code=100)["NVIDIA driver"].found == (
        "for CUDA 12.4; no GPU (code 100), so the CPU is used"
    )


@pytest.mark.parametrize(
    ("gpu", "fault", "problem"),
    [
        (("NVIDIA H100", 9, 0), None, None),
        (("Tesla K80", 3, 7), "cuDNN knows none", "gpu(0) is not used: cuDNN knows none"),
        (("NVIDIA A100", 8, 0), None, None),
        (("GeForce RTX 4090", 8, 9), None, None),
        (("GeForce GTX 1080", 6, 1), "a reason", "gpu(0) is not used: a reason"),
    ],
)
def test_gpus(gpu, fault, problem, driver, monkeypatch):
    monkeypatch.setattr(device, "_fault", lambda i: fault)
    device._fault.cache_clear = lambda: None
    found = driver(gpu)["GPU 0"]
    assert found.found.startswith(f"{gpu[0]}, compute capability {gpu[1]}.{gpu[2]}")
    assert ("operation by operation" in found.found) == (gpu[1] not in range(5, 9))
    assert (found.problem or "").endswith(problem or "") and bool(found.problem) == bool(problem)
    assert not found.fatal  # the CPU still runs the book


def test_a_gpu_and_the_build_for_the_cpu(driver):
    found = driver(("NVIDIA A100", 8, 0), build="mxnet")["GPU 0"]
    assert found.problem == "this MXNet is the build for the CPU"
    assert "pip install -e '.[cu112]'" in found.fix


def test_a_gpu_beside_a_processor_of_arm(driver, monkeypatch):
    monkeypatch.setattr(doctor.platform, "machine", lambda: "aarch64")
    found = driver(("Orin", 8, 7), build="mxnet")["GPU 0"]
    assert found.problem == "MXNet's build for GPUs is for x86-64 only"
    assert found.fix == "train with --device cpu"


def test_cuda_libraries(monkeypatch, tmp_path):
    (tmp_path / "nvidia/cudnn/lib").mkdir(parents=True)
    (tmp_path / "nvidia/cudnn/lib/libcudnn.so.8").touch()
    monkeypatch.setattr(runtime.sysconfig, "get_path", lambda kind: str(tmp_path))

    def links(name):
        if name != "libnccl.so.2":
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", links)
    for installed in (False, True):
        monkeypatch.setattr(
            doctor.runtime, "installed", lambda name, there=installed: there and "cu112" in name
        )
        found = findings(doctor._cuda_libraries())
        assert found["libcudnn.so.8"].found.endswith("nvidia/cudnn/lib/libcudnn.so.8")
        assert found["libnccl.so.2"].found == "found by the system's linker"
        fatal = [name for name, finding in found.items() if finding.fatal]
        assert len(fatal) == (7 if installed else 0)  # of 9, one is a wheel's and one the linker's
        if not installed:
            assert found["CUDA libraries"].found.startswith("7 of 9 are missing")
    assert found["libcublas.so.11"].fix == "run `pip install nvidia-cublas-cu11==11.11.3.6`"


def test_no_data_set(nowhere, monkeypatch):
    [found] = doctor._data_set()
    assert found.fatal and "no mirror answers" in found.problem
    sudo = "" if os.geteuid() == 0 else "sudo "
    assert found.fix == f"run `{sudo}apt-get install dataset-fashion-mnist`"
    monkeypatch.setattr(download, "answers", lambda mirror: True)
    [found] = doctor._data_set()
    assert not found.fatal and found.found.startswith("not here; the first run downloads it from")


def test_a_mirror_that_answers(monkeypatch):
    monkeypatch.setattr(download.shutil, "which", lambda name: None)
    assert not download.answers("apt:package")
    monkeypatch.setattr(download.shutil, "which", lambda name: f"/bin/{name}")
    assert download.answers("apt:package")
    assert not download.answers("http://127.0.0.1:9")


def test_a_damaged_data_set(nowhere, real_files):
    shutil.copytree(real_files, nowhere)
    (nowhere / f"{published_files.TEST_LABELS}.gz").write_bytes(b"damaged")
    [found] = doctor._data_set()
    assert found.fatal and f"{published_files.TEST_LABELS}.gz is damaged" in found.problem
    assert found.fix.startswith("move it away")


def test_little_room(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = findings(doctor._room())
    assert found["memory"].problem is None and found["disk"].problem is None
    monkeypatch.setattr(machine, "available_memory", lambda: 10**9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 9))
    found = findings(doctor._room())
    assert "--batch-size" in found["memory"].fix and "make room" in found["disk"].fix
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert findings(doctor._room())["disk"].problem == f"{tmp_path} cannot be written"


def test_a_fatal_problem_is_exit_code_1(monkeypatch, capsys):
    fault = doctor.Finding("disk", "gone", "there is none", "buy one", fatal=True)
    monkeypatch.setattr(doctor, "examine", lambda: [fault])
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "problem: disk: there is none",
        "  buy one",
        "the book cannot be run here yet",
    ]
    assert doctor.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)["can_run"] is False
