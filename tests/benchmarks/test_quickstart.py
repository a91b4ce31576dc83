"""The script that makes the READMEs' first run anew."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
import shutil
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quickstart(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("quickstart")


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_it_runs_the_command_of_the_readmes(quickstart, name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert f"\n.venv/bin/python {' '.join(quickstart.COMMAND)}\n" in text


def test_it_keeps_what_is_in_the_results(quickstart):
    kept = {path.name for path in (ROOT / "results" / "quickstart").iterdir()}
    assert kept == set(quickstart.KEPT)


def test_what_the_run_leaves_becomes_the_result(quickstart, tmp_path, monkeypatch):
    """The training is replaced by one that leaves the result of before, in a folder of its own."""
    started = []

    def run(command, cwd, env):
        started.append((command[1:], cwd))
        shutil.copytree(ROOT / "results" / "quickstart", tmp_path / "runs" / "resnet-2")
        return SimpleNamespace(returncode=0)

    (tmp_path / "runs" / "resnet-1").mkdir(parents=True)
    monkeypatch.setattr(quickstart, "ROOT", tmp_path)
    monkeypatch.setattr(quickstart.subprocess, "run", run)
    monkeypatch.setattr("sys.argv", ["quickstart.py", "--out", str(tmp_path / "result")])
    quickstart.main()
    assert started == [(list(quickstart.COMMAND), tmp_path)]
    config = json.loads((tmp_path / "result" / "config.json").read_text())
    assert config["options"]["limit"] == 6000
    assert {path.name for path in (tmp_path / "result").iterdir()} == set(quickstart.KEPT)
    (tmp_path / "result" / "curve.png").write_text("mine")
    with pytest.raises(SystemExit, match="curve.png is there already"):
        quickstart.main()
