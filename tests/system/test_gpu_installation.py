"""The installation for GPUs, on a machine without one: the real wheels, and a stub of the driver.

It takes ten minutes, 3 GB of disk, gcc, and a package index to install from:

    python -m pytest -n0 -m slow -v tests/system/test_gpu_installation.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

from gluonbook.system.runtime import CUDA_WHEELS
import pytest

ROOT = Path(__file__).parents[2]
TRAINING = ["chapters/lenet.py", "--limit", "2000", "--epochs", "2", "--seed", "1"]

pytestmark = pytest.mark.slow


class Installation:
    """A virtual environment with mxnet-cu112, and a folder with a driver that finds no GPU."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "venv" / "bin" / "python"
        self.site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
        self.driver = folder / "driver"

    def run(self, *arguments, driver=True, cwd=ROOT):
        """The finished process of this environment's Python."""
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        if driver:
            variables["LD_LIBRARY_PATH"] = str(self.driver)
        command = [self.python, *arguments]
        return subprocess.run(command, env=variables, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, for the stub of the driver")
    folder = tmp_path_factory.mktemp("gpu")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-e", f"{ROOT}[cu112]"], check=True)
    (folder / "driver").mkdir()
    source, library = Path(__file__).with_name("stub_driver.c"), folder / "driver" / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    yield Installation(folder)
    shutil.rmtree(folder)


def figures(lines):
    """What a chapter prints of its epochs, without the times."""
    return re.findall(r"epoch .*(?=, time)", lines)


def test_without_a_driver_one_sentence_says_so(installation):
    done = installation.run("-c", "import gluonbook", driver=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "mxnet-cu112 needs the NVIDIA driver, and libcuda.so.1 is missing" in done.stderr


def test_no_gpu_is_told_and_the_cpu_trains_with_the_numbers_of_the_cpu_build(
    installation, tmp_path
):
    found = installation.run(
        "-c",
        "import gluonbook as gb, mxnet as mx\n"
        "assert mx.runtime.Features().is_enabled('CUDA')\n"
        "print(gb.try_gpu(), gb.try_all_gpus())",
    )
    assert found.stdout == "cpu(0) [cpu(0)]\n", found.stderr
    assert found.stderr.count("\n") == 1 and "no GPU: " in found.stderr

    done = installation.run(*TRAINING, "--out", str(tmp_path / "cuda"))
    assert done.returncode == 0, done.stderr
    command = [sys.executable, *TRAINING, "--out", str(tmp_path / "cpu")]
    by_cpu_build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(figures(done.stdout)) == 2
    assert figures(done.stdout) == figures(by_cpu_build.stdout)


def test_a_gpu_that_is_asked_for_is_refused_with_the_reason(installation):
    done = installation.run(*TRAINING, "--device", "gpu")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "--device gpu: no GPU: " in done.stderr and "use --device cpu" in done.stderr


def test_the_doctor_finds_every_library_in_its_wheel(installation):
    done = installation.run("-m", "gluonbook.doctor", "--json")
    findings = {row["name"]: row for row in json.loads(done.stdout)["findings"]}
    assert "mxnet-cu112 1.9.1" in findings["MXNet"]["found"]
    assert "no GPU (code 100)" in findings["NVIDIA driver"]["found"]
    for library in CUDA_WHEELS:
        assert str(installation.site) in findings[library]["found"]


@pytest.mark.parametrize("library", CUDA_WHEELS)
def test_a_library_that_is_missing_is_named_with_its_wheel(library, installation):
    [path] = (installation.site / "nvidia").glob(f"*/lib/{library}")
    away = path.rename(path.with_name("taken away"))
    try:
        done = installation.run("-c", "import gluonbook")
    finally:
        away.rename(path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"mxnet-cu112 needs {library}, which is missing: run `pip install " in done.stderr
    assert CUDA_WHEELS[library] in done.stderr
