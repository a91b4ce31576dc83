"""The README's first command on each Python of this machine: the trained bytes are the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.pythons

ROOT = Path(__file__).parents[2]
VERSIONS = [f"3.{minor}" for minor in range(8, 15)]
#: For each chapter, a training of seconds.
TRAININGS = {
    "lenet": ("--limit", "2000", "--epochs", "2"),
    "resnet": ("--limit", "160", "--epochs", "2", "--size", "48", "--batch-size", "32"),
}


def interpreter(version: str) -> Path | None:
    """A Python of this version: that of pyenv, or one on the path."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    patch = re.compile(re.escape(version) + r"\.(\d+)")
    found = {
        int(match[1]): path / "bin" / "python"
        for path in root.glob(f"{version}.*")
        if (match := patch.fullmatch(path.name))
    }
    if found:
        return found[max(found)]
    path = shutil.which(f"python{version}")
    return None if path is None or "shims" in path else Path(path)


def run(*command: object, cwd: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


@pytest.fixture(scope="module")
def trained() -> dict[str, dict[str, str]]:
    """By version, the digests of the parameters that each chapter leaves."""
    return {}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_clone_installs_and_trains_to_the_same_bytes(version, trained, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in files.stdout.splitlines():
        target = tmp_path / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    clone = tmp_path / "clone"
    run(python, "-m", "venv", ".venv", cwd=clone)
    run(".venv/bin/pip", "install", "--quiet", "-e", ".[cpu]", cwd=clone)
    run(".venv/bin/pip", "check", cwd=clone)
    code = "import numpy; print(numpy.__version__)"
    numpy = run(".venv/bin/python", "-c", code, cwd=clone).strip()
    digests = {}
    for section, options in TRAININGS.items():
        script = (f"chapters/{section}.py", *options, "--seed", "1", "--device", "cpu")
        run(".venv/bin/python", *script, "--out", section, cwd=clone)
        [parameters] = (clone / section).glob(f"*/{section}.params")
        digests[section] = hashlib.sha256(parameters.read_bytes()).hexdigest()
    print(f"Python {version}, NumPy {numpy}: {digests}")
    trained[f"{version}, NumPy {numpy}"] = digests
    assert all(each == digests for each in trained.values()), trained
